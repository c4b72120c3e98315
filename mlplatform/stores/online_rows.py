"""Reads from a Valkey or Redis server the rows that one question needs, in two round trips.

It must not know what features are made of rows; `online_valkey.py` has the executor.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlplatform.errors import FeatureError
from mlplatform.stores.online import Facts
from mlplatform.stores.online_layout import Group, Layout, key_bytes, read
from mlplatform.stores.valkey_link import Link

Row = tuple[int, str, list[Any]]
"""When it became known (µs), of which source, and its values."""

Statics = dict[str, list[dict[str, Any]]]
"""Rows by static table."""

_Members = dict[str, dict[bytes, list[Any]]]


class RowsReader:
    """Rows within reach of a question; the same row found by several keys is one."""

    def __init__(self, link: Link, layout: Layout) -> None:
        self._link, self._layout = link, layout

    def rows(self, facts: Facts, asked: int) -> tuple[list[Row], Statics]:
        """The rows for these facts in order of known time, and the rows of static tables.

        Raises
        ------
        FeatureError
            if the question is older than what is kept.
        StoreError
            if the server does not answer, or holds what is no row.
        """
        wanted = list(self._wanted(facts))
        statics = [(t, by) for t, by in self._layout.static_keys if facts[by] is not None]
        answers = self._first(facts, asked, wanted, statics)
        members: _Members = {source: {} for source in self._layout.kept}
        items: dict[str, set[bytes]] = {}
        for (source, group, _), answer in zip(wanted, answers[: len(wanted)], strict=True):
            self._collect(source, answer, members)
            self._note_items(source, group, answer, asked, members[source], items)
        self._closings(items, members)
        found = [
            (self._layout.kept[source].known(values), source, values)
            for source, rows in members.items()
            for values in rows.values()
        ]
        found.sort(key=lambda row: row[0])
        return found, self._static_rows(statics, answers[len(wanted) :])

    def _wanted(self, facts: Facts) -> Iterable[tuple[str, Group, bytes]]:
        for source, kept in self._layout.kept.items():
            for group in kept.groups:
                key = group.key(self._layout.prefix, facts)
                if key is not None:
                    yield source, group, key

    def _first(
        self,
        facts: Facts,
        asked: int,
        wanted: Sequence[tuple[str, Group, bytes]],
        statics: Sequence[tuple[str, str]],
    ) -> list[Any]:
        with self._link.pipeline(whole=False) as pipe:
            for _, group, key in wanted:
                pipe.zrangebyscore(key, f"({asked - group.reach_us}", asked)
            for table, by in statics:
                pipe.hget(self._layout.static_key(table, by), key_bytes([facts[by]]))
            # Last: rows are dropped only after this was raised, so what was read before is still whole.
            pipe.zscore(self._layout.marks, self._layout.KEPT_FROM)
            found: list[Any] = pipe.execute()
        kept_from, answers = found[-1], found[:-1]
        if kept_from is not None and asked < kept_from:
            raise FeatureError(
                f"the question is as of {asked} µs; rows are kept for questions from {int(kept_from)} µs on.",
                hint="Compute features of the past with the batch executor.",
            )
        return answers

    def _collect(self, source: str, answer: Iterable[bytes], members: _Members) -> None:
        columns, found = self._layout.kept[source].columns, members[source]
        for member in answer:
            if member not in found:
                found[member] = read(member, columns, timed=True)

    def _note_items(
        self,
        source: str,
        group: Group,
        answer: Iterable[bytes],
        asked: int,
        found: Mapping[bytes, list[Any]],
        items: dict[str, set[bytes]],
    ) -> None:
        """Note under which keys the closings of these items lie, of those due within reach."""
        kept = self._layout.kept[source]
        for until, reach in group.closed_by:
            closes = self._layout.kept[until].closes
            rows = (found[member] for member in answer)
            due = [kept.item(values) for values in rows if kept.known(values) > asked - reach]
            if closes is not None:
                keys = (closes.key_of(self._layout.prefix, item) for item in due)
                items.setdefault(until, set()).update(key for key in keys if key is not None)

    def _closings(self, items: Mapping[str, set[bytes]], members: _Members) -> None:
        """Fetch the closings of items; those later than the question do no harm."""
        wanted = [(until, sorted(keys)) for until, keys in items.items() if keys]
        if not wanted:
            return
        with self._link.pipeline(whole=False) as pipe:
            for _, keys in wanted:
                pipe.zunion(keys)
            answers = pipe.execute()
        for (until, _), answer in zip(wanted, answers, strict=True):
            self._collect(until, answer, members)

    def _static_rows(self, wanted: Sequence[tuple[str, str]], answers: Sequence[bytes | None]) -> Statics:
        """Per table the rows found, each once; a table without any is empty."""
        found: dict[str, dict[bytes, dict[str, Any]]] = {table: {} for table in self._layout.statics}
        for (table, _), answer in zip(wanted, answers, strict=True):
            if answer is not None:
                columns = self._layout.statics[table]
                found[table][answer] = dict(zip(columns, read(answer, columns), strict=True))
        return {table: list(rows.values()) for table, rows in found.items()}
