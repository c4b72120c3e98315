"""What a split is, in plain values: the answer of the command line and of HTTP.

It must not read rows itself.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from mlplatform.stages.segregation.segregated import Segregated
from mlplatform.stages.segregation.strategies import PARTS


def reply(use_case: str, segregated: Segregated, *, day: str) -> dict[str, Any]:
    """The body that answers `GET /splits/{use_case}`, all of it fit for JSON.

    Parameters
    ----------
    day: the column that `first_day` and `last_day` of each part are taken from.

    Returns
    -------
    use_case, strategy, options, id, sizes (rows per part), parts (per part first_day, last_day and
    label_rate, the mean of labels that are numbers or true/false; null where there is none), unlabelled,
    warnings.
    """
    split, rows = segregated.split, segregated.rows()
    return {
        "use_case": use_case,
        "strategy": split.strategy,
        "options": _plain(split.options),
        "id": split.id,
        "sizes": split.counts(),
        "parts": {
            part: _described(rows.filter(pl.col("part") == part), day, segregated.label) for part in PARTS
        },
        "unlabelled": split.unlabelled,
        "warnings": list(split.warnings),
    }


def _described(rows: pl.DataFrame, day: str, label: str | None) -> dict[str, Any]:
    first, last = rows[day].min(), rows[day].max()
    return {
        "first_day": None if first is None else str(first),
        "last_day": None if last is None else str(last),
        "label_rate": None if label is None else _rate(rows[label]),
    }


def _rate(labels: pl.Series) -> float | None:
    if not (labels.dtype.is_numeric() or labels.dtype == pl.Boolean):
        return None
    mean = labels.cast(pl.Float64).mean()
    return mean if isinstance(mean, float) else None


def _plain(value: Any) -> Any:
    """Days and what else JSON does not know, as text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
