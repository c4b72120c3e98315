"""From a delivered file to rows: what is served, what is set aside, and what refuses the whole delivery."""

import gzip
import io
import json

import dataframely as dy
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlplatform.errors import DeliveryRefused
from mlplatform.stages.ingestion.batch import (
    Rules,
    check_declared,
    check_rejected,
    rows_by_day,
    take,
    text_of,
)
from mlplatform.stages.ingestion.formats import LINE, Format, Limits


class Orders(dy.Schema):
    order_id = dy.Int64(primary_key=True, min=1)
    placed = dy.String()
    price = dy.Float64(nullable=True)


class Notes(dy.Schema):
    note = dy.String(nullable=True)


RULES, DOCUMENTS = Rules(Orders), Rules(None)
CSV = b"order_id,placed,price\n1,2025-03-01T08:00:00Z,9.5\n2,2025-03-02T09:00:00Z,\n"


def reason(error: pytest.ExceptionInfo[DeliveryRefused]) -> str:
    assert error.value.hint
    return error.value.reason


class TestText:
    def test_every_format_says_the_same(self) -> None:
        text = text_of(CSV, "csv", RULES)
        assert text.columns == ["order_id", "placed", "price", LINE]
        rows = pl.read_csv(io.BytesIO(CSV))
        lines = b"\n".join(json.dumps(row).encode() for row in rows.to_dicts())
        parquet = io.BytesIO()
        rows.write_parquet(parquet)
        formats: dict[Format, bytes] = {"jsonl": lines, "parquet": parquet.getvalue()}
        for format, content in formats.items():
            assert_frame_equal(text_of(content, format, RULES).drop(LINE), text.drop(LINE))
        assert_frame_equal(text_of(gzip.compress(CSV, mtime=0), "csv", RULES, gzipped=True), text)

    @pytest.mark.parametrize("format", ["csv", "jsonl"])
    def test_columns_are_those_of_the_contract(self, format: Format) -> None:
        content = {"csv": b"order_id,placed\n1,x\n", "jsonl": b'{"order_id": 1, "price": 2}\n'}[format]
        with pytest.raises(DeliveryRefused) as caught:
            text_of(content, format, RULES)
        assert reason(caught) == "column-missing"

    def test_another_order_of_columns_only_where_it_is_allowed(self) -> None:
        turned = pl.read_csv(io.BytesIO(CSV)).select("price", "placed", "order_id").write_csv().encode()
        with pytest.raises(DeliveryRefused) as caught:
            text_of(turned, "csv", RULES)
        assert reason(caught) == "column-order"
        text = text_of(turned, "csv", Rules(Orders, any_order=True))
        assert_frame_equal(text, text_of(CSV, "csv", RULES))

    def test_json_may_leave_out_what_may_be_missing(self) -> None:
        text = text_of(b'{"placed": "x", "order_id": 1}\n', "jsonl", RULES)
        assert text.rows() == [("1", "x", None, 1)]
        assert text_of(b"{}\n{}\n", "jsonl", Rules(Notes)).rows() == [(None, 1), (None, 2)]
        with pytest.raises(DeliveryRefused) as caught:
            text_of(b"{}\n", "jsonl", RULES)
        assert reason(caught) == "column-missing"

    def test_a_file_without_a_row(self) -> None:
        for format, content in (("csv", CSV[:22]), ("jsonl", b""), ("jsonl", b"\n\n")):
            text = text_of(content, format, RULES)  # type: ignore[arg-type]
            assert text.rows() == []
            assert text.columns == ["order_id", "placed", "price", LINE]
            assert take(text, RULES).good.schema == take(text_of(CSV, "csv", RULES), RULES).good.schema

    def test_documents_are_what_was_written(self) -> None:
        content = b'{"a":  1}\n\nno object\n'
        assert text_of(content, "jsonl", DOCUMENTS).rows() == [('{"a":  1}', 1), ("no object", 3)]

    def test_the_limits_are_those_of_the_rules(self) -> None:
        bomb = gzip.compress(b"order_id,placed,price\n" + b"1,x,2\n" * 500_000, mtime=0)
        with pytest.raises(DeliveryRefused) as caught:
            text_of(bomb, "csv", Rules(Orders, limits=Limits(most_ratio=2)), gzipped=True)
        assert reason(caught) == "decompression-bomb"


class TestDeclared:
    def test_the_number_of_rows(self) -> None:
        text = text_of(CSV, "csv", RULES)
        check_declared(text, RULES)
        check_declared(text, RULES, rows=2)
        with pytest.raises(DeliveryRefused, match="2 rows were delivered, 3 were declared") as caught:
            check_declared(text, RULES, rows=3)
        assert reason(caught) == "row-count"

    def test_no_row_has_to_be_allowed(self) -> None:
        nothing = text_of(CSV, "csv", RULES).clear()
        with pytest.raises(DeliveryRefused) as caught:
            check_declared(nothing, RULES)
        assert reason(caught) == "empty"
        assert "allow_empty" in caught.value.hint
        check_declared(nothing, Rules(Orders, allow_empty=True), rows=0)


class TestTake:
    def test_rows_are_served_or_set_aside_and_none_is_lost(self) -> None:
        content = CSV + b"0,x,1\nthree,x,1\n4,,1\n4,y,2\n2,z,dear\n"
        marked = text_of(content, "csv", RULES).with_columns(batch_id=pl.lit("b"))
        taken = take(marked, RULES)
        assert taken.good.rows() == [
            (1, "2025-03-01T08:00:00Z", 9.5, "b"),
            (2, "2025-03-02T09:00:00Z", None, "b"),
        ]
        assert sorted(taken.rejected.drop("document").rows(), key=lambda row: row[1]) == [
            ("rule: order_id|min", 4, "b"),
            ("type: order_id is not Int64", 5, "b"),
            ("rule: primary_key", 6, "b"),
            ("rule: primary_key", 7, "b"),
            ("type: price is not Float64", 8, "b"),
        ]
        documents = [json.loads(text) for text in taken.rejected["document"]]
        assert {"order_id": "three", "placed": "x", "price": "1"} in documents
        assert {"order_id": 0, "placed": "x", "price": 1.0} in documents

    def test_documents_that_are_no_objects_are_set_aside(self) -> None:
        deep = b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        text = text_of(b'{"a": 1}\n[1]\n{"a"\n{}\n' + deep, "jsonl", DOCUMENTS)
        taken = take(text.with_columns(batch_id=pl.lit("b")), DOCUMENTS)
        assert taken.good.rows() == [('{"a": 1}', "b"), ("{}", "b")]
        assert taken.rejected["line"].to_list() == [2, 3, 5]
        assert set(taken.rejected["reason"]) == {"type: the line is no JSON object"}

    def test_too_many_set_aside_refuse_the_delivery(self) -> None:
        rejected = pl.DataFrame({"reason": ["rule: a"] * 2 + ["rule: b"]})
        check_rejected(30, rejected, RULES)
        with pytest.raises(DeliveryRefused, match=r"3 of 29 rows .* 10%: rule: a \(2\); rule: b") as caught:
            check_rejected(29, rejected, RULES)
        assert reason(caught) == "too-many-rejected"
        check_rejected(3, rejected, Rules(Orders, most_rejected=1))
        with pytest.raises(DeliveryRefused):
            check_rejected(10**6, rejected, Rules(Orders, most_rejected=0))
        check_rejected(0, rejected.clear(), Rules(Orders, most_rejected=0))


class TestDays:
    def test_rows_belong_to_the_day_they_begin_with(self) -> None:
        text = text_of(CSV + b"3,2025-03-01,1\n", "csv", RULES)
        days = rows_by_day(text, "placed")
        assert {day: rows["order_id"].to_list() for day, rows in days.items()} == {
            "2025-03-01": ["1", "3"],
            "2025-03-02": ["2"],
        }
        assert all(rows.columns == text.columns for rows in days.values())

    @pytest.mark.parametrize("day", ["", "NA", "01.03.2025", "2025-02-30T10:00:00Z"])
    def test_a_row_without_a_day_is_refused_rather_than_lost(self, day: str) -> None:
        text = text_of(CSV + f"3,{day},1\n".encode(), "csv", RULES)
        with pytest.raises(
            DeliveryRefused, match="column 'placed' has 1 values that begin with no day"
        ) as caught:
            rows_by_day(text, "placed")
        assert reason(caught) == "no-day"

    def test_the_column_of_the_day_is_one_of_the_contract(self) -> None:
        with pytest.raises(DeliveryRefused, match=r"options\.day is 'date'") as caught:
            rows_by_day(text_of(CSV, "csv", RULES), "date")
        assert reason(caught) == "no-day"

    def test_no_row_no_day(self) -> None:
        assert rows_by_day(text_of(CSV, "csv", RULES).clear(), "placed") == {}


class TestSchemaVersion:
    def test_it_changes_with_names_types_and_order_only(self) -> None:
        class Same(dy.Schema):
            order_id = dy.Int64(min=7)
            placed = dy.String(nullable=True)
            price = dy.Float64()

        class Turned(dy.Schema):
            placed = dy.String()
            order_id = dy.Int64()
            price = dy.Float64()

        class Narrow(dy.Schema):
            order_id = dy.Int32()
            placed = dy.String()
            price = dy.Float64()

        version = RULES.schema_version
        assert len(version) == 8
        assert int(version, 16) >= 0
        assert Rules(Same, any_order=True).schema_version == version
        others = {rules.schema_version for rules in (Rules(Turned), Rules(Narrow), Rules(Notes), DOCUMENTS)}
        assert len(others | {version}) == 5
