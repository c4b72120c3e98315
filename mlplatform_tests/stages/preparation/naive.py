"""What features mean, written as naively as possible: a loop over all rows for each question.

No test lives here. It shares nothing with the executors but the declarations.
"""

import math
from collections.abc import Mapping
from typing import Any

from mlplatform.stages.preparation.declarations import (
    Agg,
    Category,
    ExponentialMean,
    Feature,
    FeatureSet,
    Last,
    Open,
    Row,
    Source,
    Static,
    key_columns,
)
from mlplatform.stages.preparation.durations import microseconds
from mlplatform_tests.stages.preparation.histories import MINUTE, History, Rows

Tables = Mapping[str, Rows]


def vectors(feature_set: FeatureSet, history: History) -> list[list[Any]]:
    """The features of every question, in order."""
    tables = {name: getattr(history, name) for name in ("events", "items", "closings", "static")}
    return [_vector(feature_set, question, tables) for question in history.questions]


def _vector(feature_set: FeatureSet, question: dict[str, Any], tables: Tables) -> list[Any]:
    row = dict(question)
    row["as_of"] = feature_set.spine.as_of.python()(question)
    later = [f for f in feature_set.features if isinstance(f, Row)]
    for feature in [*(f for f in feature_set.features if not isinstance(f, Row)), *later]:
        row[feature.name] = _value(feature, row, tables)
    return [row[name] for name in feature_set.names]


def _value(feature: Feature, row: dict[str, Any], tables: Tables) -> Any:
    match feature:
        case Category():
            return row[feature.column]
        case Row():
            return feature.expression.python()(row)
        case Static():
            found = [r[feature.value] for r in tables[feature.table] if _same((feature.by,), r, row)]
            return found[0] if found else None
    by = key_columns(feature.by)
    if any(row[column] is None for column in by):
        return None
    match feature:
        case Agg():
            known = _known(feature.source, tables, row["as_of"], microseconds(feature.window))
            mine = [(t, r) for t, r in known if _same(by, r, row)]
            return _aggregate(feature, _latest(feature, mine))
        case ExponentialMean():
            known = _known(feature.source, tables, row["as_of"], microseconds(feature.window))
            mine = [(t, r) for t, r in known if _same(by, r, row)]
            return _exponential_mean(feature, _latest(feature, mine))
        case Last():
            asked = row["as_of"] - microseconds(feature.ago)
            known = _known(feature.source, tables, asked, microseconds(feature.max_age))
            return _last(feature, [(t, r) for t, r in known if _same(by, r, row)], row["as_of"])
        case Open():
            return _open(feature, by, row, tables)


def _same(by: tuple[str, ...], one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[column] is not None and one[column] == other[column] for column in by)


def _known(
    source: Source, tables: Tables, asked: int, window: int = 2**62
) -> list[tuple[int, dict[str, Any]]]:
    """Rows of a source known in (asked − window, asked], and when."""
    lag = microseconds(source.lag)
    known = [(r[source.at] + lag, r) for r in tables[source.table] if r[source.at] is not None]
    return [(t, r) for t, r in known if asked - window < t <= asked]


def _latest(feature: Agg | ExponentialMean, known: list[tuple[int, dict[str, Any]]]) -> Rows:
    """The latest rows that count, the newest first."""
    key, value = feature.source.key, feature.value
    rows = sorted(known, key=lambda found: (found[0], tuple(found[1][c] for c in key)), reverse=True)
    return [row for _, row in rows if value is None or row[value] is not None][: feature.last]


def _exponential_mean(feature: ExponentialMean, rows: Rows) -> float | None:
    values = [_whole(row[feature.value], feature.scale) for row in rows]
    weights = feature.weights[: len(values)]
    total = sum(weight * value for weight, value in zip(weights, values, strict=True))
    return total / (sum(weights) * feature.scale) if values else None


def _aggregate(feature: Agg, rows: Rows) -> Any:
    if feature.value is None:
        return len(rows)
    if feature.fn == "distinct":
        return len({row[feature.value] for row in rows if row[feature.value] is not None})
    values = [_whole(r[feature.value], feature.scale) for r in rows if r[feature.value] is not None]
    n, scale = len(values), feature.scale
    match feature.fn:
        case "count":
            return n
        case "sum":
            return sum(values) / scale
        case "mean":
            return sum(values) / (n * scale) if n else None
        case "std":
            spread = n * sum(v * v for v in values) - sum(values) ** 2
            return math.sqrt(spread / (n * (n - 1))) / scale if n > 1 else None
        case "min":
            return min(values) / scale if n else None
        case "max":
            return max(values) / scale if n else None


def _whole(value: Any, scale: int) -> int:
    return math.floor(value * float(scale) + 0.5) if isinstance(value, float) else int(value) * scale


def _last(feature: Last, known: list[tuple[int, dict[str, Any]]], asked: int) -> Any:
    if not known:
        return None
    latest, row = max(known, key=lambda found: (found[0], tuple(found[1][c] for c in feature.source.key)))
    return (asked - latest) // MINUTE if feature.value == "age" else row[feature.value]


def _open(feature: Open, by: tuple[str, ...], row: dict[str, Any], tables: Tables) -> Any:
    asked = row["as_of"]
    in_window = _known(
        feature.due,
        tables,
        asked - microseconds(feature.after),
        microseconds(feature.window) - microseconds(feature.after),
    )
    ages, states = [], []
    for due, item in in_window:
        if not _same(by, item, row):
            continue
        closed = [
            (t, c[feature.value] or 0 if feature.value else 0)
            for t, c in _known(feature.until, tables, asked)
            if _same(feature.due.key, c, item)
        ]
        if closed:
            states.append(min(closed)[1])
        else:
            ages.append(asked - due)
    match feature.fn:
        case "count":
            return len(ages)
        case "mean_age":
            return sum(ages) / (len(ages) * MINUTE) if ages else None
        case "mean_state":
            both = len(ages) + len(states)
            return (sum(ages) + sum(states) * MINUTE) / (both * MINUTE) if both else None
