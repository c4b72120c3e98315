"""Assets through the IO manager: partitions, ranges and whole tables, with what Dagster shows of them."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlplatform.errors import ConfigurationError, NotFound, SchemaMismatch, StoreError
from mlplatform.offline.io_manager import ALLOW_EMPTY, COLUMNS, EVOLVE, LakeIOManager, table_of
from mlplatform.offline.resources import LakeResource
from mlplatform.stores.lake import Lake, Table

warnings.filterwarnings("ignore", category=dg.BetaWarning)
DAILY = dg.DailyPartitionsDefinition("2013-01-01", end_date="2013-02-10")
DAYS = list(DAILY.get_partition_keys())
RAW = Table("flight_delay", "raw_flights")
single_run = dg.BackfillPolicy.single_run()


def rows(keys: list[str], delay: float = 1.0) -> pl.DataFrame:
    keys = [key for key in keys for _ in range(2)]
    return pl.DataFrame({"partition_key": keys, "delay": [delay] * len(keys), "carrier": ["UA"] * len(keys)})


class Delay(dg.Config):
    delay: float = 1.0


@dg.asset(key=["flight_delay", "raw", "flights"], partitions_def=DAILY, backfill_policy=single_run)
def raw(context: dg.AssetExecutionContext, config: Delay) -> pl.DataFrame:
    return rows(list(context.partition_keys), config.delay)


@dg.asset(
    key_prefix="flight_delay",
    partitions_def=DAILY,
    backfill_policy=single_run,
    ins={
        "raw": dg.AssetIn(["flight_delay", "raw", "flights"], metadata={COLUMNS: ["partition_key", "delay"]})
    },
)
def features(raw: pl.DataFrame) -> pl.DataFrame:
    return raw


@dg.asset(key_prefix="flight_delay", ins={"raw": dg.AssetIn(["flight_delay", "raw", "flights"])})
def summary(raw: pl.DataFrame) -> pl.DataFrame:
    return raw.group_by("carrier").agg(pl.len().alias("flights"))


@pytest.fixture
def resource(tmp_path: Path) -> LakeResource:
    return LakeResource(catalog=str(tmp_path / "catalog.sqlite"), data=str(tmp_path / "data"))


@pytest.fixture
def lake(resource: LakeResource) -> Iterator[Lake]:
    yield resource.lake()
    resource.lake().close()


def run(
    resource: LakeResource, *assets: dg.AssetsDefinition, delay: float = 1.0, **partitions: Any
) -> dg.ExecuteInProcessResult:
    config = {"ops": {"flight_delay__raw__flights": {"config": {"delay": delay}}}} if raw in assets else None
    resources = {"lake": resource, "io_manager": LakeIOManager(lake=resource)}
    # Assets that are not run are still there to be loaded from.
    known = [*assets, *(each for each in (raw, features, summary) if each not in assets)]
    return dg.materialize(known, selection=list(assets), resources=resources, run_config=config, **partitions)


def over(first: str, last: str) -> dict[str, dict[str, str]]:
    return {
        "tags": {
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last,
        }
    }


def metadata(result: dg.ExecuteInProcessResult, asset: dg.AssetsDefinition) -> dict[str, Any]:
    event = next(e for e in result.get_asset_materialization_events() if e.asset_key == asset.key)
    return {key: value.value for key, value in event.materialization.metadata.items()}


class TestRuns:
    def test_a_range_then_one_day_then_everything(self, resource: LakeResource, lake: Lake) -> None:
        result = run(resource, raw, features, **over(DAYS[0], DAYS[3]))
        assert len(result.get_asset_materialization_events()) == 8
        assert_frame_equal(lake.read(RAW), rows(DAYS[:4]))
        assert_frame_equal(lake.read(Table("flight_delay", "features")), rows(DAYS[:4]).drop("carrier"))

        run(resource, raw, partition_key=DAYS[2], delay=9.0)
        assert_frame_equal(lake.read(RAW), pl.concat([rows(DAYS[:2]), rows([DAYS[2]], 9.0), rows([DAYS[3]])]))

        run(resource, features, partition_key=DAYS[2])
        assert (
            lake.read(Table("flight_delay", "features"))["delay"].to_list()
            == [1.0] * 4 + [9.0] * 2 + [1.0] * 2
        )

        run(resource, summary)
        assert lake.read(Table("flight_delay", "summary")).to_dicts() == [{"carrier": "UA", "flights": 8}]

    def test_a_range_is_one_commit(self, resource: LakeResource, lake: Lake) -> None:
        run(resource, raw, partition_key=DAYS[0])
        snapshots = "SELECT max(snapshot_id) AS n FROM ducklake_snapshots('lake')"
        before = lake.sql(snapshots)["n"][0]
        run(resource, raw, **over(DAYS[0], DAYS[-1]))
        assert lake.sql(snapshots)["n"][0] == before + 1

    def test_metadata_of_one_partition(self, resource: LakeResource) -> None:
        run(resource, raw, partition_key=DAYS[0])
        shown = metadata(run(resource, raw, partition_key=DAYS[1]), raw)
        assert shown["dagster/table_name"] == "flight_delay.raw_flights"
        assert (shown["dagster/row_count"], shown["dagster/partition_row_count"]) == (4, 2)
        assert (shown["rows_written"], shown["partitions_written"]) == (2, f"{DAYS[1]} to {DAYS[1]} (1)")
        columns = {column.name: column.type for column in shown["dagster/column_schema"].columns}
        assert columns == {"partition_key": "String", "delay": "Float64", "carrier": "String"}

    def test_metadata_of_a_long_range_leaves_a_wide_schema_out(self, resource: LakeResource) -> None:
        @dg.asset(
            key_prefix="flight_delay", partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run()
        )
        def wide(context: dg.AssetExecutionContext) -> pl.DataFrame:
            keys = pl.DataFrame({"partition_key": list(context.partition_keys)})
            return keys.with_columns(pl.lit(1).alias(f"column_{n}") for n in range(400))

        narrow = metadata(run(resource, raw, **over(DAYS[0], DAYS[-1])), raw)
        assert narrow["rows_written"] == 2 * len(DAYS)
        assert "dagster/column_schema" in narrow
        shown = metadata(run(resource, wide, **over(DAYS[0], DAYS[-1])), wide)
        assert "dagster/column_schema" not in shown

    def test_metadata_of_a_whole_table(self, resource: LakeResource) -> None:
        run(resource, raw, partition_key=DAYS[0])
        shown = metadata(run(resource, summary), summary)
        assert (shown["dagster/row_count"], shown["partitions_written"]) == (1, "all")

    def test_steps_of_a_run_share_one_lake(self, resource: LakeResource, tmp_path: Path) -> None:
        seen: list[Lake] = []

        @dg.asset(key_prefix="flight_delay", required_resource_keys={"lake"})
        def first(context: dg.AssetExecutionContext) -> pl.DataFrame:
            seen.append(context.resources.lake.lake())
            return pl.DataFrame({"a": [1]})

        @dg.asset(key_prefix="flight_delay", required_resource_keys={"lake"})
        def second(context: dg.AssetExecutionContext, first: pl.DataFrame) -> pl.DataFrame:
            seen.append(context.resources.lake.lake())
            return first

        run(resource, first, second)
        assert len({id(each) for each in seen}) == 1


def one(value: object, **arguments: Any) -> dg.AssetsDefinition:
    @dg.asset(key_prefix="flight_delay", name="one", **arguments)
    def one() -> Any:
        return value

    return one


class TestRefusals:
    @pytest.mark.parametrize(
        ("value", "kind"),
        [({"a": 1}, "builtins.dict"), (pl.LazyFrame({"a": [1]}), "LazyFrame"), (None, "NoneType")],
    )
    def test_only_frames_are_stored(self, resource: LakeResource, value: object, kind: str) -> None:
        with pytest.raises(ConfigurationError, match=f"{kind}; the lake stores"):
            run(resource, one(value))

    def test_an_input_of_another_type(self, resource: LakeResource) -> None:
        @dg.asset(key_prefix="flight_delay", ins={"raw": dg.AssetIn(["flight_delay", "raw", "flights"])})
        def lazy(raw: pl.LazyFrame) -> None: ...

        run(resource, raw, partition_key=DAYS[0])
        with pytest.raises(ConfigurationError, match="LazyFrame; the lake gives"):
            run(resource, lazy)

    def test_an_input_that_was_never_stored(self, resource: LakeResource) -> None:
        with pytest.raises(NotFound, match="no lake"):
            run(resource, summary)

    def test_a_frame_of_another_day(self, resource: LakeResource, lake: Lake) -> None:
        run(resource, one(rows(DAYS[:1]), partitions_def=DAILY), partition_key=DAYS[0])
        with pytest.raises(StoreError, match="not among"):
            run(resource, one(rows(DAYS[:2]), partitions_def=DAILY), partition_key=DAYS[0])
        assert_frame_equal(lake.read(Table("flight_delay", "one")), rows(DAYS[:1]))

    def test_empty_and_new_columns_only_when_the_asset_says_so(
        self, resource: LakeResource, lake: Lake
    ) -> None:
        def store(frame: pl.DataFrame, **metadata: bool) -> None:
            run(resource, one(frame, partitions_def=DAILY, metadata=metadata), partition_key=DAYS[0])

        store(rows(DAYS[:1]))
        with pytest.raises(StoreError, match="no rows"):
            store(rows(DAYS[:1]).clear())
        with pytest.raises(SchemaMismatch, match="gust is unexpected"):
            store(rows(DAYS[:1]).with_columns(gust=1.0))
        assert_frame_equal(lake.read(Table("flight_delay", "one")), rows(DAYS[:1]))
        store(rows(DAYS[:1]).with_columns(gust=1.0), **{EVOLVE: True})
        assert lake.read(Table("flight_delay", "one"))["gust"].to_list() == [1.0, 1.0]
        store(rows(DAYS[:1]).with_columns(gust=1.0).clear(), **{ALLOW_EMPTY: True})
        assert lake.row_count(Table("flight_delay", "one")) == 0


def test_tables_are_named_after_asset_keys() -> None:
    assert table_of(dg.AssetKey(["flight_delay", "split"])) == Table("flight_delay", "split")
    assert table_of(dg.AssetKey(["flight_delay", "raw", "flights"])) == RAW
    for key in (["split"], ["flight_delay", "a-b"], ["Flights", "split"]):
        with pytest.raises(ConfigurationError):
            table_of(dg.AssetKey(key))
