"""Split strategies: one file each, found by file name; a strategy must not look at models.

A strategy is one function `split(frame, *, **options) -> pl.Series`: a String series, one entry per row in
the frame's order, holding "train", "validation", "test" or null (the row belongs to no part). One that
needs to know rows apart declares a parameter `keys`; it is given the key columns unless options name them.
One that looks at labels declares `label`; it is given the name of the label column, or None without labels.
The order of the rows must not decide: the same rows in another order get the same parts.

Columns that a strategy reads are named by its options; from a stored table only those, keys and label come.
"""
