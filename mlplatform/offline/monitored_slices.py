"""The champion's answers, slice by slice: the slices that are declared for evaluation, on what really came.

It must not compute a figure (`by_slice` does), nor look at answers of another version.
"""

from typing import Any

import numpy as np
import polars as pl

from mlplatform.offline.config.judging import Slicing
from mlplatform.offline.declared import Declared
from mlplatform.offline.rows import MONTH
from mlplatform.stages.deployment.release import Release
from mlplatform.stages.monitoring.by_slice import SCHEMA, by_slice
from mlplatform.stages.monitoring.served_vectors import column_of as feature_of
from mlplatform.stages.monitoring.verdict import LOSSES
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import Lake
from mlplatform.stores.lake_sql import quoted
from mlplatform.stores.served import SERVED, column_of

OWN_LINKS = ("champion", "asked", "canary")
"""Links by which a version answers for itself."""
_ID = ["prediction_id", "link"]
_PREFIX = "_slice_"
_FEW: dict[str, Any] = {name: SCHEMA[name] for name in ("column", "level", "minimum", "n")}


def slices(
    declared: Declared,
    lake: Lake,
    candidates: CandidateStore,
    champion: Release | None,
    observed: pl.DataFrame,
) -> dict[str, Any]:
    """What `monitor` tells of slices: `slices`, worst first, and `slices_left_out`, those with too few rows.

    Parameters
    ----------
    observed : rows of the table `observed`, of any version

    Raises
    ------
    MlplatformError
        if the lake or the champion's candidate cannot be read.
    """
    kind, wanted = declared.config.output.kind, declared.config.slices
    nothing: dict[str, Any] = {"slices": [], "slices_left_out": []}
    if not wanted or kind not in LOSSES or champion is None:
        return nothing
    rows = observed.filter(
        pl.col("version") == champion.version,
        pl.col("link").is_in(OWN_LINKS),
        pl.col("outcome").is_not_null(),
    )
    if not rows.height:
        return nothing
    loss = declared.config.monitoring.rollback.rule.loss(kind)
    against = _newest_reference(rows)
    asked = rows.select(
        *_ID,
        "score",
        "outcome",
        reference=pl.when(pl.col("reference_version") == pl.lit(against, pl.Int64)).then("reference"),
        block=pl.col("as_of").dt.date().cast(pl.String),
    )
    columns = _columns(declared, lake, candidates, champion, wanted)
    renamed = {f"{_PREFIX}{each.column}": each.min_rows for each in wanted}
    found = by_slice(asked.join(columns, on=_ID, how="inner"), loss, renamed).with_columns(
        pl.col("column").str.strip_prefix(_PREFIX)
    )
    about = {"version": champion.version, "metric": loss, "reference_version": against}
    judged = found.filter(pl.col("loss").is_not_null())
    few = found.filter(pl.col("loss").is_null()).select(list(_FEW))
    return {"slices": [about | row for row in judged.to_dicts()], "slices_left_out": _left_out(few)}


def _newest_reference(rows: pl.DataFrame) -> int | None:
    """The version that the champion's newest answers are compared with."""
    compared = rows.filter(pl.col("reference").is_not_null()).sort("as_of")
    return int(compared["reference_version"][-1]) if compared.height else None


def _left_out(few: pl.DataFrame) -> list[dict[str, Any]]:
    """Per column how many levels have too few rows, and their rows."""
    counted = few.group_by("column", "minimum").agg(levels=pl.len().cast(pl.Int64), rows=pl.col("n").sum())
    return counted.sort("column").to_dicts()


def _columns(
    declared: Declared, lake: Lake, candidates: CandidateStore, champion: Release, wanted: list[Slicing]
) -> pl.DataFrame:
    """Id, link and the columns to slice by of the champion's answers, an answer once."""
    candidate = candidates.get(declared.name, champion.digest)
    fitted = FittedFeatureSet.from_json(candidate.feature_set)
    table = declared.table(SERVED)
    query = ", ".join(
        f"{_expression(declared, fitted, each.column)} AS {quoted(_PREFIX + each.column)}" for each in wanted
    )
    rows = lake.sql(
        f"SELECT prediction_id, link, {query} FROM {quoted(table.schema)}.{quoted(table.name)} "
        "WHERE version = ? AND len(vector) > 0",
        [champion.version],
    ).unique(_ID, keep="any")
    typed = _types(declared, lake, [each.column for each in wanted])
    return rows.with_columns(
        _decoded(fitted, each.column, rows[_PREFIX + each.column], typed)
        for each in wanted
        if each.column not in declared.feature_set.spine.facts
    )


def _expression(declared: Declared, fitted: FittedFeatureSet, name: str) -> str:
    """What of a row of `served` a slice's column is made of, in SQL: a fact, a feature, or the moment."""
    if name in declared.feature_set.spine.facts:
        return quoted(column_of(name))
    if name in fitted.names:
        return f"vector[{fitted.names.index(name) + 1}]"  # DuckDB counts from one
    if name == MONTH:
        return "as_of"
    return "NULL"  # the champion is of a selection that has no such feature


def _types(declared: Declared, lake: Lake, names: list[str]) -> dict[str, pl.DataType]:
    """The types that features have where they are stored, so that 3 is not called 3.0."""
    table = declared.table("features")
    if not lake.exists(table):
        return {}
    stored = lake.read(table, partitions=[]).schema
    return {name: stored[name] for name in names if name in stored}


def _decoded(
    fitted: FittedFeatureSet, name: str, values: pl.Series, typed: dict[str, pl.DataType]
) -> pl.Series:
    if values.dtype.is_temporal():
        return values.dt.strftime("%Y-%m")
    if name not in fitted.names:
        return values.cast(pl.String)
    numbers = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    found = feature_of(fitted, name, np.asarray(numbers))
    kind = typed.get(name)
    whole = kind is not None and (kind.is_integer() or kind == pl.Boolean)
    return (found.cast(kind) if whole and kind is not None else found).alias(values.name)
