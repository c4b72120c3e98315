"""What may be written to the lake: checks and preparation of a frame's rows.

It must not open a connection: frames and names in, frames or errors out.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from mlplatform.errors import NotFound, RowsRefused, SchemaMismatch
from mlplatform.stores.lake_sql import KEY, Table


def check_columns(table: Table, stored: Mapping[str, str], wanted: Sequence[str]) -> None:
    """Raise NotFound unless the table is stored (has columns) and has the wanted ones."""
    if not stored:
        raise NotFound(f"There is no table {table}.", hint="Materialize its asset, or run `mlplatform run`.")
    if unknown := [name for name in wanted if name not in stored]:
        raise NotFound(f"{table} has no column {', '.join(unknown)}; it has {', '.join(stored)}.")


def check_rows(table: Table, frame: pl.DataFrame, keys: list[str] | None, *, allow_empty: bool) -> None:
    """Raise unless the rows of `frame` are those of the partitions `keys` (None: of the whole table)."""
    if untyped := [name for name, kind in frame.schema.items() if kind == pl.Null]:
        raise SchemaMismatch(
            f"{table}: {_some(untyped)} has no type, all its values being null.",
            hint="Cast it to the type its values will have.",
        )
    if keys is None:
        empty = [] if frame.height else ["the whole table"]
    else:
        if frame.schema.get(KEY) != pl.String:
            raise SchemaMismatch(
                f"{table}: {KEY} is {frame.schema.get(KEY, 'missing')}; it must be a String column.",
                hint=f"Add {KEY} to the frame, as YYYY-MM-DD.",
            )
        held = set(frame[KEY].unique())
        if outside := sorted(map(str, held - set(keys))):
            raise RowsRefused(
                f"{table}: rows of {_some(outside)} are not among the partitions to write, {_some(keys)}.",
                hint="Filter the frame to the partitions of this run.",
            )
        empty = [key for key in keys if key not in held] or ([] if keys else ["no partition"])
    if empty and not allow_empty:
        raise RowsRefused(
            f"{table}: no rows for {_some(empty)}; at least one is needed.",
            hint="An empty source would erase what is stored; if none is right, say allow_empty=True.",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows by partition, each partition as it was: row groups can be skipped, and training is repeatable."""
    return frame if frame[KEY].is_sorted() else frame.sort(KEY, maintain_order=True)


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Categories as text: their type lists the values of one frame, so that of the next would differ."""
    coded = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Categorical | pl.Enum)]
    return frame.with_columns(pl.col(coded).cast(pl.String)) if coded else frame
