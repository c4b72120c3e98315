"""Model kinds: one file each, found by file name; each meets the contract of `stages/training/contract.py`.

A model file has `build(**params) -> Estimator`, `load(files) -> Model` and `TASKS`, the tasks it serves. It
must not save or load code.
"""
