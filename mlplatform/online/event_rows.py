"""Reads events' documents: JSON in, name of the source and a plain row out, every value checked by its type.

One typed msgspec decoder per source is made from the spine's facts and the columns of the cleaned tables, so
reading and checking are one pass. Times become microseconds since 1970 (UTC, int); what a document leaves
out is None. It must not know a bus, nor keep features.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any

import msgspec
import polars as pl

from mlplatform.errors import FeatureError
from mlplatform.online.streams import Streams
from mlplatform.stages.preparation.declarations import FactType, FeatureSet, Source, columns_of
from mlplatform.stores.lake import KEY, Lake, Table

Row = dict[str, Any]
Schemas = Mapping[str, Mapping[str, pl.DataType]]
"""Table -> column -> type."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_MOMENT = Annotated[datetime, msgspec.Meta(tz=True)]
_FACTS: dict[FactType, Any] = {"string": str, "int": _WHOLE, "float": float, "time": _MOMENT, "bool": bool}
_REFUSED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError)


class _Head(msgspec.Struct):
    type: str = ""


@dataclass(frozen=True)
class _Reader:
    source: str
    names: tuple[str, ...]
    times: tuple[str, ...]
    decode: Callable[[bytes], msgspec.Struct]

    def row(self, document: bytes) -> Row:
        row = dict(zip(self.names, msgspec.structs.astuple(self.decode(document)), strict=True))
        for name in self.times:
            row[name] = microseconds(row[name])
        return row


class EventRows:
    """Reads the documents of a use case's streams as rows of the sources of `feature_set`.

    An event whose type is mapped to no source, or to one that this feature set does not read, is nobody's.
    """

    def __init__(self, streams: Streams, feature_set: FeatureSet, schemas: Schemas) -> None:
        sources = {source.name: source for source in feature_set.sources}
        readers = {name: _reader(feature_set, source, schemas) for name, source in sources.items()}
        self._readers = {
            (stream, kind): readers[name]
            for stream, told in streams.streams.items()
            for kind, name in told.sources.items()
            if name in readers
        }
        self._head = msgspec.json.Decoder(_Head).decode

    def read(self, stream: str, document: bytes | msgspec.Raw) -> tuple[str, Row] | None:
        """Source and row of an event; None if it is nobody's.

        Raises
        ------
        FeatureError
            if the document is no JSON object, or a value has another type than its column.
        """
        content = bytes(document)
        try:
            reader = self._readers.get((stream, self._head(content).type))
            return None if reader is None else (reader.source, reader.row(content))
        except _REFUSED as error:
            raise FeatureError(
                f"an event of stream {stream!r} cannot be read: {str(error)[:300]}.",
                hint="Send the cleaned table's columns by name; times as 2013-12-31T18:05:00Z.",
            ) from error


class Reach:
    """Which rows say anything to questions as of `whole_from_us` (UTC, µs) or later.

    They are those that a memory reads from the lake: any of their table's clocks is late enough. The rows
    before them would go to the beginning of every log, where each moves all that lie behind it.
    """

    def __init__(self, feature_set: FeatureSet, whole_from_us: int) -> None:
        self._from = {
            source.name: [
                (clock, whole_from_us - us) for clock, us in feature_set.clocks(source.table).items()
            ]
            for source in feature_set.sources
        }

    def has(self, source: str, row: Row) -> bool:
        """Whether a row of a source is one of them."""
        return any((row[clock] or 0) >= begin for clock, begin in self._from[source])


def schemas(lake: Lake, use_case: str, feature_set: FeatureSet) -> Schemas:
    """Columns and types of the cleaned tables that a feature set reads.

    Raises
    ------
    NotFound
        if a table does not exist yet.
    """
    tables = dict.fromkeys([feature_set.spine.table, *(source.table for source in feature_set.sources)])
    return {name: lake.read(Table(use_case, name), partitions=[]).drop(KEY).schema for name in tables}


def microseconds(moment: datetime | None) -> int | None:
    """Microseconds since 1970 of a time with a zone."""
    if moment is None:
        return None
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _reader(feature_set: FeatureSet, source: Source, schemas: Schemas) -> _Reader:
    types = _types(feature_set, source, schemas.get(source.table, {}))
    # Columns may have names that Python's fields may not: the fields are numbered and renamed.
    fields: list[tuple[str, Any, Any]] = [
        (f"f{n}", kind | None, None) for n, kind in enumerate(types.values())
    ]
    renamed = {f"f{n}": name for n, name in enumerate(types)}
    row = msgspec.defstruct("Event", fields, kw_only=True, rename=renamed)
    times = tuple(name for name, kind in types.items() if kind is _MOMENT)
    return _Reader(source.name, tuple(types), times, msgspec.json.Decoder(row).decode)


def _types(feature_set: FeatureSet, source: Source, schema: Mapping[str, pl.DataType]) -> dict[str, Any]:
    spine = feature_set.spine
    facts = {name: _FACTS[kind] for name, kind in spine.facts.items()} if source.table == spine.table else {}
    names = {*columns_of(feature_set.features, source.table), *facts}
    names |= set(spine.key) if facts else set()
    return {name: facts.get(name) or _type(schema.get(name)) for name in sorted(names)}


def _type(kind: pl.DataType | None) -> Any:
    if kind is None:
        return str | int | float | bool
    if kind.is_integer():
        return _WHOLE
    if kind.is_float():
        return float
    if kind == pl.Boolean:
        return bool
    if kind == pl.Date:
        return date
    return _MOMENT if isinstance(kind, pl.Datetime) else str
