"""The windows of a feature set as a bare polars script computes them: the yardstick of our batch executor.

Per (source, key) running sums of the rows in order of known time, and two as-of joins per window. Aggregates
by count, sum, mean and std, and last values; what has no plain script (open items, exponential means, the
latest n) is left out on both sides. It must not use the platform's executors.
"""

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from mlplatform.stages.preparation.declarations import (
    Agg,
    Category,
    Feature,
    FeatureSet,
    Last,
    Source,
    key_columns,
)
from mlplatform.stages.preparation.durations import microseconds

_Group = tuple[Source, tuple[str, ...]]


def plain(feature_set: FeatureSet) -> FeatureSet:
    """The features of a set that the script computes."""
    kept = tuple(f for f in feature_set.features if _is_plain(f))
    return FeatureSet(feature_set.name, feature_set.spine, kept)


def compute(feature_set: FeatureSet, spine: pl.DataFrame, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The features of a `plain` set for every row of the spine, in its order."""
    asked = spine.with_row_index("row").with_columns(feature_set.spine.as_of.polars().alias("asked"))
    asked = asked.sort("asked")
    found = asked.select("row")
    groups: dict[_Group, list[Agg | Last]] = {}
    for feature in feature_set.features:
        if isinstance(feature, Agg | Last):
            groups.setdefault((feature.source, key_columns(feature.by)), []).append(feature)
    for (source, by), members in groups.items():
        found = found.hstack(_of_group(source, by, members, asked, tables[source.table]))
    categories = [pl.col(f.column).alias(f.name) for f in feature_set.features if isinstance(f, Category)]
    return found.hstack(asked.select(categories)).sort("row").select(feature_set.names)


def _is_plain(feature: Feature) -> bool:
    if isinstance(feature, Agg):
        return feature.last is None and feature.fn in ("count", "sum", "mean", "std")
    return isinstance(feature, Category) or (isinstance(feature, Last) and microseconds(feature.ago) == 0)


def _of_group(
    source: Source, by: tuple[str, ...], members: list[Agg | Last], asked: pl.DataFrame, rows: pl.DataFrame
) -> pl.DataFrame:
    lag = timedelta(microseconds=microseconds(source.lag))
    keys = list(by) or ["everything"]
    rows = rows.drop_nulls([source.at, *by]).with_columns(known=pl.col(source.at) + lag, everything=pl.lit(0))
    rows = rows.sort("known", *source.key)
    questions = asked.select("row", "asked", *by, everything=pl.lit(0))
    values = list(dict.fromkeys((f.value, f.scale) for f in members if isinstance(f, Agg) and f.value))
    sums = [pl.int_range(1, pl.len() + 1).over(keys).alias("rows")]
    for value, scale in values:
        whole = (pl.col(value) * float(scale) + 0.5).floor() if scale != 1 else pl.col(value)
        number = whole.cast(pl.Int64).fill_null(0)
        parts = {"n": pl.col(value).is_not_null().cast(pl.Int64), "s": number, "q": number * number}
        sums += [expr.cum_sum().over(keys).alias(f"{part} {value}") for part, expr in parts.items()]
    kept = dict.fromkeys(f.value for f in members if isinstance(f, Last) and f.value != "age")
    running = rows.select("known", *keys, *sums, *(pl.col(name).alias(f"last {name}") for name in kept))
    now = _as_of(questions, running, keys, timedelta(0))
    columns, before = [], dict[int, pl.DataFrame]()
    for feature in members:
        if isinstance(feature, Last):
            columns.append(_last(feature, now, questions, by))
            continue
        window = microseconds(feature.window)
        if window not in before:
            before[window] = _as_of(questions, running, keys, timedelta(microseconds=window))
        columns.append(_aggregate(feature, now, before[window], questions, by))
    return pl.DataFrame(columns)


def _as_of(questions: pl.DataFrame, running: pl.DataFrame, keys: list[str], ago: timedelta) -> pl.DataFrame:
    moments = questions.select(*keys, moment=pl.col("asked") - ago)
    return moments.join_asof(
        running,
        left_on="moment",
        right_on="known",
        by=keys,
        strategy="backward",
        coalesce=False,
        check_sortedness=False,  # sorted as a whole, which polars cannot see within keys
    )


def _aggregate(
    feature: Agg, now: pl.DataFrame, before: pl.DataFrame, questions: pl.DataFrame, by: tuple[str, ...]
) -> pl.Series:
    def total(part: str) -> pl.Series:
        name = "rows" if feature.value is None else f"{part} {feature.value}"
        return now[name].fill_null(0) - before[name].fill_null(0)

    n = total("n")
    match feature.fn:
        case "count":
            value = n
        case "sum":
            value = total("s") if feature.scale == 1 else total("s") / float(feature.scale)
        case "mean":
            value = (total("s") / (n * feature.scale)).zip_with(n > 0, pl.Series([None], dtype=pl.Float64))
        case _:
            spread = n * total("q") - total("s") * total("s")
            root = (spread / (n * (n - 1))).sqrt() / feature.scale
            value = root.zip_with(n > 1, pl.Series([None], dtype=pl.Float64))
    return _where_asked(value, questions, by).alias(feature.name)


def _last(feature: Last, now: pl.DataFrame, questions: pl.DataFrame, by: tuple[str, ...]) -> pl.Series:
    reach = timedelta(microseconds=microseconds(feature.max_age))
    young = (now["known"] > now["moment"] - reach).fill_null(False)
    if feature.value == "age":
        value = (now["moment"] - now["known"]).dt.total_minutes()
    else:
        value = now[f"last {feature.value}"]
    value = value.zip_with(young, pl.Series([None], dtype=value.dtype))
    return _where_asked(value, questions, by).alias(feature.name)


def _where_asked(value: pl.Series, questions: pl.DataFrame, by: tuple[str, ...]) -> pl.Series:
    """Null where a part of the key is."""
    if not by:
        return value
    there = questions.select(pl.all_horizontal(pl.col(list(by)).is_not_null())).to_series()
    return value.zip_with(there, pl.Series([None], dtype=value.dtype))
