"""The log of what was served: every answer with what the model saw, once; losses are counted."""

import asyncio
import json
import threading
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import StoreError
from mlplatform.online.http import application
from mlplatform.online.served_log import ServedLog
from mlplatform.online.service import ScoringService
from mlplatform.stages.deployment.policy import Policy
from mlplatform.stages.scoring.score import Answer
from mlplatform.stores.lake import Lake as StoredLake
from mlplatform.stores.lake import Table, Write
from mlplatform_tests.online.test_agreement import infer, tensors
from mlplatform_tests.online.world import FEATURES, USE_CASE, Trained, World, facts_of

NOW = datetime(2024, 3, 7, 12, tzinfo=UTC)
TABLE = Table(USE_CASE, "served")


@pytest.fixture
def released(world: World, trained: Trained) -> World:
    world.promote(trained.candidate)
    return world


def service(world: World, log: ServedLog) -> ScoringService:
    releases = world.releases()
    releases.poll()
    return ScoringService(releases, log.add)


def answer(number: int, use_case: str = USE_CASE) -> Answer:
    return Answer(
        prediction_id=str(number),
        use_case=use_case,
        model="lightgbm",
        version=1,
        digest="d",
        feature_set="f",
        kind="probability",
        score=number / 7,
        predicted=False,
        as_of=NOW,
    )


def fill(log: ServedLog, count: int) -> None:
    for number in range(count):
        log.add({"placed": "time", "shop": "string"}, {"placed": 5, "shop": None}, [1.0], answer(number))


class Lake:
    """Takes writes as the lake does, or refuses as often as it is told."""

    def __init__(self, refusals: int = 0, *, commits: bool = False) -> None:
        self.refusals, self.commits = refusals, commits
        self.partitions: dict[str, pl.DataFrame] = {}

    def write_all(self, writes: Sequence[Write]) -> None:
        refused = self.refusals > 0
        self.refusals -= 1
        if self.commits or not refused:
            self.partitions |= {str((w.partitions or ())[0]): w.frame for w in writes}
        if refused:
            raise StoreError("the disk is full", hint="Free space.")

    def ids(self) -> list[str]:
        return [id for frame in self.partitions.values() for id in frame["prediction_id"].to_list()]


def test_every_answer_is_in_the_lake_with_what_the_model_saw(released: World, trained: Trained) -> None:
    log = ServedLog(released.lake.write_all, clock=lambda: NOW)
    asked, few = service(released, log), trained.frame.head(40)
    for row in few.head(20).iter_rows(named=True):
        asyncio.run(asked.score_json(USE_CASE, json.dumps(facts_of(row)).encode()))
    log.flush()
    infer(asked, tensors(few.tail(20)))
    log.close()
    rows = released.lake.read(TABLE).sort("order_id")
    assert rows.height == few.height == log.written
    assert np.array(rows["vector"].to_list()).tobytes() == trained.matrix[:40].tobytes()
    assert rows["score"].to_numpy().tobytes() == trained.scores[:40].tobytes()
    facts = list(FEATURES.spine.facts)
    assert rows.select(facts).equals(few.select(facts), null_equal=True)
    assert rows["as_of"].to_list() == [moment - timedelta(minutes=1) for moment in few["placed"].to_list()]
    assert rows["prediction_id"].n_unique() == 40
    assert rows["partition_key"].n_unique() == 2
    assert rows["partition_key"].str.starts_with("2024-03-07-").all()
    assert rows.select("version", "digest").unique().row(0) == (1, trained.candidate.digest)


def test_ready_made_features_are_logged_without_facts(released: World, trained: Trained) -> None:
    log = ServedLog(released.lake.write_all)
    row = [None if x != x else x for x in trained.matrix[0].tolist()]
    tensor = {"name": "features", "shape": [1, len(row)], "datatype": "FP64", "data": row}
    infer(service(released, log), {"inputs": [tensor]})
    log.flush()
    (logged,) = released.lake.read(TABLE).iter_rows(named=True)
    assert np.array(logged["vector"]).tobytes() == trained.matrix[0].tobytes()
    assert (logged["score"], logged["link"]) == (trained.scores[0], "champion")
    assert [logged[name] for name in (*FEATURES.spine.facts, "as_of")] == [None] * 8


def test_a_refused_question_is_not_logged(released: World) -> None:
    log = ServedLog(released.lake.write_all)
    with TestClient(application(released.releases(), poll_seconds=0, served=log)) as client:
        assert client.post(f"/score/{USE_CASE}", json={"shop": "a"}).status_code in (400, 503)
    assert log.status() == {"written": 0, "waiting": 0, "lost": 0, "trouble": ""}


def test_a_full_buffer_loses_and_says_so() -> None:
    lake = Lake()
    log = ServedLog(lake.write_all, most=3)
    fill(log, 5)
    status = log.status()
    assert (status["waiting"], status["lost"]) == (3, 2)
    assert "full" in status["trouble"]
    log.close()
    assert lake.ids() == ["0", "1", "2"]
    assert (log.written, log.lost) == (3, 2)


@pytest.mark.parametrize("commits", [False, True])
def test_a_lake_that_refuses_for_a_while_loses_and_doubles_nothing(commits: bool) -> None:
    """Also where the commit was made although it seemed to fail."""
    lake = Lake(2, commits=commits)
    log = ServedLog(lake.write_all)
    fill(log, 4)
    log.flush()
    assert lake.ids() == ["0", "1", "2", "3"]
    assert log.status() == {"written": 4, "waiting": 0, "lost": 0, "trouble": ""}


def test_a_lake_that_refuses_for_long_loses_and_says_so() -> None:
    log = ServedLog(Lake(10**9).write_all, patience=0.0)
    fill(log, 4)
    log.flush()
    status = log.status()
    assert (status["written"], status["waiting"], status["lost"]) == (0, 0, 4)
    assert "the disk is full" in status["trouble"]


def test_the_thread_writes_and_closing_writes_the_rest() -> None:
    wrote, lake = threading.Event(), Lake()

    def write(writes: Sequence[Write]) -> None:
        lake.write_all(writes)
        wrote.set()

    log = ServedLog(write, seconds=0.01)
    log.start()
    fill(log, 3)
    assert wrote.wait(30)
    fill(log, 2)
    log.close(30)
    assert sorted(lake.ids()) == ["0", "0", "1", "1", "2"]
    assert log.written == 5


def test_use_cases_and_releases_with_other_facts_are_written_apart() -> None:
    lake = Lake()
    log = ServedLog(lake.write_all)
    fill(log, 1)
    log.add({"shop": "string"}, {"shop": "a"}, [1.0], answer(1))
    log.add({"score": "float"}, {"score": 0.5}, [1.0], answer(2, "others"))
    log.flush()
    shapes: list[Any] = [frame.columns[:2] for frame in lake.partitions.values()]
    assert shapes == [["placed", "shop"], ["shop", "prediction_id"], ["fact_score", "prediction_id"]]


def test_the_service_shows_the_log(released: World, trained: Trained) -> None:
    releases = released.releases()
    releases.poll()
    log = ServedLog(released.lake.write_all, seconds=60)
    with TestClient(application(releases, poll_seconds=0, served=log)) as client:
        facts = facts_of(trained.frame.row(0, named=True))
        assert client.post(f"/score/{USE_CASE}", json=facts).status_code == 200
        served = client.get("/v1/status").json()["served"]
        assert served == {"written": 0, "waiting": 1, "lost": 0, "trouble": ""}
    assert log.written == 1
    assert released.lake.row_count(TABLE) == 1


def test_an_answer_can_wait_until_it_is_in_the_lake(released: World, trained: Trained) -> None:
    released.promote(trained.candidate, Policy(log="sync"))
    log = ServedLog(released.lake.write_all, seconds=1000.0)
    releases = released.releases()
    releases.poll()
    body = json.dumps(facts_of(trained.frame.row(0, named=True)))
    with TestClient(application(releases, poll_seconds=0, served=log)) as client:
        answer = client.post(f"/score/{USE_CASE}", content=body).json()
        assert released.lake.read(TABLE)["prediction_id"].to_list() == [answer["prediction_id"]]


def test_an_answer_that_waits_for_a_lake_that_refuses_is_no_answer(released: World, trained: Trained) -> None:
    released.promote(trained.candidate, Policy(log="sync"))

    def refuse(writes: Sequence[Write]) -> None:
        raise StoreError("the disk is full")

    log = ServedLog(refuse, patience=0.0, seconds=1000.0)
    releases = released.releases()
    releases.poll()
    body = json.dumps(facts_of(trained.frame.row(0, named=True)))
    with TestClient(application(releases, poll_seconds=0, served=log)) as client:
        refused = client.post(f"/score/{USE_CASE}", content=body)
        assert refused.status_code == 503
        assert "the disk is full" in refused.json()["error"]
    assert log.lost == 1


def test_a_lake_that_is_opened_anew_every_few_writes_has_every_answer(tmp_path: Path) -> None:
    log = ServedLog.from_settings(Settings.load({"MLPLATFORM_HOME": str(tmp_path)}))
    for number in range(25):
        log.add({"shop": "string"}, {"shop": "a"}, [1.0], answer(number))
        log.flush()
    log.close()
    assert (log.written, log.lost) == (25, 0)
    with closing(StoredLake.from_settings(Settings.load({"MLPLATFORM_HOME": str(tmp_path)}))) as lake:
        assert set(lake.read(TABLE)["prediction_id"]) == {str(number) for number in range(25)}
