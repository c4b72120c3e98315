"""Where data comes from: one file per source, each a plug-in found by its file name.

A source file has `open(folder, **options) -> Source`; `folder` is the use case's, for relative paths. A
source hands over what was delivered, byte for byte; it must not change or interpret it.
"""
