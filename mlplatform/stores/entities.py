"""The facts of the newest questions by their key, so that a question can name its entity only.

They come from the lake's rows and from the rows of the stream. It must not compute features.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl

from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stores.lake import Lake, Table

Facts = dict[str, Any]
MOST = 200_000
"""Entities that are kept; the oldest go first. One takes about 1 kB."""
_BACK = timedelta(days=1)


class Entities:
    """Facts by the spine's key, times as µs; one thread may take rows while another looks them up."""

    def __init__(self, feature_set: FeatureSet, most: int = MOST) -> None:
        spine = feature_set.spine
        self._key, self._facts, self._most = tuple(spine.key), tuple(spine.facts), most
        self._asking = frozenset(
            source.name
            for source in feature_set.sources
            if source.table == spine.table and source.at in spine.facts
        )
        self._known: dict[tuple[Any, ...], Facts] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Sequence[Any]) -> Facts | None:
        """The facts of this key, if they are known."""
        return self._known.get(tuple(key))

    def take(self, source: str, row: Mapping[str, Any]) -> None:
        """Take a row of a source; one whose clock is no fact of the question tells none."""
        if source in self._asking:
            self.put(row)

    def put(self, row: Mapping[str, Any]) -> None:
        """Take a row of the spine's table; one without its whole key is left out."""
        key = tuple([row.get(name) for name in self._key])
        if None in key:
            return
        self._known.pop(key, None)
        self._known[key] = {name: row.get(name) for name in self._facts}
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]


def entities(lake: Lake, use_case: str, feature_set: FeatureSet) -> Entities:
    """Those of the lake's newest day and the one before it.

    Raises
    ------
    StoreError
        if the lake cannot be read.
    """
    spine, found = feature_set.spine, Entities(feature_set)
    table = Table(use_case, spine.table)
    days = lake.partitions(table) if lake.exists(table) else []
    there = lake.read(table, partitions=[]).columns if days else []
    if not set(spine.key) <= set(there):
        return found  # questions are made elsewhere, not stored as rows
    first = f"{date.fromisoformat(days[-1]) - _BACK}"
    columns = [name for name in dict.fromkeys([*spine.key, *spine.facts]) if name in there]
    rows = lake.read(table, columns=columns, first=first)
    times = [name for name, kind in rows.schema.items() if isinstance(kind, pl.Datetime)]
    for row in rows.with_columns(pl.col(times).dt.timestamp("us")).iter_rows(named=True):
        found.put(row)
    return found
