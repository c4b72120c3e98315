"""Delivered bytes as rows of text: CSV, JSON lines and Parquet, plain or gzip, every damage refused by name.

Nothing is guessed, skipped or filled up: what libraries accept in silence (a short row, a flipped checksum, a
byte-order mark inside a column's name) is a reason here. It must not read files nor know types; `typed.py`
makes values of the text.
"""

import csv
import io
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mlplatform.errors import DeliveryRefused

Ints = NDArray[np.int64]
Format = Literal["csv", "jsonl", "parquet"]

LINE = "__line"
"""The line of the delivered file that a row began on, from 1; of Parquet its number."""
NULLS = ("NA", "")
_GZIP = 31
_PIECE = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a compressed delivery may become: at most so many bytes, and so many times its own size."""

    most_bytes: int = 2 << 30
    most_ratio: int = 200


def unzipped(content: bytes, limits: Limits = Limits()) -> bytes:
    """The content of gzip bytes, checked to the last one, in memory no further than the limits allow.

    Raises
    ------
    DeliveryRefused
        `gzip-truncated`, `gzip-damaged` (a checksum or length is wrong), or `decompression-bomb`.
    """
    most = min(limits.most_bytes, max(limits.most_ratio * len(content), 1 << 20))
    parts, length = [], 0
    for part in _gunzip(content):
        length += len(part)
        if length > most:
            raise _bomb(f"{len(content)} bytes of gzip unpack to more than {most}", limits)
        parts.append(part)
    return b"".join(parts)


def rows_of(content: bytes, format: Format, limits: Limits = Limits()) -> pl.DataFrame:
    """The rows of a delivery as text, every column String, and LINE.

    Raises
    ------
    DeliveryRefused
        for the reasons that the readers name.
    """
    readers: dict[Format, Callable[[bytes], pl.DataFrame]] = {
        "csv": csv_rows,
        "jsonl": json_rows,
        "parquet": lambda content: parquet_rows(content, limits),
    }
    return readers[format](content)


def csv_rows(content: bytes) -> pl.DataFrame:
    """Rows of CSV with a header, in UTF-8; empty cells and NA are missing, a blank line is no row.

    Raises
    ------
    DeliveryRefused
        `byte-order-mark`, `nul-byte`, `encoding`, `no-header`, `header-duplicate` (a name twice, or the
        header once more among the rows), `row-length`, `csv-damaged`.
    """
    _check_text(content)
    header = _header(content)
    lines, blank = _check_lengths(content, len(header))
    try:
        frame = pl.read_csv(
            io.BytesIO(_without(content, blank)),
            infer_schema=False,
            null_values=list(NULLS),
            new_columns=[f"column {n}" for n in range(len(header))],
        )
    except pl.exceptions.PolarsError as error:
        raise DeliveryRefused(
            "csv-damaged", f"not CSV: {str(error).splitlines()[0]}.", hint="Ask for the file again."
        ) from error
    if frame.height != len(lines):
        raise DeliveryRefused(
            "csv-damaged",
            f"{len(lines)} or {frame.height} rows, as one takes its quotes.",
            hint="Quote whole cells, and write a quote within one twice.",
        )
    frame.columns = header
    repeated = pl.all_horizontal(pl.col(name) == name for name in header)
    if frame.height and frame.select(repeated.any()).item():
        line = lines[int(frame.select(repeated.arg_true()).item(0, 0))]
        raise DeliveryRefused(
            "header-duplicate",
            f"line {line} is the header once more.",
            hint="Several files were joined; send them one by one.",
        )
    return _numbered(frame, pl.Series(lines, dtype=pl.Int64))


def json_rows(content: bytes) -> pl.DataFrame:
    """Rows of JSON lines, every line one object; a value that is no text is written as JSON, null is missing.

    Raises
    ------
    DeliveryRefused
        `byte-order-mark`, `nul-byte`, `encoding`, `json-damaged`, `header-duplicate` (a key twice in a line).
    """
    found = documents(content)
    columns: dict[str, list[str | None]] = {}
    for index, (line, document) in enumerate(found.iter_rows()):
        try:
            values = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
            for name, raw in values.items():
                columns.setdefault(name, [None] * found.height)[index] = _text_of(bytes(raw))
            if document.count(":") != len(values):
                _check_keys(line, document)
        except (msgspec.DecodeError, RecursionError) as error:
            raise _not_json(line, error) from error
    texts = [pl.Series(name, values, dtype=pl.String) for name, values in columns.items()]
    return _numbered(pl.DataFrame(texts), found["line"])


def documents(content: bytes) -> pl.DataFrame:
    """Every line that is not blank as it was delivered: `line` (Int64, from 1) and `document` (String).

    Raises
    ------
    DeliveryRefused
        `byte-order-mark`, `nul-byte`, `encoding`.
    """
    _check_text(content)
    lines = [(n, line) for n, line in enumerate(content.decode().split("\n"), start=1) if line.strip()]
    schema = {"line": pl.Int64, "document": pl.String}
    return pl.DataFrame(lines, schema=schema, orient="row")


def parquet_rows(content: bytes, limits: Limits = Limits()) -> pl.DataFrame:
    """Rows of a Parquet file, values written as text (times in ISO 8601).

    Raises
    ------
    DeliveryRefused
        `parquet-damaged` (a page's checksum is verified where the file has one), or `decompression-bomb`.
    """
    # polars verifies no checksum, and panics at some damage that Arrow refuses.
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        _check_unpacked(len(content), file.metadata, limits)
        table = file.read()
        table.validate(full=True)  # text that is not UTF-8 among it, of which polars would not ask
        frame = pl.DataFrame(table.rename_columns(table.column_names))
        text = frame.with_columns(_parquet_text(name, kind) for name, kind in frame.schema.items())
    except (pa.ArrowException, OSError, ValueError, pl.exceptions.PolarsError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise DeliveryRefused(
            "parquet-damaged", f"not Parquet: {said}.", hint="Ask for the file again."
        ) from error
    return _numbered(text, pl.int_range(1, text.height + 1, eager=True))


def _numbered(frame: pl.DataFrame, lines: pl.Series) -> pl.DataFrame:
    if LINE in frame.columns:
        raise DeliveryRefused(
            "column-new",
            f"a column is called {LINE}.",
            hint="The platform uses that name; call it otherwise.",
        )
    return pl.DataFrame([*frame.get_columns(), lines.alias(LINE)])


def _gunzip(content: bytes) -> Iterator[bytes]:
    """The content in pieces, each checksum verified; never more than a piece ahead of who asks."""
    stream, rest = zlib.decompressobj(_GZIP), b""
    try:
        for begin in range(0, len(content), _PIECE):
            rest = content[begin : begin + _PIECE]
            while rest:
                if stream.eof:  # another member follows
                    stream = zlib.decompressobj(_GZIP)
                yield stream.decompress(rest, _PIECE)
                rest = stream.unused_data if stream.eof else stream.unconsumed_tail
        while not stream.eof and (part := stream.decompress(b"", _PIECE)):
            yield part
    except zlib.error as error:
        raise DeliveryRefused(
            "gzip-damaged", f"the gzip content is damaged: {error}.", hint="Ask for the file again."
        ) from error
    if not stream.eof:
        raise DeliveryRefused(
            "gzip-truncated", "the gzip content ends too early.", hint="Ask for the file again."
        )


def _check_unpacked(size: int, metadata: pq.FileMetaData, limits: Limits) -> None:
    """Refuse a Parquet file by what it says it unpacks to; one value takes at least 16 bytes as text."""
    groups = (metadata.row_group(n).total_byte_size for n in range(metadata.num_row_groups))
    unpacked = max(sum(groups), 16 * metadata.num_rows * metadata.num_columns)
    most = min(limits.most_bytes, max(limits.most_ratio * size, 1 << 20))
    if unpacked > most:
        raise _bomb(f"{size} bytes of Parquet unpack to about {unpacked}, more than {most}", limits)


def _bomb(said: str, limits: Limits) -> DeliveryRefused:
    return DeliveryRefused(
        "decompression-bomb",
        f"{said}.",
        hint=f"Allowed are {limits.most_bytes} bytes and {limits.most_ratio} times the size.",
    )


def _check_text(content: bytes) -> None:
    if content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise DeliveryRefused(
            "byte-order-mark", "the file begins with a byte-order mark.", hint="Send UTF-8 without one."
        )
    if (at := content.find(b"\0")) >= 0:
        line = content.count(b"\n", 0, at) + 1
        raise DeliveryRefused(
            "nul-byte", f"line {line} has a NUL byte.", hint="Ask for the file again; text has none."
        )
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DeliveryRefused(
            "encoding", f"line {line} is not UTF-8: {error.reason}.", hint="Send the whole file in UTF-8."
        ) from error


def _header(content: bytes) -> list[str]:
    text = io.StringIO(content[: 1 << 20].decode(errors="replace"))
    try:
        first = next(csv.reader(text), [])
    except csv.Error as error:
        raise _not_csv(1, error) from error
    if not first:
        raise DeliveryRefused(
            "no-header", "the file has no header line.", hint="Send the columns' names in the first line."
        )
    if twice := sorted({name for name in first if first.count(name) > 1}):
        raise DeliveryRefused(
            "header-duplicate",
            f"the header has {', '.join(map(repr, twice))} more than once.",
            hint="Every column needs a name of its own.",
        )
    return first


def _check_lengths(content: bytes, width: int) -> tuple[list[int], list[int]]:
    """The line that each row begins on, and the blank ones; refuses rows of other length than the header."""
    begins, lengths = _plain_lengths(content) if b'"' not in content else _quoted_lengths(content)
    blank, begins, lengths = begins[lengths == 0], begins[lengths > 0], lengths[lengths > 0]
    wrong = np.flatnonzero(lengths != width)
    if len(wrong):
        line, got = int(begins[wrong[0]]), int(lengths[wrong[0]])
        raise DeliveryRefused(
            "row-length",
            f"line {line} has {got} cells, the header has {width} ({len(wrong)} such lines).",
            hint="Ask for the file again; a short or long row shifts values between columns.",
        )
    return [int(line) for line in begins[1:]], [int(line) for line in blank]


def _without(content: bytes, blank: list[int]) -> bytes:
    """The text without its blank lines, of which polars would make rows."""
    if not blank:
        return content
    lines = content.split(b"\n")
    for line in reversed(blank):
        del lines[line - 1]
    return b"\n".join(lines)


def _plain_lengths(content: bytes) -> tuple[Ints, Ints]:
    """Lines and numbers of cells (0: blank) of a text without quotes, without a loop in Python."""
    data = np.frombuffer(content if content.endswith(b"\n") else content + b"\n", dtype=np.uint8)
    ends = np.flatnonzero(data == 10)
    commas = np.searchsorted(np.flatnonzero(data == 44), ends)
    cells = np.diff(commas, prepend=0) + 1
    length = np.diff(ends, prepend=-1) - 1
    blank = (length == 0) | ((length == 1) & (data[np.maximum(ends - 1, 0)] == 13))
    return np.arange(1, len(ends) + 1), np.where(blank, 0, cells)


def _quoted_lengths(content: bytes) -> tuple[Ints, Ints]:
    begins: list[int] = []
    lengths: list[int] = []
    for begin, cells in _records(io.StringIO(content.decode(), newline="\n")):
        begins.append(begin)
        lengths.append(cells)
    return np.array(begins, dtype=np.int64), np.array(lengths, dtype=np.int64)


def _records(text: io.StringIO) -> Iterator[tuple[int, int]]:
    reader, begin = csv.reader(text, strict=True), 1
    try:
        for cells in reader:
            yield begin, len(cells)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise _not_csv(begin, error) from error


def _not_csv(line: int, error: Exception) -> DeliveryRefused:
    return DeliveryRefused("csv-damaged", f"line {line} is not CSV: {error}.", hint="Ask for the file again.")


def _text_of(raw: bytes) -> str | None:
    if raw == b"null":
        return None
    return msgspec.json.decode(raw, type=str) if raw.startswith(b'"') else raw.decode()


def _not_json(line: int, error: Exception) -> DeliveryRefused:
    return DeliveryRefused(
        "json-damaged",
        f"line {line} is no JSON object: {error}.",
        hint="Send one object a line; ask for the file again if it was cut.",
    )


def _check_keys(line: int, document: str) -> None:
    """Refuse an object that names a key twice; decoders keep the last value and say nothing."""
    # The hook is called for the inner objects first, so the last call has the line's own keys.
    keys: list[str] = []
    json.loads(
        document,
        object_pairs_hook=lambda pairs: keys.__setitem__(slice(None), [k for k, _ in pairs]),
        parse_int=str,  # Python refuses very long numbers
    )
    if twice := sorted({name for name in keys if keys.count(name) > 1}):
        raise DeliveryRefused(
            "header-duplicate",
            f"line {line} has {', '.join(map(repr, twice))} more than once.",
            hint="Every column needs a name of its own.",
        )


def _parquet_text(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(kind, pl.Datetime):
        utc = column.dt.convert_time_zone("UTC") if kind.time_zone else column
        digits = 9 if kind.time_unit == "ns" else 6
        return utc.dt.strftime(f"%Y-%m-%dT%H:%M:%S%.{digits}f" + ("Z" if kind.time_zone else ""))
    return column.cast(pl.String)
