"""Failures that pass are tried again in every stage, wherever met; what stays wrong fails at once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from mlplatform.crosscutting.bus.contract import BrokerAway
from mlplatform.errors import (
    ConfigurationError,
    NotFound,
    RowsRefused,
    SchemaMismatch,
    SourceAway,
    SourceError,
    StoreError,
)
from mlplatform.offline import project
from mlplatform.offline.assets._shared import IO, key, stage_asset
from mlplatform.offline.config import Retries
from mlplatform.offline.declared import Declared
from mlplatform.offline.io_manager import LakeIOManager
from mlplatform.offline.resources import LakeResource
from mlplatform.offline.retries import passes
from mlplatform.stores.lake import Lake, Table
from mlplatform_tests.small import world

ROWS = pl.DataFrame({"n": [1, 2, 3]})


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Declared:
    """The small use case, which waits for nothing between attempts."""
    found = project.load(world.make_use_case(tmp_path_factory.mktemp("retries")))
    at_once = Retries(most=2, wait=0)
    training = found.config.training.model_copy(update={"retries": Retries(most=1, wait=0)})
    return replace(found, config=found.config.model_copy(update={"retries": at_once, "training": training}))


class Moody:
    """Raises what it has left, one each time it is asked, and counts."""

    def __init__(self, *errors: Exception) -> None:
        self.left, self.asked = list(errors), 0

    def __call__(self) -> None:
        self.asked += 1
        if self.left:
            raise self.left.pop(0)


class MoodyLake(Lake):
    """A lake that refuses to write or to read as it is told."""

    writes, reads = Moody(), Moody()

    def write(self, *told: Any, **more: Any) -> Any:
        self.writes()
        return super().write(*told, **more)

    def read(self, *told: Any, **more: Any) -> Any:
        self.reads()
        return super().read(*told, **more)


class MoodyLakeResource(LakeResource):
    """Gives that lake."""

    def lake(self) -> Lake:
        if self._lake is None:
            self._lake = MoodyLake(Path(self.catalog), Path(self.data))
        return self._lake


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[MoodyLakeResource]:
    MoodyLake.writes, MoodyLake.reads = Moody(), Moody()
    resource = MoodyLakeResource(catalog=str(tmp_path / "catalog.sqlite"), data=str(tmp_path / "data"))
    yield resource
    resource.lake().close()


def made(declared: Declared, stage: str, mood: Moody) -> dg.AssetsDefinition:
    """An asset of a stage that returns its rows."""

    @stage_asset(declared, stage, "made", version="1", kinds=set())
    def asset(context: dg.AssetExecutionContext) -> pl.DataFrame:
        mood()
        return ROWS

    return asset


def yielded(declared: Declared, stage: str, mood: Moody) -> dg.AssetsDefinition:
    """An asset of a stage that yields, and fails behind its first event."""

    @stage_asset(
        declared,
        stage,
        "made",
        version="1",
        kinds=set(),
        check_specs=[dg.AssetCheckSpec("c", asset=key(declared, "made"))],
    )
    def asset(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield dg.Output(ROWS)
        mood()
        yield dg.AssetCheckResult(check_name="c", passed=True)

    return asset


def run(lake: LakeResource, *assets: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
    resources = {IO: LakeIOManager(lake=lake)}
    return dg.materialize(assets, resources=resources, raise_on_error=False)


@pytest.mark.parametrize("stage", ["ingestion", "scoring"])
@pytest.mark.parametrize("make", [made, yielded])
def test_a_store_that_refuses_twice_is_asked_a_third_time(
    declared: Declared, lake: LakeResource, stage: str, make: Any
) -> None:
    mood = Moody(StoreError("busy"), StoreError("busy"))
    assert run(lake, make(declared, stage, mood)).success
    assert mood.asked == 3
    assert lake.lake().row_count(Table(declared.name, "made")) == 3, "an attempt wrote beside the other"


@pytest.mark.parametrize("stage", ["ingestion", "scoring"])
@pytest.mark.parametrize(
    "error", [NotFound("not there"), RowsRefused("no rows"), SchemaMismatch("other columns")]
)
def test_what_stays_wrong_fails_at_once(
    declared: Declared, lake: LakeResource, stage: str, error: Exception
) -> None:
    mood = Moody(error)
    assert not run(lake, made(declared, stage, mood)).success
    assert mood.asked == 1


@pytest.mark.parametrize("error", [SourceError("404"), ConfigurationError("wrong"), ValueError("wrong")])
def test_nor_is_what_no_store_said(error: Exception) -> None:
    assert not passes(error)


@pytest.mark.parametrize("error", [OSError("the disk is full"), BrokerAway("away"), SourceAway("away")])
def test_what_is_away_may_be_back(error: Exception) -> None:
    assert passes(error)


def test_the_last_attempt_raises_what_it_met(declared: Declared, lake: LakeResource) -> None:
    error = SourceAway("the server is down")
    mood = Moody(*[error] * 5)
    ended = run(lake, made(declared, "preparation", mood))
    assert (ended.success, mood.asked) == (False, 3)
    (failure,) = ended.get_step_failure_events()
    assert str(error) in str(failure.step_failure_data)


def test_training_has_retries_of_its_own(declared: Declared, lake: LakeResource) -> None:
    mood = Moody(StoreError("busy"), StoreError("busy"))
    assert not run(lake, made(declared, "training", mood)).success
    assert mood.asked == 2


@pytest.mark.parametrize(
    ("error", "asked"), [(StoreError("busy"), 3), (SchemaMismatch("other"), 1), (RowsRefused("none"), 1)]
)
def test_the_lake_refuses_what_an_asset_returned(
    declared: Declared, lake: LakeResource, error: Exception, asked: int
) -> None:
    MoodyLake.writes = Moody(error, error)
    assert run(lake, made(declared, "scoring", Moody())).success is (asked == 3)
    assert MoodyLake.writes.asked == asked


@pytest.mark.parametrize(("error", "asked"), [(StoreError("busy"), 3), (NotFound("not there"), 1)])
def test_the_lake_refuses_to_read_an_input(
    declared: Declared, lake: LakeResource, error: Exception, asked: int
) -> None:
    ins = {"made": dg.AssetIn(key(declared, "made"), input_manager_key=IO)}

    @stage_asset(declared, "scoring", "after", version="1", kinds=set(), ins=ins)
    def after(context: dg.AssetExecutionContext, made: pl.DataFrame) -> pl.DataFrame:
        return made

    MoodyLake.reads = Moody(error, error)
    assert run(lake, made(declared, "scoring", Moody()), after).success is (asked == 3)
    assert MoodyLake.reads.asked == asked


def test_the_time_between_attempts_doubles(declared: Declared, lake: LakeResource) -> None:
    slow = replace(declared, config=declared.config.model_copy(update={"retries": Retries(most=2, wait=0.1)}))
    ended = run(lake, made(slow, "ingestion", Moody(StoreError("busy"), StoreError("busy"))))
    waits = [
        event.step_retry_data.seconds_to_wait
        for event in ended.all_events
        if event.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY
    ]
    assert waits == [0.1, 0.2]
