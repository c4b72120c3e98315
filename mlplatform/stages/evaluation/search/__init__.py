"""Search for the parameters of a model, regularisation among them, within training rows alone.

`tuning.search` is the search, `folds` the rows it judges by, `space` what it may try, `found` what it gives.
It must not be given a validation or test row: it takes folds, and folds are made of training rows.
"""
