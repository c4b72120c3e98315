"""Where the Online Data Preparation Service keeps what it computed: `features_online`, and how far it came.

Rows, position and pending questions are committed in one transaction, so each question is there once. State
is kept per partition of the keys: how many processes share the work can change. It must not compute.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import polars as pl

from mlplatform.crosscutting.bus.contract import partition_of
from mlplatform.online.archive_batch import Span
from mlplatform.online.questions import LATE_US, Asker, Pending, Question
from mlplatform.stages.preparation.batch import compute
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stores.lake import KEY, Lake, Table, Write

ROWS, STATE, PENDING = "features_online", "features_online_state", "features_online_pending"
_STATE_SCHEMA: dict[str, Any] = {
    KEY: pl.String,
    "epoch": pl.Int64,
    "position": pl.Int64,
    "message_id": pl.String,
    "clock_us": pl.Int64,
}
_PENDING_SCHEMA: dict[str, Any] = {
    KEY: pl.String,
    "key": pl.String,
    "position": pl.Int64,
    "question": pl.String,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class State:
    """How far the stream was taken: everything up to `positions[partition]` is stored or pending."""

    epoch: int = 0
    positions: dict[int, int] = field(default_factory=dict)
    anchor: tuple[int, str] = (0, "")
    clock_us: int = 0

    @property
    def position(self) -> int:
        """The position to go on from."""
        return min(self.positions.values(), default=0)

    def advance(self, anchor: tuple[int, str], clock_us: int) -> None:
        """Everything up to the message `anchor` was taken; a partition that is ahead of it stays so."""
        behind = [number for number, position in self.positions.items() if position < anchor[0]]
        self.positions |= dict.fromkeys(behind, anchor[0])
        self.anchor, self.clock_us = anchor, clock_us


class PreparedStore:
    """The tables of one use case, for the partitions of the keys that are `owned`; `share` names them."""

    def __init__(
        self,
        lake: Lake,
        use_case: str,
        feature_set: FeatureSet,
        asker: Asker,
        owned: Iterable[int],
        share: str,
    ) -> None:
        self._lake, self._use_case, self._feature_set, self._asker = lake, use_case, feature_set, asker
        self._owned, self._share = sorted(owned), share
        self._id = feature_set.id
        self._schema: dict[str, Any] = {}

    def load(self, pending: Pending) -> State:
        """The state as committed last; the questions then pending, and those answered lately, are noted."""
        state = State(positions=dict.fromkeys(self._owned, 0))
        names = [f"p{number}" for number in self._owned]
        if self._lake.exists(self._table(STATE)):
            rows = self._lake.read(self._table(STATE), partitions=names).sort("epoch", "position")
            for name, epoch, position, message_id, clock in rows.iter_rows():
                if epoch > state.epoch:
                    state = State(epoch, dict.fromkeys(self._owned, 0))
                state.positions[int(name[1:])] = position
                state.anchor = max(state.anchor, (position, message_id))
                state.clock_us = min(state.clock_us or clock, clock)
        if self._lake.exists(self._table(ROWS)):
            self._note_answered(pending, state.clock_us)
        if self._lake.exists(self._table(PENDING)):
            for text in self._lake.read(self._table(PENDING), partitions=names)["question"]:
                pending.ask(msgspec.json.decode(text, type=Question), 0)
        return state

    def commit(
        self, state: State, first: int, answers: Sequence[tuple[Question, list[Any]]], p: Pending
    ) -> None:
        """Store answers (question and vector), the state and the pending questions, all or nothing.

        Raises
        ------
        StoreError, SchemaMismatch
            if the lake refuses; whether it was done, `load` tells.
        """
        writes = [self._state(state), self._pending(p)]
        if answers:
            name = f"{Span(state.epoch, first, state.position).partition}-{self._share}"
            frame = self._frame(answers, name)
            writes.append(Write(self._table(ROWS), frame, [name], evolve=True))
        self._lake.write_all(writes)

    def _note_answered(self, pending: Pending, clock_us: int) -> None:
        since = _EPOCH + timedelta(microseconds=max(0, clock_us - LATE_US))
        columns = [*self._feature_set.spine.key, "as_of"]
        rows = self._lake.read(self._table(ROWS), columns=columns, moments={"as_of": (since, None)})
        times = [name for name, kind in rows.schema.items() if isinstance(kind, pl.Datetime)]
        for row in rows.with_columns(pl.col(times).dt.timestamp("us")).iter_rows(named=True):
            pending.answered(self._asker.key_of(row), row["as_of"])

    def _state(self, state: State) -> Write:
        rows = [
            (f"p{number}", state.epoch, position, state.anchor[1], state.clock_us)
            for number, position in sorted(state.positions.items())
            if position == state.anchor[0]  # one that is ahead keeps what it has
        ]
        frame = pl.DataFrame(rows, schema=_STATE_SCHEMA, orient="row")
        return Write(self._table(STATE), frame, [row[0] for row in rows])

    def _pending(self, pending: Pending) -> Write:
        rows = [
            (f"p{partition_of(each.key)}", each.key, each.position, msgspec.json.encode(each).decode())
            for each in pending.waiting.values()
        ]
        frame = pl.DataFrame(rows, schema=_PENDING_SCHEMA, orient="row")
        names = [f"p{number}" for number in self._owned]
        return Write(self._table(PENDING), frame, names, allow_empty=True)

    def _frame(self, answers: Sequence[tuple[Question, list[Any]]], name: str) -> pl.DataFrame:
        schema = self._schema = self._schema or self._columns()
        features = self._feature_set.names
        rows = [
            question.facts | {"as_of": question.as_of} | dict(zip(features, vector, strict=True))
            for question, vector in answers
        ]
        columns = [_series(column, [row[column] for row in rows], kind) for column, kind in schema.items()]
        told = {"feature_set": pl.lit(self._id), KEY: pl.lit(name)}
        days = pl.Series("day", [question.day for question, _ in answers], pl.String)
        positions = pl.Series("position", [question.position for question, _ in answers], pl.Int64)
        return self._filled(pl.DataFrame([*columns, days, positions]).with_columns(**told))

    def _filled(self, frame: pl.DataFrame) -> pl.DataFrame:
        """With the columns of earlier feature sets, empty."""
        table = self._table(ROWS)
        if not self._lake.exists(table):
            return frame
        stored = self._lake.read(table, partitions=[]).schema
        gone = {name: kind for name, kind in stored.items() if name not in frame.columns}
        return frame.with_columns(pl.lit(None, kind).alias(name) for name, kind in gone.items())

    def _columns(self) -> dict[str, Any]:
        """Names and types of the batch table's columns, as the batch executor gives them for no question."""
        spine, names = self._feature_set.spine, dict.fromkeys(s.table for s in self._feature_set.sources)
        daily = {name: self._lake.read(self._table(name), partitions=[]) for name in [*names, spine.table]}
        static = {name: self._lake.read(self._table(name)).clear() for name in self._feature_set.statics}
        return dict(compute(self._feature_set, daily[spine.table], daily | static).schema)

    def _table(self, name: str) -> Table:
        return Table(self._use_case, name)


def _series(name: str, values: list[Any], kind: Any) -> pl.Series:
    if isinstance(kind, pl.Datetime):
        return pl.Series(name, values, pl.Int64).cast(kind)
    return pl.Series(name, values, kind)
