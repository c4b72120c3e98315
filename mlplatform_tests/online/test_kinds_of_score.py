"""Every kind of score online: what is answered, and that it is what batch scoring writes, to the bit."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from mlplatform import plugins
from mlplatform.features import Agg, Category, FeatureSet, Row, Spine, col
from mlplatform.online.http import application
from mlplatform.online.scoring_app import ScoringApp
from mlplatform.stages.preparation import batch
from mlplatform.stages.preparation.fitted import fit
from mlplatform.stages.scoring.score import answered
from mlplatform.stages.training import models
from mlplatform.stages.training.candidate import Metadata, assemble
from mlplatform.stages.training.contract import TrainingSet
from mlplatform.stages.training.output import Output
from mlplatform_tests.online.world import SHOPS, START, USE_CASE, World, orders, placed

COUNTS = (
    Category("shop"),
    Row("amount_x", col("amount") * 1),
    Agg(placed, "shop", "count", "6h"),
    Agg(placed, "shop", "mean", "2d", "amount"),
)
ALONE = FeatureSet(
    USE_CASE,
    Spine(
        "orders",
        ("order_id",),
        {"order_id": "int", "shop": "string", "amount": "int", "placed": "time"},
        col("placed").minus("1m"),
    ),
    COUNTS,
)
RANKED = FeatureSet(
    USE_CASE,
    Spine(
        "orders",
        ("country", "order_id"),
        {"country": "string", "order_id": "int", "shop": "string", "amount": "int", "placed": "time"},
        col("placed").minus("1m"),
    ),
    COUNTS,
)
AHEAD = FeatureSet(
    USE_CASE,
    Spine(
        "orders",
        ("shop", "made", "hour"),
        {"shop": "string", "made": "time", "hour": "time"},
        col("made").minus("0m"),
    ),
    (
        Category("shop"),
        Row("step", col("hour").minutes_since(col("made")) / 60 + 1),
        Agg(placed, "shop", "count", "6h"),
    ),
)
FORECAST = Output("forecasting", ("shop",), "hour", "made", "1h", 5)


@dataclass(frozen=True)
class Served:
    """A service with one release, the rows batch scoring wrote, and the app to ask."""

    app: ScoringApp
    rows: pl.DataFrame

    def ask(self, body: object, path: str = f"/score/{USE_CASE}") -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.post(path, json=body)

        return asyncio.run(send())


def served(
    folder: Path,
    feature_set: FeatureSet,
    output: Output,
    kind: str,
    questions: pl.DataFrame,
    **params: object,
) -> Served:
    frame = orders()
    world = World(folder)
    world.write(frame)
    features = batch.compute(feature_set, questions, {"orders": frame, "shops": SHOPS})
    fitted = fit(feature_set, features)
    y = np.random.default_rng(1).integers(0, 2, len(features)).astype(np.float64)
    groups = (
        np.arange(len(features), dtype=np.int64) // 4 if output.task in ("ranking", "forecasting") else None
    )
    times = np.arange(len(features), dtype=np.int64) if output.task == "forecasting" else None
    training = TrainingSet(
        fitted.matrix(features), y, fitted.names, fitted.categories, output.task, groups, times
    )
    model = plugins.find(models, kind).build(**params).fit(training)
    candidate = assemble(
        USE_CASE, kind, params, model, training, fitted.to_json(), Metadata(len(y), 0.5), output
    )
    world.promote(candidate)
    releases = world.releases()
    releases.poll()
    key = list(feature_set.spine.key)
    ordered = features.sort(key)
    asked = ordered.select(*key, "as_of")
    scored = answered(asked, output, model.predict(fitted.matrix(ordered)), 0.5)
    return Served(application(releases, poll_seconds=0), questions.join(scored, on=key, nulls_equal=True))


def sent(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: row[name].isoformat() if hasattr(row[name], "isoformat") else row[name] for name in names}


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tmp_path_factory.mktemp("numbers")
    return served(folder, ALONE, Output("regression"), "ridge_regression", orders())


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return served(
        tmp_path_factory.mktemp("clusters"), ALONE, Output("clustering"), "k_means", orders(), n_clusters=3
    )


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Served:
    output = Output("ranking", ("country",))
    # few leaves: equal scores occur
    params: dict[str, object] = {"num_iterations": 3, "num_leaves": 3, "min_data_in_leaf": 5}
    return served(tmp_path_factory.mktemp("lists"), RANKED, output, "lightgbm", orders(), **params)


@pytest.fixture(scope="module")
def forecasts(tmp_path_factory: pytest.TempPathFactory) -> Served:
    made = [START + timedelta(days=day) for day in range(1, 6)]
    rows = [
        {"shop": shop, "made": start, "hour": start + timedelta(hours=hour)}
        for shop in ("a", "b")
        for start in made
        for hour in range(5)
    ]
    questions = pl.DataFrame(
        rows, schema_overrides={"made": pl.Datetime("us", "UTC"), "hour": pl.Datetime("us", "UTC")}
    )
    return served(tmp_path_factory.mktemp("forecasts"), AHEAD, FORECAST, "ridge_regression", questions)


def test_a_number_has_no_class(numbers: Served) -> None:
    for row in numbers.rows.sample(20, seed=0).iter_rows(named=True):
        answer = numbers.ask(sent(row, ALONE.spine.facts)).json()
        assert answer["score"] == row["score"]
        assert answer["kind"] == "number"
        assert "class" not in answer
        assert "cluster" not in answer


def test_a_cluster_is_its_number(clusters: Served) -> None:
    assert clusters.rows["cluster"].n_unique() == 3
    for row in clusters.rows.sample(20, seed=0).iter_rows(named=True):
        answer = clusters.ask(sent(row, ALONE.spine.facts)).json()
        assert (answer["kind"], answer["cluster"]) == ("cluster", row["cluster"])
        assert "class" not in answer


def test_a_list_is_ranked_as_batch_ranks_it(lists: Served) -> None:
    rows = lists.rows.filter(country="AT").sort("rank")
    assert rows["rank"].to_list() == list(range(1, rows.height + 1))
    assert rows["score"].n_unique() < rows.height, "no equal scores: the order of ties is not tried"
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=3)
    answer = lists.ask([sent(row, RANKED.spine.facts) for row in shuffled.iter_rows(named=True)]).json()
    assert (answer["kind"], answer["facts"]) == ("ranked_list", {"country": "AT"})
    assert [each["place"] for each in answer["places"]] == rows["rank"].to_list()
    assert [each["facts"]["order_id"] for each in answer["places"]] == rows["order_id"].to_list()
    assert [each["score"] for each in answer["places"]] == rows["score"].to_list()
    assert len({each["prediction_id"] for each in answer["places"]}) == rows.height


def test_one_alternative_alone_has_its_score(lists: Served) -> None:
    row = lists.rows.filter(country="AT").row(0, named=True)
    assert lists.ask(sent(row, RANKED.spine.facts)).json()["score"] == row["score"]


def test_rows_of_two_lists_are_refused(lists: Served) -> None:
    rows = lists.rows.filter(pl.col("country").is_in(["AT", "FR"])).sort("country")
    pair = [sent(rows.row(at, named=True), RANKED.spine.facts) for at in (0, -1)]
    response = lists.ask(pair)
    assert response.status_code == 400
    assert "different values of 'country'" in response.json()["error"]


@pytest.mark.parametrize(
    "body", [[], [1], [{}], [{"placed": 5}], [[[]]], [{"placed": "2024-03-05T12:00:00Z"}] * 1001]
)
def test_lists_that_cannot_be_ranked(lists: Served, body: object) -> None:
    response = lists.ask(body)
    assert response.status_code == 400
    assert len(response.content) < 2000


def test_a_list_of_another_kind_is_answered_row_by_row(numbers: Served) -> None:
    rows = [numbers.rows.row(at, named=True) for at in range(20)]
    answers = numbers.ask([sent(row, ALONE.spine.facts) for row in rows]).json()
    assert [answer["score"] for answer in answers] == [row["score"] for row in rows]
    wrong = numbers.ask([sent(rows[0], ALONE.spine.facts), {"placed": "soon"}])
    assert wrong.status_code == 400
    assert wrong.json()["error"].startswith("row 1: fact placed")


def test_a_forecast_is_the_rows_of_batch_in_order(forecasts: Served) -> None:
    rows = forecasts.rows.filter(shop="a").sort("made", "hour").head(5)
    assert rows["step"].to_list() == [1, 2, 3, 4, 5]
    answer = forecasts.ask({"shop": "a", "made": rows["made"][0].isoformat()}).json()
    assert (answer["kind"], answer["facts"]["shop"]) == ("forecast", "a")
    assert [each["score"] for each in answer["places"]] == rows["score"].to_list()
    assert [each["place"] for each in answer["places"]] == rows["step"].to_list()
    assert answer["places"][1]["facts"]["hour"] == "2024-03-02T01:00:00Z"


def test_one_step_of_a_forecast(forecasts: Served) -> None:
    row = forecasts.rows.row(3, named=True)
    answer = forecasts.ask(sent(row, AHEAD.spine.facts)).json()
    assert answer["score"] == row["score"]
    assert "places" not in answer


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("numbers", {"number", "prediction_id"}),
        ("clusters", {"cluster", "prediction_id"}),
        ("lists", {"relevance", "rank", "prediction_id"}),
        ("forecasts", {"forecast", "prediction_id"}),
    ],
)
def test_the_open_protocol_names_what_it_gives(
    name: str, outputs: set[str], request: pytest.FixtureRequest
) -> None:
    served: Served = request.getfixturevalue(name)
    rows = served.rows.sort(pl.all()).head(40)
    facts = [
        each
        for each in ("country", "order_id", "shop", "amount", "placed", "made", "hour")
        if each in rows.columns
    ]
    known = asyncio.run(_get(served.app, f"/v2/models/{USE_CASE}"))
    types = {each["name"]: each["datatype"] for each in known["inputs"]}
    inputs = [
        {
            "name": fact,
            "shape": [rows.height],
            "datatype": types[fact],
            "data": [value.isoformat() if hasattr(value, "isoformat") else value for value in rows[fact]],
        }
        for fact in facts
        if fact in types
    ]
    answer = served.ask({"inputs": inputs}, f"/v2/models/{USE_CASE}/infer").json()
    got = {each["name"]: each["data"] for each in answer["outputs"]}
    assert set(got) == outputs == {each["name"] for each in known["outputs"]}
    if name == "lists":
        assert got["relevance"] == rows["score"].to_list()
        mine = rows.with_columns(rank=pl.Series(got["rank"]), place=pl.int_range(pl.len()))
        for _, of in mine.group_by("country"):
            ordered = of.sort(["score", "place"], descending=[True, False])
            assert ordered["rank"].to_list() == list(range(1, of.height + 1))
    else:
        (value,) = outputs - {"prediction_id"}
        assert got[value] == rows["cluster" if name == "clusters" else "score"].to_list()


async def _get(app: ScoringApp, path: str) -> dict[str, Any]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
        found: dict[str, Any] = (await client.get(path)).json()
        return found
