"""What people see of the condition of data: a small table of one partition, and two pictures.

It must not measure or judge (condition.py and limits.py of preparation do) and must not draw.
"""

import polars as pl

from mlplatform.stages.evaluation.values import Bar, Line, Picture

MOST_BARS = 20
MOST_LINES = 4
MOST_TICKS = 6
MOST_MARKERS = 31
MOST_PARTITIONS = 56
"""Partitions drawn: eight weeks of days; a year of jumping lines hides the last weeks."""
HIGHEST = 10.0
"""Trends are drawn up to this: beyond, only that they are beyond matters."""
NOTABLE = 3.0
"""Standard deviations from which on a trend is named at all; the dashed lines of the picture."""

_PRESENT = pl.col("rows") - pl.col("missing")


def table(conditions: pl.DataFrame, *, partitions: int = 1) -> pl.DataFrame:
    """The last partitions as people read them, one row per partition and column, columns in their order.

    Columns: partition, column, kind, rows, missing (% of rows), distinct, range (text), outliers, odd formats
    (both counts), trend and missing trend (standard deviations).
    """
    last = conditions["partition_key"].unique().sort().tail(partitions)
    shown = conditions.filter(pl.col("partition_key").is_in(last.implode()))
    return shown.select(
        pl.col("partition_key").alias("partition"),
        "column",
        "kind",
        "rows",
        (100 * pl.col("missing") / pl.col("rows")).fill_nan(None).round(2).alias("missing %"),
        "distinct",
        _range().alias("range"),
        "outliers",
        pl.col("odd_formats").alias("odd formats"),
        pl.col("trend").round(1),
        pl.col("missing_trend").round(1).alias("missing trend"),
    )


def missing_picture(conditions: pl.DataFrame, *, title: str = "Missing values") -> Picture | None:
    """Columns by their share of missing values over all partitions, the largest first; None if none misses.

    Complete columns are not drawn but counted in the axis label.
    """
    by_column = conditions.filter(pl.col("rows") > 0).group_by("column").agg(pl.col("missing", "rows").sum())
    share = by_column.select("column", share=pl.col("missing") / pl.col("rows")).filter(pl.col("share") > 0)
    ranked = share.sort("share", "column", descending=[True, False])
    if not ranked.height:
        return None
    return Picture(
        title=title,
        x_label=_complete(by_column.height - ranked.height, ranked.height),
        bars=tuple(Bar(name, 100 * at, _percent(at)) for name, at in ranked.head(MOST_BARS).iter_rows()),
    )


def trend_picture(conditions: pl.DataFrame, *, title: str = "Trend of means") -> Picture | None:
    """The columns of numbers whose mean has moved furthest in the last partition, over the partitions before.

    Lines are trends (standard deviations from the partitions before), so that columns of different units
    share an axis. None if no trend is known in the last partition.
    """
    keys = conditions["partition_key"].unique().sort().tail(MOST_PARTITIONS)
    known = conditions.filter(
        pl.col("trend").is_not_null() & (pl.col("kind") == "number"),
        pl.col("partition_key").is_in(keys.implode()),
    )
    ranked = known.filter(pl.col("partition_key") == keys.last()).sort(
        pl.col("trend").abs().round(9), "column", descending=[True, False]
    )
    if not ranked.height:
        return None
    place = {key: float(index) for index, key in enumerate(keys)}
    lines = tuple(_trend_line(known, name, place) for name in ranked["column"].head(MOST_LINES))
    start = min(line.x[0] for line in lines)
    return _picture(title, lines, keys, start)


def _picture(title: str, lines: tuple[Line, ...], keys: pl.Series, start: float) -> Picture:
    last = max(float(keys.len() - 1), start + 1.0)
    far = max(NOTABLE + 1.0, *(abs(at) for line in lines for at in line.y))
    shown = range(int(start), keys.len())
    step = max(1, -(-len(shown) // MOST_TICKS))
    return Picture(
        title=title,
        x_label="partition",
        y_label="standard deviations from the partitions before",
        lines=lines,
        references=tuple(Line("", (start, last), (at, at)) for at in (NOTABLE, -NOTABLE)),
        ticks=tuple((float(index), keys[index]) for index in shown[::step]),
        # Room above the curves for their names.
        limits=(start, last, -far * 1.05, far * (1.25 + 0.12 * len(lines))),
        key="upper left",
    )


def _trend_line(known: pl.DataFrame, column: str, place: dict[str, float]) -> Line:
    rows = known.filter(pl.col("column") == column).sort("partition_key")
    drawn = rows["trend"].clip(-HIGHEST, HIGHEST).to_list()
    return Line(
        column,
        tuple(place[key] for key in rows["partition_key"]),
        tuple(drawn),
        f"{rows['trend'][-1]:+.1f}",
        markers=rows.height <= MOST_MARKERS,
    )


def _range() -> pl.Expr:
    numbers = _number("low") + " … " + _number("high")
    texts = _short("low_text") + " … " + _short("high_text")
    return pl.coalesce(numbers, texts, pl.lit(""))


def _number(name: str) -> pl.Expr:
    return pl.col(name).map_elements(lambda value: f"{value:.6g}", return_dtype=pl.String)


def _short(name: str, longest: int = 24) -> pl.Expr:
    text = pl.col(name)
    cut = pl.concat_str(text.str.head(longest - 1), pl.lit("…"))
    return pl.when(text.str.len_chars() > longest).then(cut).otherwise(text)


def _complete(complete: int, incomplete: int) -> str:
    label = "% of the rows"
    if incomplete > MOST_BARS:
        label += f"; the {MOST_BARS} most incomplete of {incomplete} columns"
    return f"{label}; {complete} columns are complete" if complete else label


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else "< 0.1 %"
