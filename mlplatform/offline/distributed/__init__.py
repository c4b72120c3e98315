"""Training on several processes or machines, over Dask: the only room that imports dask and lightgbm.dask.

Importing these files must not import Dask: it is an optional extra, fetched when a training asks for it.
"""
