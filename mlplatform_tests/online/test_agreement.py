"""Online equals batch, to the bit: every way to ask for every row of a small data set."""

import asyncio
import json
import math
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlplatform.errors import NotFound, RequestError
from mlplatform.online.inference import InferRequest, read_request
from mlplatform.online.releases import Releases
from mlplatform.online.service import ScoringService
from mlplatform.stages.preparation import batch
from mlplatform.stores.warmup import warm
from mlplatform_tests.online.world import FEATURES, SHOPS, START, USE_CASE, Trained, World, facts_of, orders


def bits(scores: Any) -> list[int]:
    return np.array(scores, dtype=np.float64).view(np.int64).tolist()  # type: ignore[no-any-return]


def service(world: World) -> ScoringService:
    releases = world.releases()
    releases.poll()
    assert releases.problems == {}
    return ScoringService(releases)


def tensors(frame: pl.DataFrame) -> dict[str, Any]:
    kinds = {"string": "BYTES", "time": "BYTES", "int": "INT64", "float": "FP64", "bool": "BOOL"}
    rows = [facts_of(row) for row in frame.iter_rows(named=True)]
    return {
        "id": "q",
        "inputs": [
            {"name": n, "shape": [len(rows)], "datatype": kinds[k], "data": [row[n] for row in rows]}
            for n, k in FEATURES.spine.facts.items()
        ],
    }


def infer(asked: ScoringService, body: dict[str, Any]) -> dict[str, list[Any]]:
    request = read_request(json.dumps(body).encode())
    answer = asyncio.run(asked.infer(USE_CASE, request))
    return {output.name: output.data for output in answer.outputs}


def test_each_row_alone_as_json(ready: World, trained: Trained) -> None:
    asked = service(ready)
    answers = [
        asyncio.run(asked.score_json(USE_CASE, json.dumps(facts_of(row)).encode()))
        for row in trained.frame.iter_rows(named=True)
    ]
    assert bits([answer.score for answer in answers]) == bits(trained.scores)
    written = [msgspec.json.decode(msgspec.json.encode(answer))["score"] for answer in answers]
    assert bits(written) == bits(trained.scores)
    assert len(set(trained.scores.tolist())) > 20
    for answer, moment in zip(answers, trained.frame["placed"], strict=True):
        assert answer.as_of == moment - timedelta(minutes=1)


def test_all_rows_in_one_request_of_facts(ready: World, trained: Trained) -> None:
    data = infer(service(ready), tensors(trained.frame))
    assert bits(data["probability"]) == bits(trained.scores)
    assert data["class"] == [score >= 0.5 for score in trained.scores.tolist()]


def test_both_faces_name_an_answer_alike(ready: World, trained: Trained) -> None:
    asked, few = service(ready), trained.frame.head(5)
    alone = [asked.score(USE_CASE, row).prediction_id for row in map(facts_of, few.iter_rows(named=True))]
    assert infer(asked, tensors(few))["prediction_id"] == alone


def test_all_rows_as_ready_made_features(ready: World, trained: Trained) -> None:
    rows = [[None if math.isnan(x) else x for x in row] for row in trained.matrix.tolist()]
    shape = [len(rows), trained.matrix.shape[1]]
    for data in (rows, [x for row in rows for x in row]):
        tensor = {"name": "features", "shape": shape, "datatype": "FP64", "data": data}
        answer = infer(service(ready), {"inputs": [tensor]})
        assert bits(answer["probability"]) == bits(trained.scores)


def test_columns_may_be_nested_and_missing_ones_left_out(ready: World, trained: Trained) -> None:
    body = tensors(trained.frame.with_columns(amount=pl.lit(None, pl.Int64)).head(7))
    expected = infer(service(ready), body)
    body["inputs"] = [i for i in body["inputs"] if i["name"] != "amount"]
    for tensor in body["inputs"]:
        tensor["shape"], tensor["data"] = [7, 1], [[value] for value in tensor["data"]]
    assert infer(service(ready), body)["probability"] == expected["probability"]


def test_others_get_their_turn_during_a_long_request(ready: World, trained: Trained) -> None:
    asked, turns = service(ready), 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def both() -> None:
        beside = asyncio.create_task(other())
        request = msgspec.convert(tensors(trained.frame.head(200)), InferRequest)
        await asked.infer(USE_CASE, request)
        beside.cancel()

    asyncio.run(both())
    assert turns >= 200 // 32 - 1


def test_a_memory_of_the_newest_days_answers_for_them_alone(world: World) -> None:
    """Rows from the promised time on are equal to batch; older questions are refused, not guessed."""
    frame = orders(days=12, per_day=25, seed=3)
    world.write(frame)
    memory = warm(world.lake, USE_CASE, FEATURES)
    expected = batch.compute(FEATURES, frame, {"orders": frame, "shops": SHOPS})
    assert memory.newest == "2024-03-12"
    assert memory.whole_from_us == (START + timedelta(days=10)).timestamp() * 1e6
    compared = 0
    for row, features in zip(frame.iter_rows(named=True), expected.iter_rows(named=True), strict=True):
        facts = {n: row[n] for n in FEATURES.spine.facts}
        facts["placed"] = round(row["placed"].timestamp()) * 1_000_000
        if memory.features.as_of(facts) >= memory.whole_from_us:
            assert memory.features.vector(facts) == [features[name] for name in FEATURES.names]
            compared += 1
    assert 30 < compared < 80


def test_a_question_before_memory_is_refused(world: World, trained: Trained) -> None:
    world.write(orders(days=12, per_day=25, seed=3))
    world.promote(trained.candidate)
    asked = service(world)
    facts = facts_of(trained.frame.row(0, named=True))
    with pytest.raises(
        RequestError, match=r"is of 2024-03-10T23:59:00Z; memory reaches .* 2024-03-11T00:00:00Z"
    ):
        asked.score(USE_CASE, facts | {"placed": "2024-03-11T00:00:00Z"})
    assert asked.score(USE_CASE, facts | {"placed": "2024-03-11T00:01:00Z"}).score > 0
    assert asked.score(USE_CASE, facts | {"placed": "2030-01-01T00:00:00Z"}).score > 0


def test_a_lake_without_the_tables_is_told_of(tmp_path: Any, trained: Trained) -> None:
    with pytest.raises(NotFound, match=r"no rows in returns\.orders"):
        warm(World(tmp_path).lake, USE_CASE, FEATURES)


@given(
    facts=st.fixed_dictionaries(
        {"placed": st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")},
        optional={
            "order_id": st.none() | st.integers(-(2**63), 2**63 - 1),
            "shop": st.none() | st.text(),
            "country": st.none() | st.text(),
            "amount": st.none() | st.integers(-(2**63), 2**63 - 1),
            "weight": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "express": st.none() | st.booleans(),
        },
    )
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_facts_are_well_typed_get_a_probability(followed: Releases, facts: dict[str, Any]) -> None:
    body = json.dumps(facts).encode("utf-8", "surrogatepass")
    status, score = asked(ScoringService(followed), body)
    assert (status == 200 and 0.0 <= score <= 1.0) or status == 400


def asked(service: ScoringService, body: bytes) -> tuple[int, float]:
    try:
        return 200, asyncio.run(service.score_json(USE_CASE, body)).score
    except RequestError as error:
        return error.status, math.nan


@pytest.fixture(scope="module")
def followed(ready: World) -> Releases:
    """The releases of the world that is ready."""
    releases = ready.releases()
    releases.poll()
    return releases
