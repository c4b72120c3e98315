"""The online store on a Valkey or Redis server: rows shared by any number of processes.

It keeps rows, not sums: a row is a member of sorted sets, so telling it again changes nothing, whoever does,
in whatever order. A vector is one round trip for the rows of the question's own keys, a second for closings
of the open items among them; the in-process executor makes the vector of these rows, hence the same bits.

It must not read a clock. Keys do not expire by the server's clock either: data may be of the past or come
slower than real time, and a window that has silently lost rows is wrong. `advance` drops by the time of data.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from mlplatform.errors import FeatureError, StoreError
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.online import OnlineFeatures
from mlplatform.stores.online import Facts
from mlplatform.stores.online_layout import Group, Kept, Layout, key_bytes, written
from mlplatform.stores.online_rows import Row, RowsReader
from mlplatform.stores.valkey_link import Link

BATCH = 1000
"""Rows told, or sorted sets looked through, in one round trip."""

_END = 2**62

Scores = dict[bytes, dict[bytes, int]]
"""Members and scores of sorted sets."""


class _Scratch(OnlineFeatures):
    """The executor of one question: planning it costs milliseconds, so it is emptied and used again."""

    def clear(self) -> None:
        """Forget every row."""
        self._drop_before(_END)
        self._kept_from = None


class ValkeyStore:
    """The store at a URL. It makes one vector at a time; any number of stores may share a server."""

    def __init__(self, url: str, feature_set: FeatureSet, namespace: str, *, grace: str = "1d") -> None:
        self.feature_set = feature_set
        self._layout, self._link = Layout(feature_set, namespace), Link(url)
        self._reader = RowsReader(self._link, self._layout)
        self._scratch, self._lock = _Scratch(feature_set), threading.Lock()
        self._grace_us, self._prune_at = microseconds(grace), 0
        self.as_of = self._scratch.as_of
        self.close = self._link.close

    @property
    def newest(self) -> int | None:
        """When the newest row became known (µs)."""
        return self._link.score(self._layout.marks, Layout.NEWEST)

    def event(self, source: str, row: Facts) -> None:
        """Take one row of a source."""
        self._tell([(source, row)])

    def events(self, rows: Iterable[tuple[str, Facts]]) -> int:
        """Take many rows; of a thousand at a time all are seen or none."""
        rest, count = iter(rows), 0
        while batch := list(islice(rest, BATCH)):
            self._tell(batch)
            count += len(batch)
        return count

    def load_static(self, table: str, rows: Iterable[Facts]) -> None:
        """Replace the rows of a static table, all at once."""
        kept = list(rows)
        with self._lock:
            self._scratch.load_static(table, kept)  # refuses several rows of one key
        columns = self._layout.statics.get(table, [])
        with self._link.pipeline(whole=True) as pipe:
            for by in (by for name, by in self._layout.static_keys if name == table):
                keyed = [row for row in kept if row[by] is not None]
                found = {key_bytes([row[by]]): written([row[c] for c in columns]) for row in keyed}
                pipe.delete(self._layout.static_key(table, by))
                if found:
                    pipe.hset(self._layout.static_key(table, by), mapping=found)
            pipe.execute()

    def advance(self, now_us: int) -> None:
        """Say what time it is; rows are dropped once in a 64th of the retention."""
        if now_us < self._prune_at:
            return
        self._prune_at = now_us + self.feature_set.retention_us // 64
        kept_from = now_us - self._grace_us
        # Said first, so that nobody takes what is left for all there was.
        self._link.raise_score(self._layout.marks, Layout.KEPT_FROM, kept_from)
        for kept in self._layout.kept.values():
            for group in kept.groups:
                self._drop(group, kept_from - group.reach_us, idle_only=False)
            if kept.closes:
                self._drop(kept.closes, kept_from - kept.closes.reach_us, idle_only=True)

    def vector(self, facts: Facts) -> list[Any]:
        """The features for these facts, made of the rows the server keeps for their keys."""
        return self.vector_at(self.as_of(facts), facts)

    def vector_at(self, asked: int, facts: Facts) -> list[Any]:
        """The same for facts whose time is known already."""
        with self._lock:
            self._scratch.clear()
            if all(name in facts for name in self.feature_set.spine.facts):
                rows, statics = self._reader.rows(facts, asked)
                for table, found in statics.items():
                    self._scratch.load_static(table, found)
                self._feed(rows)
            return self._scratch.vector_at(asked, facts)

    def rows_for(self, facts: Facts) -> int:
        """How many rows a vector for these facts is made of."""
        return len(self._reader.rows(facts, self.as_of(facts))[0])

    def position(self, stream: str) -> int | None:
        """Up to which sequence of a stream every event was taken."""
        return self._link.score(self._layout.positions, stream.encode())

    def set_position(self, stream: str, sequence: int) -> None:
        """Say up to where a stream was taken."""
        self._link.raise_score(self._layout.positions, stream.encode(), sequence)

    def _tell(self, batch: Sequence[tuple[str, Facts]]) -> None:
        sets: Scores = {}
        indexes: Scores = {}
        for source, row in batch:
            kept = self._kept(source)
            values = kept.values(row)
            if values is not None:
                self._place(kept, row, written(values), kept.known(values), sets, indexes)
        if indexes:
            self._write(sets, indexes)

    def _kept(self, source: str) -> Kept:
        kept = self._layout.kept.get(source)
        if kept is None:
            raise FeatureError(
                f"got an event of source {source!r}; allowed: {', '.join(self._layout.kept)}.",
                hint="The event belongs to another feature set.",
            )
        return kept

    def _place(
        self, kept: Kept, row: Facts, member: bytes, known: int, sets: Scores, indexes: Scores
    ) -> None:
        """Note every sorted set that a row belongs to."""
        marks = indexes.setdefault(self._layout.marks, {})
        marks[Layout.NEWEST] = max(known, marks.get(Layout.NEWEST, known))
        for group in kept.places:
            key = group.key(self._layout.prefix, row)
            if key is not None:
                sets.setdefault(key, {})[member] = known
                index = indexes.setdefault(group.index(self._layout.prefix), {})
                index[key] = max(known, index.get(key, known))

    def _write(self, sets: Mapping[bytes, Any], indexes: Mapping[bytes, Any]) -> None:
        with self._link.pipeline(whole=True) as pipe:
            for key, members in sets.items():
                pipe.zadd(key, members)
            for key, names in indexes.items():
                pipe.zadd(key, names, gt=True)
            pipe.execute()

    def _feed(self, rows: Iterable[Row]) -> None:
        event, kept = self._scratch.event, self._layout.kept
        try:
            for _, source, values in rows:
                event(source, dict(zip(kept[source].columns, values, strict=True)))
        except (FeatureError, TypeError) as error:
            raise StoreError(
                f"the online store {self._link.url} holds a row that features cannot use: {error}",
                hint="Another program writes there: empty the database and `mlplatform warm` it.",
            ) from error

    def _drop(self, group: Group, horizon: int, *, idle_only: bool) -> None:
        """Drop the rows of a group known up to `horizon`; an emptied sorted set is no more, by itself.

        The index names every sorted set, so none is forgotten. Every step only removes what is old: a row
        told in between stays.
        """
        index = group.index(self._layout.prefix)
        with self._link.client() as client:
            names = client.zrangebyscore(index, "-inf", horizon if idle_only else "+inf")
        for start in range(0, len(names), BATCH):
            with self._link.pipeline(whole=False) as pipe:
                for name in names[start : start + BATCH]:
                    pipe.zremrangebyscore(name, "-inf", horizon)
                pipe.execute()
        with self._link.client() as client:
            client.zremrangebyscore(index, "-inf", horizon)
