"""A lake in memory with the rules of the real one for what the Raw Data Store asks of it.

`faults/test_delivery_order.py` compares the two. It must not stand in where durability or speed is tested.
"""

from collections.abc import Sequence
from typing import cast

import polars as pl

from mlplatform.errors import NotFound, SchemaMismatch
from mlplatform.stores.lake import KEY, Lake, Table, Write
from mlplatform.stores.lake_rows import check_rows, in_order, plain

Partitions = dict[str | None, pl.DataFrame]


class FakeLake:
    """Tables by name; a `write_all` replaces partitions or whole tables, all of it or nothing."""

    def __init__(self) -> None:
        self._tables: dict[Table, Partitions] = {}
        self._shapes: dict[Table, pl.DataFrame] = {}

    def as_lake(self) -> Lake:
        """This lake for what asks for a Lake."""
        return cast(Lake, self)

    def write_all(self, writes: Sequence[Write]) -> None:
        """As `Lake.write_all`, without `evolve`."""
        after, shapes = dict(self._tables), dict(self._shapes)
        prepared = [(w, None if w.partitions is None else sorted(set(w.partitions))) for w in writes]
        for each, keys in prepared:
            check_rows(each.table, each.frame, keys, allow_empty=each.allow_empty)
        for each, keys in prepared:
            rows = plain(each.frame)
            shape = shapes.setdefault(each.table, rows.clear())
            if dict(shape.schema) != dict(rows.schema):
                raise SchemaMismatch(f"{each.table} does not take these columns: {rows.schema}.")
            before = {} if keys is None else after.get(each.table, {})
            left = {key: part for key, part in before.items() if key not in (keys or ())}
            after[each.table] = left | _parts(rows.select(shape.columns))
        self._tables, self._shapes = after, shapes

    def read(
        self, table: Table, *, columns: Sequence[str] | None = None, partitions: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """As `Lake.read`."""
        if not self.exists(table):
            raise NotFound(f"There is no table {table}.")
        stored = self._tables[table]
        wanted = [key for key in stored if partitions is None or key in partitions]
        rows = pl.concat([self._shapes[table], *(stored[key] for key in wanted)])
        rows = in_order(rows) if KEY in rows.columns else rows
        return rows if columns is None else rows.select(columns)

    def exists(self, table: Table) -> bool:
        """As `Lake.exists`."""
        return table in self._shapes

    def close(self) -> None:
        """As `Lake.close`: nothing is forgotten."""


def _parts(rows: pl.DataFrame) -> Partitions:
    if KEY not in rows.columns:
        return {None: rows}
    if rows.height and rows[KEY].n_unique() == 1:
        return {rows[KEY][0]: rows}
    return {key: part for (key,), part in rows.partition_by(KEY, as_dict=True).items()}
