"""Formats: what was written comes back, and every damage is refused by its name, never in silence."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import TypeVar

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlplatform.errors import DeliveryRefused
from mlplatform.stages.ingestion.formats import (
    LINE,
    NULLS,
    Format,
    Limits,
    csv_rows,
    documents,
    json_rows,
    parquet_rows,
    rows_of,
    unzipped,
)

T = TypeVar("T")
SOUND = b"id,name\n1,Ann\n2,Bob\n"


def refusal(read: Callable[[], object]) -> DeliveryRefused:
    with pytest.raises(DeliveryRefused) as caught:
        read()
    assert str(caught.value)
    assert caught.value.hint
    return caught.value


def read_or_reason(read: Callable[[], T]) -> tuple[T | None, str]:
    try:
        return read(), ""
    except DeliveryRefused as refused:
        return None, refused.reason


def parquet(frame: pl.DataFrame, **options: object) -> bytes:
    out = io.BytesIO()
    pq.write_table(frame.to_arrow(), out, **options)
    return out.getvalue()


class TestCsv:
    def test_text_and_the_lines_it_came_from(self) -> None:
        rows = csv_rows(SOUND)
        assert rows.schema == {"id": pl.String, "name": pl.String, LINE: pl.Int64}
        assert rows.rows() == [("1", "Ann", 2), ("2", "Bob", 3)]

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"a,b\n1,2", [("1", "2", 2)]),
            (b"a,b\r\n1,2\r\n3,4\r\n", [("1", "2", 2), ("3", "4", 3)]),
            (b"a,b\n\n1,2\n\n\n3,4\n\n", [("1", "2", 3), ("3", "4", 6)]),
            (b"a,b\r\n\r\n1,2\r\n", [("1", "2", 3)]),
            (b'a,b\n"x, y","say ""hi"""\n', [("x, y", 'say "hi"', 2)]),
            (b'a,b\n"one\ntwo\n\nfour",1\nz,2\n', [("one\ntwo\n\nfour", "1", 2), ("z", "2", 6)]),
            (b'a,b\r\n"one\r\ntwo",1\r\n\r\nz,2', [("one\r\ntwo", "1", 2), ("z", "2", 5)]),
            (b'"a","b\nc"\n1,2\n', [("1", "2", 3)]),
            (b"a,b\n,NA\n", [(None, None, 2)]),
            (b"a,b\nnull,nan\n 1 ,-\n", [("null", "nan", 2), (" 1 ", "-", 3)]),
            ("a,b\nZürich ✈,北京\u2028x\x85\n".encode(), [("Zürich ✈", "北京\u2028x\x85", 2)]),
            (b"a,b", []),
            (b"a,b\r\n", []),
            (b"a,b\n\n\n", []),
        ],
    )
    def test_rows_and_lines(self, content: bytes, expected: list[tuple[object, ...]]) -> None:
        assert csv_rows(content).rows() == expected

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"a\n1\n\n2\n", [("1", 2), ("2", 4)]),
            (b'a\n""\n1\n', [(None, 2), ("1", 3)]),
            (b'a\n"1"\n\n"2"\n', [("1", 2), ("2", 4)]),
        ],
    )
    def test_one_column_has_blank_lines_too(self, content: bytes, expected: list[tuple[object, ...]]) -> None:
        assert csv_rows(content).rows() == expected

    @pytest.mark.parametrize(
        ("content", "reason", "said"),
        [
            (b"\xef\xbb\xbf" + SOUND, "byte-order-mark", ""),
            (SOUND.decode().encode("utf-16"), "byte-order-mark", ""),
            (SOUND.replace(b"Bob", b"B\0b"), "nul-byte", "line 3"),
            (SOUND.replace(b"Bob", b"B\xf6b"), "encoding", "line 3"),
            (b"", "no-header", ""),
            (b"\n1,2\n", "no-header", ""),
            (b"id,name,id\n", "header-duplicate", "'id'"),
            (SOUND + SOUND, "header-duplicate", "line 4 is the header once more"),
            (b"id,name\n\n1,Ann\n2\n", "row-length", "line 4 has 1 cells, the header has 2"),
            (b"id,name\n1,Ann,x\n2\n", "row-length", "line 2 has 3 cells, the header has 2 (2 such lines)"),
            (b'id,name\n"1\n",Ann\n2\n', "row-length", "line 4 has 1 cells"),
            (b"id,name\n  \n", "row-length", "line 2"),
            (b'id,name\n1,"Ann\n', "csv-damaged", "line 2"),
            (b'id,name\n1,"Ann"x\n', "csv-damaged", "line 2"),
            (b"id\rname\n1\r2\n", "csv-damaged", "line 1"),
            (b'id,name\n1,a"b\n2,"x"\n', "csv-damaged", ""),
            (b"id,__line\n1,2\n", "column-new", "__line"),
        ],
    )
    def test_every_damage_has_a_name(self, content: bytes, reason: str, said: str) -> None:
        refused = refusal(lambda: csv_rows(content))
        assert refused.reason == reason
        assert said in str(refused)

    @given(
        st.integers(1, 4).flatmap(
            lambda width: st.lists(
                st.lists(
                    st.text(
                        st.one_of(
                            st.sampled_from('",\n\r N A;\t'),
                            st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
                        ),
                        max_size=8,
                    ),
                    min_size=width,
                    max_size=width,
                ),
                max_size=12,
            )
        ),
        st.sampled_from(["\n", "\r\n"]),
        st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    )
    @example([["\n\n", ""], ['"', "NA"]], "\r\n", csv.QUOTE_MINIMAL)
    def test_what_csv_writers_write_comes_back(self, rows: list[list[str]], end: str, quoting: int) -> None:
        if end == "\n" and quoting == csv.QUOTE_MINIMAL:  # which leaves a carriage return without quotes
            rows = [[cell.replace("\r", "") for cell in row] for row in rows]
        width = len(rows[0]) if rows else 2
        header = [f"column {n}" for n in range(width)]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
        writer.writerows([header, *rows])
        found = csv_rows(out.getvalue().encode())
        expected = [tuple(None if cell in NULLS else cell for cell in row) for row in rows]
        assert found.drop(LINE).rows() == expected
        assert found[LINE].is_sorted()

    @given(st.lists(st.integers(0, 3), max_size=40))
    def test_a_line_number_is_where_the_row_is(self, blanks: list[int]) -> None:
        lines = ["a,b"]
        for number, blank in enumerate(blanks):
            lines += ["" for _ in range(blank)] + [f"{number},x"]
        found = csv_rows("\n".join(lines).encode())
        assert found.height == len(blanks)
        for value, _, line in found.iter_rows():
            assert lines[line - 1] == f"{value},x"


class TestJsonLines:
    def test_values_are_text_as_they_were_written(self) -> None:
        lines = [
            '{"id": 1, "price": 1.50, "ok": true, "name": "Zoë", "gone": null}',
            "",
            '{"name": "NA", "id": "2", "tags": [1, {"a": 2}]}\r',
        ]
        assert json_rows("\n".join(lines).encode()).to_dicts() == [
            {"id": "1", "price": "1.50", "ok": "true", "name": "Zoë", "gone": None, "tags": None, LINE: 1},
            {
                "id": "2",
                "price": None,
                "ok": None,
                "name": "NA",
                "gone": None,
                "tags": '[1, {"a": 2}]',
                LINE: 3,
            },
        ]

    def test_nothing_and_objects_of_nothing(self) -> None:
        assert json_rows(b"\n").rows() == []
        assert json_rows(b"{}\n\n{}").rows() == [(1,), (3,)]

    @pytest.mark.parametrize(
        ("content", "reason", "said"),
        [
            (b"\xef\xbb\xbf{}", "byte-order-mark", ""),
            (b'{"a": 1}\n{"a": "\0"}', "nul-byte", "line 2"),
            (b'{"a": "\xff"}', "encoding", "line 1"),
            (b'{"a": 1}\n[1]\n', "json-damaged", "line 2"),
            (b'{"a": 1}\n{"a": 2', "json-damaged", "line 2"),
            (b'{"a": NaN}', "json-damaged", "line 1"),
            (b'{"a": "\\ud800"}', "json-damaged", "line 1"),
            (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "json-damaged", "line 1"),
            (b'{"a": 1, "b": 2, "a": 1}', "header-duplicate", "line 1 has 'a' more than once"),
            (b'{"a": {"x": 1}, "\\u0061": 1}', "header-duplicate", "'a'"),
            (b'{"a": ' + b"9" * 6000 + b', "a": 1}', "header-duplicate", "'a'"),
            (b'{"__line": 1}', "column-new", "__line"),
        ],
    )
    def test_every_damage_has_a_name(self, content: bytes, reason: str, said: str) -> None:
        refused = refusal(lambda: json_rows(content))
        assert refused.reason == reason
        assert said in str(refused)

    def test_a_key_twice_further_in_is_the_value_s_own_matter(self) -> None:
        assert json_rows(b'{"a": {"x": 1, "x": 2}, "b": "x:y"}').rows() == [('{"x": 1, "x": 2}', "x:y", 1)]

    @given(
        st.lists(
            st.dictionaries(
                st.text(min_size=1).filter(lambda name: name != LINE), st.text() | st.integers(), max_size=4
            ),
            max_size=8,
        )
    )
    def test_what_json_writers_write_comes_back(self, rows: list[dict[str, str | int]]) -> None:
        found = json_rows("\n".join(json.dumps(row) for row in rows).encode())
        back = [{k: v for k, v in row.items() if v is not None and k != LINE} for row in found.to_dicts()]
        assert back == [{k: str(v) for k, v in row.items()} for row in rows]

    def test_documents_are_lines_as_they_are(self) -> None:
        assert documents('{"a":  1}\n\n x \u2028\n'.encode()).rows() == [(1, '{"a":  1}'), (3, " x \u2028")]


class TestParquet:
    def test_values_are_written_as_text(self) -> None:
        noon = datetime(2025, 3, 1, 12, 0, 0, 250)
        frame = pl.DataFrame(
            {
                "n": [1, None],
                "x": [0.1, 1e-300],
                "s": ["NA", ""],
                "b": [True, False],
                "d": [date(2025, 3, 1), None],
                "t": [noon, None],
                "u": [noon.replace(tzinfo=UTC), None],
                "z": pl.Series([noon.replace(tzinfo=UTC), None]).dt.convert_time_zone("America/New_York"),
                "ns": pl.Series([1_740_830_400_123_456_789, None]).cast(pl.Datetime("ns")),
            }
        )
        first, second = parquet_rows(parquet(frame)).rows()
        assert first == (
            *("1", "0.1", "NA", "true", "2025-03-01", "2025-03-01T12:00:00.000250"),
            *("2025-03-01T12:00:00.000250Z",) * 2,
            *("2025-03-01T12:00:00.123456789", 1),
        )
        assert second == (None, "1e-300", "", "false", None, None, None, None, None, 2)

    @given(st.lists(st.floats(allow_nan=False) | st.none(), max_size=20))
    @settings(deadline=None)
    def test_no_digit_of_a_number_is_lost(self, numbers: list[float | None]) -> None:
        frame = pl.DataFrame({"x": numbers}, schema={"x": pl.Float64})
        found = parquet_rows(parquet(frame))["x"]
        assert [None if text is None else float(text) for text in found] == numbers

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"PAR1",
            SOUND,
            parquet(pl.DataFrame({"a": [1]}))[:-5],
            parquet(pl.DataFrame({"a": [[1, 2]]})),
        ],
    )
    def test_what_is_none(self, content: bytes) -> None:
        assert refusal(lambda: parquet_rows(content)).reason == "parquet-damaged"

    def test_a_page_with_another_checksum(self) -> None:
        content = parquet(
            pl.DataFrame({"s": ["Hamburg"] * 50 + ["Lyon"]}),
            write_page_checksum=True,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
        )
        assert parquet_rows(content).height == 51
        assert refusal(lambda: parquet_rows(content.replace(b"Lyon", b"Lyom", 1))).reason == "parquet-damaged"

    def test_text_that_is_none(self) -> None:
        content = parquet(
            pl.DataFrame({"s": ["Hamburg", "Lyon"]}),
            compression="none",
            use_dictionary=False,
            write_statistics=False,
        )
        damaged = content.replace(b"Lyon", b"Ly\xff\xfe", 1)
        assert damaged != content
        assert refusal(lambda: parquet_rows(damaged)).reason == "parquet-damaged"

    def test_more_rows_than_its_size_lets_expect(self) -> None:
        content = parquet(pl.DataFrame({"a": pl.repeat(None, 3_000_000, dtype=pl.Int64, eager=True)}))
        assert len(content) < 100_000
        assert refusal(lambda: parquet_rows(content)).reason == "decompression-bomb"

    def test_a_column_of_our_own_name(self) -> None:
        assert refusal(lambda: parquet_rows(parquet(pl.DataFrame({LINE: [1]})))).reason == "column-new"


class TestGzip:
    @given(st.lists(st.binary(max_size=2000), min_size=1, max_size=3))
    def test_members_one_after_another_are_one_content(self, members: list[bytes]) -> None:
        assert unzipped(b"".join(gzip.compress(member, mtime=0) for member in members)) == b"".join(members)

    def test_cut_anywhere_it_is_refused(self) -> None:
        whole = gzip.compress(SOUND * 50, mtime=0)
        reasons = {refusal(lambda end=end: unzipped(whole[:end])).reason for end in range(len(whole))}
        assert reasons == {"gzip-truncated"}

    def test_one_wrong_bit_in_content_or_checksum_is_refused(self) -> None:
        whole = gzip.compress(SOUND * 50, mtime=0)
        for at in range(10, len(whole)):
            damaged = whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]
            assert refusal(lambda damaged=damaged: unzipped(damaged)).reason in (
                "gzip-damaged",
                "gzip-truncated",
            ), at

    @pytest.mark.parametrize("content", [SOUND, gzip.compress(SOUND, mtime=0) + b"more"])
    def test_what_is_no_gzip(self, content: bytes) -> None:
        assert refusal(lambda: unzipped(content)).reason in ("gzip-damaged", "gzip-truncated")

    def test_a_bomb_goes_off_nowhere(self) -> None:
        bomb = gzip.compress(b"0" * (64 << 20), mtime=0)
        assert refusal(lambda: unzipped(bomb, Limits(most_bytes=1 << 20))).reason == "decompression-bomb"
        assert refusal(lambda: unzipped(bomb, Limits(most_ratio=10))).reason == "decompression-bomb"
        assert len(unzipped(bomb, Limits(most_ratio=2000))) == 64 << 20

    def test_small_files_may_grow_more(self) -> None:
        assert len(unzipped(gzip.compress(b"0" * (1 << 20), mtime=0), Limits(most_ratio=2))) == 1 << 20


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
@given(
    st.one_of(
        st.binary(max_size=60),
        st.text(alphabet='a1,"\n\r\\{}[]:\0é', max_size=40).map(str.encode),
        st.binary(max_size=30).map(lambda tail: b'a,b\n"1",2\n' + tail),
        st.binary(max_size=30).map(lambda tail: b'{"a": 1}\n' + tail),
    )
)
def test_whatever_comes_is_rows_or_refused(format: Format, content: bytes) -> None:
    rows, reason = read_or_reason(lambda: rows_of(content, format))
    if rows is None:
        assert reason
    else:
        assert rows.columns[-1] == LINE
        assert rows[LINE].null_count() == 0


PARQUET = parquet(pl.DataFrame({"a": range(200), "s": ["x", "yy", None, ""] * 50}))


@given(st.lists(st.tuples(st.integers(0, len(PARQUET) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_a_damaged_parquet_file_is_rows_or_refused(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(PARQUET)
    for at, value in changes:
        damaged[at] = value
    _, reason = read_or_reason(lambda: parquet_rows(bytes(damaged)))
    assert reason in ("", "parquet-damaged", "decompression-bomb", "column-new")


@given(st.binary(max_size=200))
def test_whatever_is_called_gzip_unpacks_or_is_refused(content: bytes) -> None:
    for stream in (content, gzip.compress(SOUND, mtime=0)[:10] + content, b"\x1f\x8b\x08" + content):
        _, reason = read_or_reason(lambda stream=stream: unzipped(stream))
        assert reason in ("", "gzip-damaged", "gzip-truncated", "decompression-bomb")


def test_a_checksum_that_is_right_and_a_length_that_is_not() -> None:
    whole = gzip.compress(SOUND, mtime=0)
    wrong = whole[:-8] + zlib.crc32(SOUND).to_bytes(4, "little") + (len(SOUND) + 1).to_bytes(4, "little")
    assert refusal(lambda: unzipped(wrong)).reason == "gzip-damaged"
