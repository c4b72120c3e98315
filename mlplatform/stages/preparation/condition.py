"""The condition of data: per partition and column what is missing, odd, far out, skewed, or drifting away.

It must not judge whether data may be used but by limits a team declares, and must not repair: repairs.py
does. A missing value is null, or NaN in a column of numbers; a blank text is a value with a shape of its own.
"""

import polars as pl

from mlplatform.errors import FeatureError
from mlplatform.stages.ingestion.contract import PARTITION
from mlplatform.stages.preparation.spread import QUANTILES, spread
from mlplatform.stages.preparation.trends import with_trends

EVERYTHING = "all"
"""Name of the one partition of a frame that has none."""
HISTORY_WINDOW = 28
"""Earlier partitions a trend is measured against: four weeks of days."""
COMMON_SHAPE = 0.9
"""Share of the present values from which on a shape is the column's format, and others are odd."""

_FIGURES = ("low", "high", *QUANTILES, "mean", "deviation", "skew")
CONDITION_SCHEMA = pl.Schema(
    {
        "partition_key": pl.String(),
        "column": pl.String(),
        "kind": pl.String(),
        **dict.fromkeys(("rows", "missing", "distinct"), pl.Int64()),
        **dict.fromkeys(_FIGURES, pl.Float64()),
        **dict.fromkeys(("low_text", "high_text"), pl.String()),
        **dict.fromkeys(("outliers", "nonfinite", "formats", "odd_formats"), pl.Int64()),
        "most_common": pl.String(),
        **dict.fromkeys(("trend", "missing_trend"), pl.Float64()),
    }
)
_ID, _VALUE = "group", "value"


def condition(
    frame: pl.DataFrame,
    *,
    partition: str = PARTITION,
    history: pl.DataFrame | None = None,
    history_window: int = HISTORY_WINDOW,
) -> pl.DataFrame:
    """One row per partition and column of `CONDITION_SCHEMA`, by partition, then in the frame's column order.

    What does not apply to a column's kind is null: quantiles, moments (spread.py) and `outliers` are of
    numbers, and `mean` also of booleans (the share that is true); `low_text`, `high_text` are of texts and
    times; formats are of texts. Columns of lists, structs, bytes or durations are of kind "other": only rows
    and missing.

    - `nonfinite`: NaN and infinite values; the other figures of numbers are over finite values.
    - `formats`: distinct shapes: letters become A, digits 9, runs one; `most_common` is the commonest (the
      first in order of text among equals), and `odd_formats` counts the values that are not of it where
      `COMMON_SHAPE` of the present values are.
    - `trend`, `missing_trend`: see trends.py.

    Parameters
    ----------
    frame : any rows; without the column `partition` they are the one partition "all"
    history : conditions of earlier partitions, as this function gives them; those of `frame` take precedence
    history_window : how many earlier partitions a trend is measured against

    Raises
    ------
    FeatureError
        if a row is in no partition.
    """
    keys, groups = _grouped(frame, partition)
    ordered = frame.with_columns(groups.alias(_ORDER)).sort(_ORDER, maintain_order=True)
    rows = keys.join(groups.value_counts(name="rows"), on=_ID, how="left").fill_null(0)
    names = [name for name in frame.columns if name != partition]
    parts = [
        _of_column(rows, ordered.select(pl.col(_ORDER).alias(_ID), pl.col(name).alias(_VALUE)), name)
        for name in names
    ]
    found = pl.concat([CONDITION_SCHEMA.to_frame(), *parts])
    place = pl.col("column").replace_strict(names, list(range(len(names))), return_dtype=pl.Int64)
    return with_trends(found, history, history_window).sort("partition_key", place)


_ORDER = "__group"


def _grouped(frame: pl.DataFrame, partition: str) -> tuple[pl.DataFrame, pl.Series]:
    """The partitions (`partition_key`, `group`: 0, 1, ... in order of text) and every row's `group`."""
    if partition not in frame.columns:
        keys = pl.DataFrame({PARTITION: [EVERYTHING]}).with_columns(pl.lit(0, pl.Int64).alias(_ID))
        return keys, pl.zeros(frame.height, pl.Int64, eager=True).alias(_ID)
    texts = frame[partition].cast(pl.String).alias(PARTITION)
    if texts.null_count():
        raise FeatureError(
            f"{texts.null_count()} of {frame.height} rows have no {partition!r}.",
            hint="Every row belongs to one partition; set it where the rows are read.",
        )
    found = texts.unique().sort()
    keys = found.to_frame().with_columns(pl.int_range(found.len(), dtype=pl.Int64).alias(_ID))
    return keys, texts.to_frame().join(keys, on=PARTITION, how="left", maintain_order="left")[_ID]


def _of_column(rows: pl.DataFrame, cells: pl.DataFrame, name: str) -> pl.DataFrame:
    """Conditions of one column: `rows` per group, `cells` (group, value) in order of group."""
    kind = _kind(cells.schema[_VALUE])
    cells = cells.with_columns(_plain(kind))
    nothing = pl.col(_VALUE).is_nan() | pl.col(_VALUE).is_null() if kind == "number" else _NULL
    absent = cells.group_by(_ID).agg(missing=nothing.sum().cast(pl.Int64))
    figures = _MEASURES[kind](cells.filter(pl.col(_VALUE).is_not_null()))
    joined = rows.join(absent, on=_ID, how="left").join(figures, on=_ID, how="left")
    counts = [pl.col(each).fill_null(0) for each in ("missing", *_COUNTS[kind])]
    return _shaped(joined.with_columns(*counts, column=pl.lit(name), kind=pl.lit(kind)))


def _shaped(found: pl.DataFrame) -> pl.DataFrame:
    """All columns of the schema, those not measured null; a figure beyond the floats is null."""
    columns = [
        (pl.col(name) if name in found.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in CONDITION_SCHEMA.items()
    ]
    finite = [pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in _FIGURES]
    return found.select(columns).with_columns(finite)


_NULL = pl.col(_VALUE).is_null()


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_numeric():
        return "number"
    if dtype == pl.Boolean:
        return "boolean"
    if dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        return "text"
    return "time" if dtype in (pl.Date, pl.Datetime, pl.Time) else "other"


def _plain(kind: str) -> pl.Expr:
    plain: dict[str, pl.DataType] = {"number": pl.Float64(), "text": pl.String()}
    return pl.col(_VALUE).cast(plain[kind]) if kind in plain else pl.col(_VALUE)


def _numbers(cells: pl.DataFrame) -> pl.DataFrame:
    odd = cells.group_by(_ID).agg(nonfinite=(~pl.col(_VALUE).is_finite()).sum().cast(pl.Int64))
    finite = cells.filter(pl.col(_VALUE).is_finite())
    figures = spread(finite[_ID].to_numpy(), finite[_VALUE].to_numpy())
    return odd.join(figures, on=_ID, how="left")


def _texts(cells: pl.DataFrame) -> pl.DataFrame:
    levels = cells.group_by(_ID, _VALUE).agg(n=pl.len().cast(pl.Int64))
    # Shapes are taken once per level, not per row: the regular expressions are what costs.
    shapes = levels.select(pl.col(_VALUE).unique()).with_columns(shape=_shape(pl.col(_VALUE)))
    shaped = levels.join(shapes, on=_VALUE).group_by(_ID, "shape").agg(pl.col("n").sum())
    return _ends(levels).join(_formats(shaped), on=_ID)


def _formats(shaped: pl.DataFrame) -> pl.DataFrame:
    top, present = pl.col("n").first(), pl.col("n").sum()
    return (
        shaped.sort(_ID, pl.col("n"), "shape", descending=[False, True, False])
        .group_by(_ID, maintain_order=True)
        .agg(
            formats=pl.len().cast(pl.Int64),
            most_common=pl.col("shape").first(),
            odd_formats=pl.when(top >= COMMON_SHAPE * present).then(present - top).otherwise(0),
        )
    )


def _shape(text: pl.Expr) -> pl.Expr:
    letters = text.str.replace_all(r"\p{L}+", "A")
    return letters.str.replace_all(r"\p{Nd}+", "9").str.replace_all(r"\s+", " ")


def _times(cells: pl.DataFrame) -> pl.DataFrame:
    found = _ends(cells)
    return found.with_columns(pl.col("low_text", "high_text").dt.to_string("iso"))


def _ends(cells: pl.DataFrame) -> pl.DataFrame:
    value = pl.col(_VALUE)
    distinct = value.n_unique().cast(pl.Int64)
    return cells.group_by(_ID).agg(distinct=distinct, low_text=value.min(), high_text=value.max())


def _booleans(cells: pl.DataFrame) -> pl.DataFrame:
    value = pl.col(_VALUE)
    distinct = value.n_unique().cast(pl.Int64)
    return cells.group_by(_ID).agg(distinct=distinct, mean=value.sum().cast(pl.Float64) / pl.len())


def _nothing(cells: pl.DataFrame) -> pl.DataFrame:
    return cells.select(_ID).clear()


_MEASURES = {
    "number": _numbers,
    "text": _texts,
    "time": _times,
    "boolean": _booleans,
    "other": _nothing,
}
_COUNTS = {
    "number": ("distinct", "outliers", "nonfinite"),
    "text": ("distinct", "formats", "odd_formats"),
    "time": ("distinct",),
    "boolean": ("distinct",),
    "other": (),
}
