"""Where data comes from: one file per source, each a plug-in found by its file name.

A source file has `open(folder, **options) -> Source`; `folder` is the use case's, for relative paths. A
source reads; it must not change what was delivered.
"""
