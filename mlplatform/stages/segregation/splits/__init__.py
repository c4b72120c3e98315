"""Split strategies: one file each, found by file name; a strategy must not look at labels or models.

A strategy is one function `split(frame, *, **options) -> pl.Series`: a String series, one entry per row in
the frame's order, holding "train", "validation", "test" or null (the row belongs to no part). One that
needs to know rows apart declares a parameter `keys`; it is given the key columns unless options name them.
"""
