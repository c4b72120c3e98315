"""Events read as rows: typed as the cleaned tables, times in microseconds, what is left out is None."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import polars as pl
import pytest

from mlplatform.errors import FeatureError, StoreError
from mlplatform.online.event_rows import EventRows, Reach
from mlplatform.online.streams import StreamSources, of_declaration, publish, published
from mlplatform_tests.online.stream_world import STREAM, streams, world_orders
from mlplatform_tests.online.world import FEATURES, USE_CASE

SCHEMAS = {"orders": world_orders().drop("partition_key").schema}
ROWS = EventRows(streams(), FEATURES, SCHEMAS)


def read(**data: Any) -> tuple[str, dict[str, Any]] | None:
    return ROWS.read(STREAM, msgspec.json.encode(data))


def test_a_row_has_the_columns_of_its_source_and_their_types() -> None:
    found = read(type="placed", order_id=7, weight=3, placed="2024-03-01T01:00:00+01:00", colour="red")
    assert found is not None
    source, row = found
    assert source == "placed"
    assert row["placed"] == datetime(2024, 3, 1, tzinfo=UTC).timestamp() * 1e6
    assert (row["order_id"], row["weight"], row["shop"]) == (7, 3.0, None)
    assert isinstance(row["weight"], float)
    assert "colour" not in row


@pytest.mark.parametrize("data", [{"type": "walked"}, {}, {"type": "Placed"}])
def test_an_event_of_another_type_is_nobodys(data: dict[str, Any]) -> None:
    assert read(**data) is None


def test_an_event_of_another_stream_is_nobodys() -> None:
    assert ROWS.read("others", b'{"type": "placed"}') is None


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b'{"type": 1}',
        b'{"type": "placed", "order_id": "7"}',
        b'{"type": "placed", "order_id": 9223372036854775808}',
        b'{"type": "placed", "placed": "2024-03-01T00:00:00"}',
        b'{"type": "placed", "weight": NaN}',
        b'{"type": "placed", "shop": "\xff"}',
        b'{"type": "returned", "late_return": 1}',
    ],
)
def test_what_is_not_typed_so_is_refused(document: bytes) -> None:
    with pytest.raises(FeatureError, match="cannot be read"):
        ROWS.read(STREAM, document)


def test_a_source_that_the_feature_set_does_not_read_is_nobodys() -> None:
    few = FEATURES.only(["placed_count_6h_by_shop"])
    assert EventRows(streams(), few, SCHEMAS).read(STREAM, b'{"type": "shipped"}') is None


def test_what_is_published_is_found_again(tmp_path: Any) -> None:
    assert published(tmp_path, USE_CASE) is None
    publish(tmp_path, streams())
    found = published(tmp_path, USE_CASE)
    assert found == streams()
    assert found is not None
    assert found.features() == FEATURES
    publish(tmp_path, of_declaration(USE_CASE, {STREAM: StreamSources(sources={})}, FEATURES))
    assert published(tmp_path, USE_CASE) is None
    (tmp_path / "streams" / f"{USE_CASE}.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        published(tmp_path, USE_CASE)


def test_the_schemas_are_those_of_the_lake() -> None:
    assert SCHEMAS["orders"]["placed"] == pl.Datetime("us", "UTC")


def test_rows_in_reach_are_those_a_memory_reads_from_the_lake() -> None:
    orders = pl.DataFrame(world_orders())
    whole_from = orders["placed"].sort()[len(orders) // 2]
    clocks = FEATURES.clocks("orders")
    late = [pl.col(clock) >= whole_from - timedelta(microseconds=us) for clock, us in clocks.items()]
    expected = orders.select(pl.any_horizontal(late).fill_null(False)).to_series().to_list()
    assert 0 < sum(expected) < len(expected)
    times = orders.with_columns(pl.col(pl.Datetime).dt.timestamp("us"))
    reach = Reach(FEATURES, round(whole_from.timestamp()) * 1_000_000)
    for source in FEATURES.sources:
        if source.table == "orders":
            assert [reach.has(source.name, row) for row in times.iter_rows(named=True)] == expected
