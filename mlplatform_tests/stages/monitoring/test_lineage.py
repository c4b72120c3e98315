"""The rows and batches behind features: those that a loop over all rows finds, for every kind of feature."""

from typing import Any

import polars as pl
from hypothesis import given, settings

from mlplatform.stages.monitoring.lineage import BATCH, Lineage
from mlplatform.stages.preparation.declarations import (
    Agg,
    ExponentialMean,
    Feature,
    Last,
    Open,
    Static,
    key_columns,
)
from mlplatform.stages.preparation.durations import microseconds
from mlplatform_tests.stages.preparation import naive
from mlplatform_tests.stages.preparation.histories import FEATURES, TIME, History, Rows, histories

TABLES = ("events", "items", "closings", "static")
ROW_ID = {"events": ("event", "at"), "items": ("item",), "closings": ("item", "closed"), "static": ("k",)}


def name_of(table: str, row: dict[str, Any]) -> str:
    """A batch of its own for every row; rows that are one row told twice have one."""
    return "-".join([table, *(str(row[column]) for column in ROW_ID[table])])


def marked(table: str, rows: Rows, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.Series(BATCH, [name_of(table, row) for row in rows], pl.String))


def lineage(history: History, only: str = "") -> Lineage:
    """Of a history's questions; `only` the rows of this batch."""
    frames = {name: marked(name, getattr(history, name), frame) for name, frame in history.frames().items()}
    if only:
        frames = {name: frame.filter(pl.col(BATCH) == only) for name, frame in frames.items()}
    asked = history.spine().with_columns(as_of=FEATURES.spine.as_of.polars())
    sources = {source.name: frames[source.table] for source in FEATURES.sources}
    return Lineage(FEATURES, asked, sources, {"static": frames["static"]})


def expected(feature: Feature, question: dict[str, Any], tables: naive.Tables) -> set[str] | None:
    """Batches of the rows that feed a feature; None for one that looks at no rows."""
    row = {**question, "as_of": FEATURES.spine.as_of.python()(question)}
    if isinstance(feature, Static):
        rows = [r for r in tables[feature.table] if naive._same((feature.by,), r, row)]
        return {name_of(feature.table, r) for r in rows}
    if not isinstance(feature, Agg | ExponentialMean | Last | Open):
        return None
    by = key_columns(feature.by)
    if any(row[column] is None for column in by):
        return set()
    if isinstance(feature, Open):
        return open_items(feature, by, row, tables)
    asked, window = row["as_of"], feature.max_age if isinstance(feature, Last) else feature.window
    asked -= microseconds(feature.ago) if isinstance(feature, Last) else 0
    mine = [
        (t, r)
        for t, r in naive._known(feature.source, tables, asked, microseconds(window))
        if naive._same(by, r, row)
    ]
    if isinstance(feature, Last):
        latest = [max(mine, key=lambda found: (found[0], found[1]["event"]))[1]] if mine else []
    else:
        latest = naive._latest(feature, mine)
    return {name_of(feature.source.table, r) for r in latest}


def open_items(feature: Open, by: tuple[str, ...], row: dict[str, Any], tables: naive.Tables) -> set[str]:
    asked, after = row["as_of"], microseconds(feature.after)
    due = naive._known(feature.due, tables, asked - after, microseconds(feature.window) - after)
    found = set()
    for _, item in due:
        if naive._same(by, item, row):
            found.add(name_of("items", item))
            closed = [
                (t, c["item"])
                for t, c in naive._known(feature.until, tables, asked)
                if c["item"] == item["item"]
            ]
            if closed:
                found.add(f"closings-{min(closed)[1]}-{min(closed)[0]}")
    return found


@settings(max_examples=60, deadline=None)
@given(history=histories)
def test_every_feature_names_the_rows_that_fed_it_and_no_other(history: History) -> None:
    found = lineage(history).of()
    tables = {name: getattr(history, name) for name in TABLES}
    for place, question in enumerate(history.questions):
        for feature in FEATURES.features:
            wanted = expected(feature, question, tables)
            if wanted is not None:
                fed = found[feature.name][place]
                assert fed.batches == wanted, (feature.name, question)
                assert fed.rows == len(wanted), (feature.name, question)


@settings(max_examples=30, deadline=None)
@given(history=histories)
def test_calculated_features_name_the_rows_of_what_they_are_calculated_from(history: History) -> None:
    found = lineage(history).of()
    for gap, last, static in zip(found["gap"], found["v_last_by_k"], found["s_by_k"], strict=True):
        assert gap.batches == last.batches | static.batches
    assert all(fed.rows == 0 for fed in found["letter"] + found["hour"])


@settings(max_examples=30, deadline=None)
@given(history=histories)
def test_a_question_that_a_batch_fed_is_touched_by_it(history: History) -> None:
    fed: list[set[str]] = [set() for _ in history.questions]
    for each in lineage(history).of().values():
        for place, one in enumerate(each):
            fed[place] |= one.batches
    for batch in sorted(set().union(*fed))[:10]:
        touched = lineage(history, only=batch).touched().to_list()
        for place, batches in enumerate(fed):
            assert touched[place] or batch not in batches, (batch, place)


def test_no_rows_at_all_feed_nothing_and_touch_nobody() -> None:
    asked = pl.DataFrame(
        {"k": ["a"], "n": [1], "asked": [0]}, schema={"k": pl.String, "n": pl.Int64, "asked": pl.Int64}
    )
    asked = asked.with_columns(pl.col("asked").cast(TIME)).with_columns(as_of=FEATURES.spine.as_of.polars())
    empty = Lineage(FEATURES, asked, {}, {})
    assert all(fed.rows == 0 and not fed.batches for each in empty.of().values() for fed in each)
    assert empty.touched().to_list() == [False]
