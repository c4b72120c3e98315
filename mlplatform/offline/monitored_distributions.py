"""What is kept of served features and scores beside their training, as `monitor` and the status page tell it.

It must not compute (`served_distributions.py` keeps what it found).
"""

from typing import Any

import polars as pl

from mlplatform.offline.declared import Declared
from mlplatform.offline.served_distributions import FEATURES, SCORES
from mlplatform.stores.lake import KEY, Lake

MOST = 10
"""Features that are told of each version, those farthest from their training first."""
_TOLD = ["name", "kind", "psi", "wasserstein", "jensen_shannon", "missing_reference", "missing_current"]


def distributions(declared: Declared, lake: Lake) -> dict[str, Any]:
    """`features` and `scores`, an entry per version that is kept; times are UTC in ISO 8601.

    Raises
    ------
    StoreError
        if the lake cannot be read.
    """
    table, bins = declared.table(FEATURES), declared.table(SCORES)
    if not (lake.exists(table) and lake.exists(bins)):
        return {"features": [], "scores": []}
    kept = lake.read(table).sort("version").partition_by("version", maintain_order=True)
    spread = lake.read(bins).sort("version", "low").drop(KEY)
    return {
        "features": [_features(rows.filter(pl.col("of") == "feature")) for rows in kept],
        "scores": [_scores(rows.filter(pl.col("of") == "score"), spread) for rows in kept],
    }


def _features(rows: pl.DataFrame) -> dict[str, Any]:
    """The farthest by PSI, which every kind has; those of too few rows have none and come last."""
    farthest = rows.sort("psi", "name", descending=[True, False], nulls_last=True).head(MOST)
    return _about(rows) | {"columns": rows.height, "farthest": farthest.select(_TOLD).to_dicts()}


def _scores(rows: pl.DataFrame, spread: pl.DataFrame) -> dict[str, Any]:
    figures = rows.select("psi", "wasserstein").row(0, named=True)
    bins = spread.filter(pl.col("version") == rows["version"][0]).drop("version")
    return _about(rows) | figures | {"bins": bins.to_dicts()}


def _about(rows: pl.DataFrame) -> dict[str, Any]:
    row = rows.row(0, named=True)
    return {
        "version": row["version"],
        "model": row["model"],
        "answers": row["rows_current"],
        "training_rows": row["rows_reference"],
        "first": row["first"].isoformat(),
        "last": row["last"].isoformat(),
    }
