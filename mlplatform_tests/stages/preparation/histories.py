"""Small made-up histories that are full of ties, gaps and late closings, and one feature set over them.

Times are minutes after `START` in a history and microseconds (or UTC times) outside. No test lives here.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
from hypothesis import strategies as st

from mlplatform.features import (
    Agg,
    Category,
    ExponentialMean,
    FeatureSet,
    Last,
    Open,
    Row,
    Source,
    Spine,
    Static,
    col,
)
from mlplatform.stages.preparation.declarations import AggFunction

Rows = list[dict[str, Any]]

MINUTE = 60_000_000
START = 1_362_898_800_000_000  # 2013-03-10 07:00 UTC, the hour in which New York springs forward
TIME = pl.Datetime("us", "UTC")

events = Source("events", table="events", at="at", key=("event",))
slow = Source("slow", table="events", at="at", key=("event",), lag="7m")
items = Source("items", table="items", at="due", key=("item",))
closings = Source("closings", table="closings", at="closed", key=("item",))

SCHEMAS: dict[str, dict[str, Any]] = {
    "events": {"event": pl.Int64, "at": TIME, "k": pl.String, "n": pl.Int64, "v": pl.Int64, "f": pl.Float64}
    | {"b": pl.Boolean, "text": pl.String},
    "items": {"item": pl.Int64, "due": TIME, "k": pl.String, "n": pl.Int64},
    "closings": {"item": pl.Int64, "closed": TIME, "v": pl.Int64},
    "static": {"k": pl.String, "s": pl.Int64},
    "spine": {"question": pl.Int64, "k": pl.String, "n": pl.Int64, "asked": TIME},
}

ALL_FUNCTIONS: tuple[AggFunction, ...] = ("count", "sum", "mean", "std", "min", "max", "distinct")
BYS: tuple[str | tuple[str, ...], ...] = ("k", ("k", "n"), ())

FEATURES = FeatureSet(
    "made_up",
    Spine(
        "spine",
        key=("question",),
        facts={"k": "string", "n": "int", "asked": "time"},
        as_of=col("asked").minus("3m"),
    ),
    (
        Category("k", name="letter"),
        *(Agg(events, by, "count", window) for by in BYS for window in ("5m", "1h")),
        *(
            Agg(events, by, fn, "10m", "v")
            for by in BYS
            for fn in ("count", "sum", "mean", "std", "min", "max")
        ),
        *(Agg(events, "k", fn, "1h", "v", scale=3) for fn in ("sum", "mean", "std", "max")),
        *(
            Agg(slow, "k", fn, "20m", "f", 10, f"f_{fn}")
            for fn in ("count", "sum", "mean", "std", "min", "max")
        ),
        *(Agg(events, "n", fn, "30m", "b") for fn in ("sum", "mean", "max")),
        *(Agg(events, by, fn, "1h", "v", last=3) for by in BYS for fn in ALL_FUNCTIONS),
        *(Agg(events, by, "count", "1h", last=2) for by in BYS),
        *(Agg(events, by, "distinct", window, "v") for by in BYS for window in ("10m", "1h")),
        *(Agg(slow, by, "distinct", "30m", "text", last=last) for by in BYS for last in (None, 4)),
        *(ExponentialMean(events, by, "v", "1h", last=4) for by in BYS),
        ExponentialMean(slow, "k", "f", "30m", last=3, decay=0.9, scale=10),
        *(Last(events, by, value, "40m") for by in BYS for value in ("v", "age")),
        Last(events, "k", "text", "1h"),
        Last(slow, "k", "f", "10m", ago="5m"),
        *(Open(items, closings, by, "count", "1h", "5m") for by in BYS),
        *(Open(items, closings, by, "mean_age", "30m") for by in BYS),
        *(
            Open(items, closings, by, "mean_state", window, value="v")
            for by in BYS
            for window in ("20m", "2h")
        ),
        Open(items, closings, "k", "count", "2h"),
        Static("static", by="k", value="s"),
        Row("gap", col("v_last_by_k") - col("s_by_k")),
        Row("hour", col("as_of").hour("America/New_York")),
    ),
)


@dataclass(frozen=True)
class History:
    """Rows of every table and the questions; times in microseconds."""

    events: Rows
    items: Rows
    closings: Rows
    static: Rows
    questions: Rows

    def frames(self) -> dict[str, pl.DataFrame]:
        """The tables as frames."""
        return {name: frame(name, getattr(self, name)) for name in ("events", "items", "closings", "static")}

    def spine(self) -> pl.DataFrame:
        """The questions as a frame."""
        return frame("spine", self.questions)

    def deliveries(self) -> list[tuple[str, dict[str, Any]]]:
        """Every row that is an event, with its source, in order of being known."""
        found = [
            (row[source.at] + (7 * MINUTE if source is slow else 0), number, source.name, row)
            for number, (source, rows) in enumerate(
                [(events, self.events), (slow, self.events), (items, self.items), (closings, self.closings)]
            )
            for row in rows
            if row[source.at] is not None
        ]
        return [(name, row) for _, _, name, row in sorted(found, key=lambda delivery: delivery[:2])]

    def shuffled(self, shuffle: Any) -> "History":
        """The same history with the rows of every table in another order."""
        moved = {name: list(getattr(self, name)) for name in ("events", "items", "closings", "static")}
        for rows in moved.values():
            shuffle(rows)
        return replace(self, **moved)


def frame(table: str, rows: Rows) -> pl.DataFrame:
    """Rows with times in microseconds as a frame of the table's schema."""
    schema = SCHEMAS[table]
    physical = {name: pl.Int64 if dtype == TIME else dtype for name, dtype in schema.items()}
    times = [name for name, dtype in schema.items() if dtype == TIME]
    return pl.DataFrame(rows, schema=physical, orient="row").with_columns(pl.col(times).cast(TIME))


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(strategy, strategy, strategy, st.none())


_coarse = st.integers(0, 15).map(lambda step: 10 * step)
_minutes = st.one_of(_coarse, st.integers(0, 150)).map(lambda minute: START + minute * MINUTE)
_letters = _maybe(st.sampled_from("abc"))
_numbers = _maybe(st.integers(1, 2))
_values = _maybe(st.integers(-40, 40))


def _rows(columns: dict[str, st.SearchStrategy[Any]], identity: str | None, most: int) -> Any:
    rows = st.lists(st.fixed_dictionaries(columns), max_size=most)
    if identity is None:
        return rows
    return rows.map(lambda found: [row | {identity: _jumbled(number)} for number, row in enumerate(found)])


def _jumbled(number: int) -> int:
    """Every number once, but not in order, so that a key says nothing about the place in its table."""
    return number * 11 % 31


histories: st.SearchStrategy[History] = st.builds(
    History,
    events=_rows(
        {"at": _maybe(_minutes), "k": _letters, "n": _numbers, "v": _values, "b": _maybe(st.booleans())}
        | {"f": _maybe(st.floats(-9, 9, width=32)), "text": _maybe(st.sampled_from(["x", "y"]))},
        "event",
        25,
    ),
    items=_rows({"due": _maybe(_minutes), "k": _letters, "n": _numbers}, "item", 12),
    closings=_rows(
        {"item": st.integers(0, 14).map(_jumbled), "closed": _maybe(_minutes), "v": _values}, None, 16
    ),
    static=st.lists(st.sampled_from("abd"), unique=True).map(
        lambda keys: [{"k": key, "s": ord(key)} for key in keys]
    ),
    questions=_rows({"asked": _minutes, "k": _letters, "n": _numbers}, "question", 12),
)


def different(names: Sequence[str], one: Sequence[Any], other: Sequence[Any]) -> dict[str, tuple[Any, Any]]:
    """Which values differ in any bit, numbers being compared as the floats a model sees."""
    pairs = zip(names, one, other, strict=True)
    return {name: (a, b) for name, a, b in pairs if _bits(a) != _bits(b)}


def _bits(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else struct.pack("d", value)


def physical(table: pl.DataFrame) -> Rows:
    """A frame as plain Python rows, times in microseconds: what an event or a question carries."""
    return table.with_columns(pl.col(TIME).to_physical()).to_dicts()
