"""Selectors: one file each, found by file name; a selector ranks features and must not choose how many stay.

A selector is one function `rank(X, y, features, categories, /, **options)` that gives a float64 score per
feature, higher being better, never NaN; 0 or below says that the feature tells nothing of the label. X is
float64 (rows, features), NaN = missing; a category (a key of `categories`, which says how many levels it
has) holds codes 0 .. k-1, -1 = unknown, -2 = missing. y is float64 (rows,), 0 and 1, both there. X and y are
left as they are. The same rows give the same bits.
"""
