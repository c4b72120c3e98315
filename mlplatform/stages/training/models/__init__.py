"""Model kinds: one file each, found by file name; each meets the contract of `stages/training/contract.py`.

A model file has `build(**params) -> Estimator` and `load(files) -> Model`. It must not save or load code.
"""
