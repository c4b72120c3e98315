"""Typed rows: text becomes what the contract says, or its row is set aside with the reason."""

# ruff: noqa: E501  (a table of values, a line each)

import json
from datetime import date, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform.errors import ConfigurationError, DeliveryRefused
from mlplatform.stages.ingestion.formats import LINE
from mlplatform.stages.ingestion.typed import REJECTED_SCHEMA, Typed, check_columns, parse

NAMES = ["id", "name", "price"]
SCHEMA = pl.Schema({"id": pl.Int64(), "name": pl.String(), "price": pl.Float64()})
UTC = pl.Datetime("us", "UTC")
BERLIN = pl.Datetime("us", "Europe/Berlin")


def parsed(kind: pl.DataType, *values: str | None) -> Typed:
    text = pl.DataFrame(
        {"x": list(values), LINE: range(2, len(values) + 2)}, schema_overrides={"x": pl.String}
    )
    return parse(text, pl.Schema({"x": kind}))


class TestColumns:
    @pytest.mark.parametrize(
        ("delivered", "reason", "said"),
        [
            (["id", "name"], "column-missing", "(missing: price)"),
            ([*NAMES, "colour", "size"], "column-new", "(unexpected: colour, size)"),
            (["id", "name", "prize"], "column-renamed", "(missing: price; unexpected: prize)"),
            (["name", "id", "price"], "column-order", "name, id, price"),
            (["ID", "name", "price"], "column-renamed", "unexpected: ID"),
        ],
    )
    def test_other_columns_are_refused_by_name(self, delivered: list[str], reason: str, said: str) -> None:
        with pytest.raises(DeliveryRefused) as caught:
            check_columns(delivered, SCHEMA)
        assert caught.value.reason == reason
        assert said in str(caught.value)
        assert caught.value.hint

    def test_the_order_may_be_declared_free_and_nothing_else_is(self) -> None:
        check_columns(NAMES, SCHEMA)
        check_columns(NAMES[::-1], SCHEMA, any_order=True)
        with pytest.raises(DeliveryRefused, match="missing: id"):
            check_columns(NAMES[:0:-1], SCHEMA, any_order=True)


class TestValues:
    @pytest.mark.parametrize(
        ("kind", "sound", "values", "wrong"),
        [
            (pl.Int64(), ["1", "-7", "9223372036854775807"], [1, -7, 2**63 - 1], ["1.0", "1e3", " 1", "one", str(2**63)]),
            (pl.Int8(), ["-128", "127"], [-128, 127], ["128", "1,5"]),
            (pl.UInt16(), ["65535"], [65535], ["-1", "65536"]),
            (pl.Float64(), ["1.5", "-3", "1e-300"], [1.5, -3.0, 1e-300], ["1,5", "0x10", "1_0", "free"]),
            (pl.Boolean(), ["true", "FALSE", "1", "0"], [True, False, True, False], ["yes", "", " true", "2"]),
            (pl.Date(), ["2025-03-01", "2024-02-29"], [date(2025, 3, 1), date(2024, 2, 29)], ["2025-02-30", "01.03.2025", "20250301", "2025-03-01T00:00:00"]),
            (pl.String(), ["", " x "], ["", " x "], []),
            (pl.Enum(["a", "b"]), ["a", "b"], ["a", "b"], ["c", "A"]),
        ],
    )  # fmt: skip
    def test_values_and_what_is_none(
        self, kind: pl.DataType, sound: list[str], values: list[object], wrong: list[str]
    ) -> None:
        typed = parsed(kind, *sound, None, *wrong)
        assert typed.good.schema == {"x": kind, LINE: pl.Int64}
        assert typed.good["x"].to_list() == [*values, None]
        assert typed.rejected["reason"].to_list() == [f"type: x is not {kind}"] * len(wrong)
        assert [json.loads(text) for text in typed.rejected["document"]] == [{"x": text} for text in wrong]
        assert typed.rejected["line"].to_list() == [*range(len(sound) + 3, len(sound) + 3 + len(wrong))]

    def test_times_with_and_without_an_offset(self) -> None:
        typed = parsed(
            UTC,
            "2025-03-01T10:00:00Z",
            "2025-03-01 10:00:00+02:00",
            "2025-03-01T10:00:00.25",
            "2025-03-01T10:00:00-0530",
            None,
            "yesterday",
            "2025-03-01",
        )
        assert [time and time.isoformat() for time in typed.good["x"]] == [
            "2025-03-01T10:00:00+00:00",
            "2025-03-01T08:00:00+00:00",
            "2025-03-01T10:00:00.250000+00:00",
            "2025-03-01T15:30:00+00:00",
            None,
        ]
        assert typed.rejected["line"].to_list() == [7, 8]

    def test_a_local_time_has_no_offset(self) -> None:
        typed = parsed(pl.Datetime("us"), "2025-03-01 10:00:00", "2025-03-01T10:00:00Z")
        assert typed.good["x"].to_list() == [datetime(2025, 3, 1, 10)]
        assert typed.rejected["line"].to_list() == [3]

    def test_an_hour_that_a_zone_has_twice_or_never_needs_its_offset(self) -> None:
        typed = parsed(
            BERLIN,
            "2025-10-26T02:30:00",
            "2025-03-30T02:30:00",
            "2025-10-26T02:30:00+01:00",
            "2025-07-01T00:00:00",
        )
        assert [time.isoformat() for time in typed.good["x"]] == [
            "2025-10-26T02:30:00+01:00",
            "2025-07-01T00:00:00+02:00",
        ]
        assert typed.rejected["line"].to_list() == [2, 3]

    @given(
        st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
        st.integers(-14 * 4, 14 * 4),
        st.sampled_from(" T"),
    )
    def test_any_instant_with_any_offset_is_that_instant(
        self, time: datetime, quarters: int, sep: str
    ) -> None:
        there = time.replace(tzinfo=timezone(timedelta(minutes=15 * quarters)))
        typed = parsed(UTC, there.isoformat(sep))
        assert typed.good["x"].to_list() == [there]

    @given(st.lists(st.integers(-(2**70), 2**70) | st.none(), max_size=20))
    def test_every_integer_that_fits_is_kept_and_no_other(self, numbers: list[int | None]) -> None:
        typed = parsed(pl.Int64(), *(None if n is None else str(n) for n in numbers))
        assert typed.good["x"].to_list() == [n for n in numbers if n is None or -(2**63) <= n < 2**63]
        assert typed.good.height + typed.rejected.height == len(numbers)

    @pytest.mark.parametrize("kind", [pl.List(pl.Int64), pl.Time()])
    def test_a_type_that_text_cannot_be(self, kind: pl.DataType) -> None:
        with pytest.raises(ConfigurationError, match=r"column 'x' of the contract is .*; allowed: text"):
            parsed(kind, "1")


class TestRows:
    TEXT = pl.DataFrame(
        {
            "id": ["1", "two", "3", "four"],
            "name": ["Ann", None, 'B"b', "Zoë"],
            "price": ["1.5", "2", "dear", "cheap"],
            "batch_id": ["b", "b", "c", "c"],
            LINE: [2, 3, 5, 9],
        }
    )

    def test_the_first_wrong_column_is_the_reason_and_what_is_carried_stays(self) -> None:
        typed = parse(self.TEXT, SCHEMA)
        assert typed.good.rows() == [(1, "Ann", 1.5, "b", 2)]
        assert typed.rejected.schema == {**REJECTED_SCHEMA, "batch_id": pl.String}
        assert typed.rejected.drop("document").rows() == [
            ("type: id is not Int64", 3, "b"),
            ("type: price is not Float64", 5, "c"),
            ("type: id is not Int64", 9, "c"),
        ]
        assert json.loads(typed.rejected["document"][1]) == {"id": "3", "name": 'B"b', "price": "dear"}

    def test_with_or_without_wrong_rows_the_columns_are_the_same(self) -> None:
        some, none, nothing = (parse(self.TEXT.head(n), SCHEMA) for n in (4, 1, 0))
        assert some.good.schema == none.good.schema == nothing.good.schema
        assert some.rejected.schema == none.rejected.schema == nothing.rejected.schema
        assert (none.rejected.height, nothing.good.height) == (0, 0)
