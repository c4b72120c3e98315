"""A metric level by level of a column: a model that is better on the whole may be worse for one airport.

It must not judge a level of few rows: its figure is noise. What a difference may be is the champion rule's.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from mlplatform.errors import ModelError
from mlplatform.stages.evaluation.metrics import metric_named
from mlplatform.stages.evaluation.values import Bar, Evaluation, Floats, Picture

MINIMUM_ROWS = 300
"""Fewest rows of a level, unless declared: as few as drift distances are given for."""
MOST_BARS = 12
"""Levels that a picture shows, those with the most rows."""
MISSING = "missing"


def figure_name(figure: str, column: str, level: str) -> str:
    """How a level's figure is called beside the others: `log_loss[origin=EWR]`."""
    return f"{figure}[{column}={level}]"


def by_level(
    metric: str,
    y: Floats,
    p: Floats,
    column: pl.Series,
    minimum_rows: int = MINIMUM_ROWS,
    known: Mapping[str, object] | None = None,
) -> Evaluation:
    """The metric and the number of rows of every level of `column` that has enough rows.

    Parameters
    ----------
    metric : a figure that a rule may choose by
    y, p : (n,) what the metric takes
    column : (n,) of any type; its name is the slice's, a missing value the level `missing`
    known : what the metric may ask for by name, each (n, …): `groups` of a ranking, `X` of a clustering

    Returns
    -------
    Evaluation
        figures such as `log_loss[origin=EWR]` and `rows[origin=EWR]`; bars, worst level first. A level on
        which the metric is not defined (one class only) is left out.

    Raises
    ------
    ModelError
        if the column has another length.
    ConfigurationError
        if the metric is unknown, or asks for what is not known.
    """
    if len(column) != len(y):
        raise ModelError(f"got {len(column)} values of {column.name!r} for {len(y)} rows; each row has one.")
    figure = metric_named(metric, "a slice")
    rows, values = {}, {}
    for level, places in _levels(column):
        value = figure.figure(y, p, known or {}, places) if len(places) >= minimum_rows else None
        if value is not None:
            rows[level], values[level] = float(len(places)), value
    figures = {figure_name(metric, column.name, level): value for level, value in values.items()}
    counts = {figure_name("rows", column.name, level): value for level, value in rows.items()}
    worst_first = sorted(values, key=lambda level: (figure.gain(values[level], 0.0), level))
    return Evaluation({**figures, **counts}, _picture(metric, column.name, worst_first, values, rows))


def _levels(column: pl.Series) -> list[tuple[str, np.ndarray[tuple[int], np.dtype[np.intp]]]]:
    """Each level as text with the places of its rows, in alphabetical order."""
    texts = column.cast(pl.String).fill_null(MISSING).alias("level")
    found = pl.DataFrame([texts]).with_row_index("place").group_by("level").agg("place").sort("level")
    return [(level, np.array(places, dtype=np.intp)) for level, places in found.iter_rows()]


def _picture(
    metric: str, column: str, levels: list[str], values: dict[str, float], rows: dict[str, float]
) -> Picture | None:
    most = sorted(levels, key=lambda level: (-rows[level], level))[:MOST_BARS]
    bars = (
        Bar(each, values[each], f"{values[each]:.4f}, {rows[each]:,.0f} rows")
        for each in levels
        if each in most
    )
    return Picture(title=f"{metric} by {column}", x_label=metric, bars=tuple(bars)) if levels else None
