"""An evaluation's table as people read it: the figures of the whole, and apart from them those of its slices.

It must not import Dagster and must not compute a figure.
"""

import polars as pl

from mlplatform.offline.evaluated import JUDGED

ROWS = "rows"
_SLICE = r"^(?<figure>[^\[]+)\[(?<slice>[^=]+)=(?<level>.*)\]$"
"""`log_loss[origin=EWR]`, as `stages/evaluation/slices.py` names them."""


def of_the_whole(evaluation: pl.DataFrame) -> pl.DataFrame:
    """A row per figure: its value on each part, and its interval where it has one; no slices, no counts."""
    kept = evaluation.filter(~pl.col("figure").str.contains(_SLICE), pl.col("figure") != ROWS)
    ends = pl.format("{} to {}", pl.col("low").round(4), pl.col("high").round(4))
    parts = [
        kept.filter(part=part).select("figure", pl.col("value").alias(part), ends.alias(f"{part} 90 %"))
        for part in JUDGED
    ]
    return parts[0].join(parts[1], on="figure", how="full", coalesce=True, maintain_order="left_right")


def of_slices(evaluation: pl.DataFrame) -> pl.DataFrame:
    """A row per slice and level: the deciding figure and the number of rows on each part.

    The levels of a slice are in order, the columns `slice`, `level`, `<figure> <part>` and `rows <part>`.
    """
    found = evaluation.filter(pl.col("figure").str.contains(_SLICE))
    named = found.select("part", "value", pl.col("figure").str.extract_groups(_SLICE).alias("is"))
    named = named.unnest("is")
    figures = [name for name in named["figure"].unique(maintain_order=True).sort() if name != ROWS]
    asked = [(figure, part) for figure in (*figures, ROWS) for part in JUDGED]
    return (
        named.group_by("slice", "level", maintain_order=True)
        .agg(_value(figure, part).alias(f"{figure} {part}") for figure, part in asked)
        .with_columns(pl.col(f"{ROWS} {part}").cast(pl.Int64) for part in JUDGED)
        .sort("slice", "level")
    )


def counted(evaluation: pl.DataFrame) -> dict[str, int]:
    """The number of rows of each part."""
    whole = evaluation.filter(figure=ROWS)
    return {part: int(value) for part, value in whole.select("part", "value").iter_rows()}


def _value(figure: str, part: str) -> pl.Expr:
    return pl.col("value").filter((pl.col("figure") == figure) & (pl.col("part") == part)).first()
