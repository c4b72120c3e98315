"""The closed loop on a finished home: answers get their outcomes, and a worse champion is taken back."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.assets.observation import NAMES
from mlplatform.offline.deploying import Desk
from mlplatform.offline.monitored import monitored
from mlplatform.offline.run import instance_of
from mlplatform.offline.verdict_step import ROLLED_BACK
from mlplatform.online.served_log import ServedLog
from mlplatform.stages.deployment.alias import Deployment
from mlplatform.stages.scoring.score import Answer, PredictionIds
from mlplatform.stores.alerts import AlertStore
from mlplatform.stores.batch_scores import Scorer
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake
from mlplatform_tests.conftest import Finished
from mlplatform_tests.crosscutting.brokers import free_port
from mlplatform_tests.offline.deployed import Platform
from mlplatform_tests.small import world

GOOD, BAD = "logistic_regression", "rate_table"
SAID = {"who": "ann@desk", "why": "a test"}
RULE = """\
  monitoring:
    rollback: { minimum: 60, minimum_new: 20, settle_hours: 0, days: 28, days_worse: 0.5 }

  slices: [{ column: warehouse, min_rows: 100 }, { column: weekday, min_rows: 90 }, order_id, month]

  champion:
"""


@pytest.fixture
def platform(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A copy of the finished home, with a rule for its few orders."""
    home, folder = tmp_path / "home", tmp_path / "project" / world.NAME
    shutil.copytree(finished.home, home)
    shutil.copytree(finished.folder, folder)
    world.edit(folder / "defs.yaml", "  champion:\n", RULE)
    monkeypatch.setenv("MLPLATFORM_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    urls = {
        "MLPLATFORM_BROKER_URL": f"nats://127.0.0.1:{free_port()}",
        "MLPLATFORM_SCORING_PORT": str(free_port()),
    }
    settings = Settings.load({"MLPLATFORM_HOME": str(home), **urls})
    with instance_of(settings) as instance:
        yield Platform(project.load(folder), settings, instance)


def serve(platform: Platform, first: str, last: str) -> int:
    """Log an answer of the champion to every order of the days, as the service does; their number.

    By the batch scorer, as the memory of the service does not reach back that far.
    """
    release = present(platform).champion
    with closing(Lake.from_settings(platform.settings)) as lake:
        scorer = Scorer.open(release, CandidateStore(platform.settings.candidates), lake)
        asked, matrix = scorer.questions.read(list(scorer.questions.within(first, last)))
        names = PredictionIds(world.NAME, release.version, release.digest)
        log = ServedLog(lake.write_all)
        scores = scorer.model.predict(matrix).tolist()
        moments = asked.rows["as_of"].to_list()
        for values, row, score, moment in zip(asked.values(), matrix.tolist(), scores, moments, strict=True):
            answer = Answer(
                prediction_id=names.of(values, score),
                use_case=world.NAME,
                model=release.model,
                version=release.version,
                digest=release.digest,
                feature_set=release.feature_set_id,
                kind="probability",
                score=score,
                as_of=moment,
            )
            log.add(asked.types, dict(zip(asked.types, values, strict=True)), row, answer, 0.002)
        log.close()
    return len(scores)


def present(platform: Platform) -> Deployment:
    with closing(ChampionStore(platform.settings.state_url)) as store:
        found = store.deployment(world.NAME)
    assert found is not None
    return found


def watch(platform: Platform, first: str, last: str) -> dict[str, Any]:
    """Materialise the assets of monitoring; what `verdicts` said."""
    done = platform.over([first, last], *NAMES)
    made = done.asset_materializations_for_node(f"{world.NAME}__verdicts")[-1]
    return {name: value.value for name, value in made.metadata.items()}


def rows(platform: Platform, name: str) -> pl.DataFrame:
    with closing(Lake.from_settings(platform.settings)) as lake:
        return lake.read(platform.declared.table(name))


def test_answers_are_joined_and_a_worse_champion_is_rolled_back_and_stays_out(platform: Platform) -> None:
    with Desk(platform.declared, platform.settings) as desk:
        desk.promote(BAD, **SAID)
    assert present(platform).champion.version == 2
    asked = serve(platform, "2025-04-09", "2025-04-18")
    said = watch(platform, "2025-04-08", "2025-04-18")
    observed = rows(platform, "observed")
    assert observed.height == asked
    assert observed["outcome"].drop_nulls().is_in([0.0, 1.0]).all()
    assert observed["reference_version"].to_list() == [1] * asked
    assert "version 2 stays for now: one check of 2 said worse" in said["decision"], said
    more = serve(platform, "2025-04-19", "2025-04-25")
    said = watch(platform, "2025-04-18", "2025-04-25")
    assert said["done"] == "rollback", said
    assert present(platform).champion.version == 1
    assert rows(platform, "observed").height == asked + more
    with closing(AlertStore(platform.settings.state_url)) as alerts:
        (alert,) = [each.alert for each in alerts.open(world.NAME) if each.alert.kind == ROLLED_BACK]
    assert alert.cause.startswith("version 2 is rolled back: 2 checks in a row said worse, the latest that")
    assert alert.cause.endswith("Version 1 answers again.")
    with closing(ChampionStore(platform.settings.state_url)) as store:
        last = store.changes(world.NAME)[-1]
    assert (last.action, last.version, last.changed_by.split()[0]) == ("rollback", 1, "monitoring")
    serve(platform, "2025-04-26", "2025-04-28")
    watch(platform, "2025-04-26", "2025-04-28")
    assert present(platform).champion.version == 1
    told = monitored(platform.declared, platform.settings)
    by_version = {each["version"]: each for each in told["versions"]}
    assert by_version[2]["served"] == asked + more
    assert by_version[2]["coverage"] == pytest.approx(
        rows(platform, "observed").filter(version=2)["outcome"].is_not_null().mean()
    )
    assert 2.0 == by_version[2]["serving_ms_p50"] == by_version[2]["serving_ms_max"]
    assert by_version[1]["accuracy"]["log_loss"] > 0.0
    (rolled,) = told["rollbacks"]
    assert rolled["why"] in alert.cause
    assert [each["kind"] for each in told["alerts"]] == [ROLLED_BACK]
    assert {each["aspect"] for each in told["verdicts"]} == {"accuracy", "calibration", "speed", "errors"}
    text = (platform.settings.reports / world.NAME / "status.html").read_text()
    shown = json.loads(text.partition('type="application/json">')[2].partition("</script>")[0])
    assert (shown["champion"], shown["rollbacks"]) == (1, told["rollbacks"])
    assert shown["versions"] == json.loads(json.dumps(told["versions"]))


def test_outcomes_that_come_later_or_are_corrected_change_the_join(platform: Platform) -> None:
    asked = serve(platform, "2025-04-09", "2025-04-10")
    table = platform.declared.table("orders")
    with closing(Lake.from_settings(platform.settings)) as lake:
        whole = lake.read(table, first="2025-04-07", last="2025-04-12")
        days = whole["partition_key"].unique().to_list()
        lake.write(table, whole.with_columns(late=pl.lit(None, pl.Boolean)), days)
    watch(platform, "2025-04-08", "2025-04-10")
    assert rows(platform, "observed")["outcome"].null_count() == asked
    with closing(Lake.from_settings(platform.settings)) as lake:
        lake.write(table, whole, days)
    watch(platform, "2025-04-08", "2025-04-10")
    known = rows(platform, "observed")
    assert known["outcome"].null_count() < asked
    with closing(Lake.from_settings(platform.settings)) as lake:
        corrected = whole.with_columns(late=~pl.col("late"), batch_id=pl.lit("corrected"))
        lake.write(table, corrected, days)
    watch(platform, "2025-04-08", "2025-04-10")
    again = rows(platform, "observed")
    assert again["outcome"].to_list() == [None if y is None else 1.0 - y for y in known["outcome"]]
    assert set(again["label_version"].drop_nulls()) == {"corrected"}
    assert again["prediction_id"].to_list() == known["prediction_id"].to_list()


def test_the_sensor_asks_once_for_the_days_that_changed(platform: Platform) -> None:
    tick = platform.tick("monitoring_due")
    assert (tick.requests, "No new answer" in tick.skipped) == ([], True)
    serve(platform, "2025-04-09", "2025-04-10")
    tick = platform.tick("monitoring_due")
    (request,) = tick.requests
    assert list(request.tags.values())[:2] == ["2025-04-09", "2025-04-10"]
    assert platform.tick("monitoring_due").requests == []
    platform.materialise("orders", partition_key="2025-04-10")
    (request,) = platform.tick("monitoring_due").requests
    assert list(request.tags.values())[:2] == ["2025-04-09", "2025-04-10"]


def test_the_sensor_asks_for_no_run_beside_one_that_is_not_over(platform: Platform) -> None:
    serve(platform, "2025-04-09", "2025-04-10")
    (request,) = platform.tick("monitoring_due").requests
    serve(platform, "2025-04-11", "2025-04-12")
    job = platform.defs.resolve_implicit_global_asset_job_def()
    selected = frozenset(request.asset_selection or ())
    run = platform.instance.create_run_for_job(job, asset_selection=selected)
    tick = platform.tick("monitoring_due")
    assert (tick.requests, f"Run {run.run_id[:8]} is at work" in tick.skipped) == ([], True)
    platform.instance.report_run_canceled(run)
    (request,) = platform.tick("monitoring_due").requests
    assert list(request.tags.values())[:2] == ["2025-04-11", "2025-04-12"]


@pytest.mark.slow
def test_what_a_person_promotes_again_is_not_judged_by_what_it_said_before(platform: Platform) -> None:
    with Desk(platform.declared, platform.settings) as desk:
        desk.promote(BAD, **SAID)
        serve(platform, "2025-04-09", "2025-04-18")
        watch(platform, "2025-04-09", "2025-04-18")
        desk.rollback(**SAID)
        desk.promote("2", **SAID)
    said = watch(platform, "2025-04-09", "2025-04-18")
    assert said["decision"].startswith("version 2 stays: no check says worse")
    assert "has 0 outcomes" in said["verdicts"]
    assert present(platform).champion.version == 2


@pytest.mark.slow
def test_slices_and_distributions_of_the_champion_are_told(platform: Platform) -> None:
    with Desk(platform.declared, platform.settings) as desk:
        desk.promote(BAD, **SAID)
    asked = serve(platform, "2025-04-09", "2025-04-16")
    watch(platform, "2025-04-08", "2025-04-16")
    told = monitored(platform.declared, platform.settings)
    observed = rows(platform, "observed").drop_nulls("outcome")
    slices = {(each["column"], each["level"]): each for each in told["slices"]}
    assert {column for column, _ in slices} <= {"warehouse", "weekday", "month"}
    losses = [each["loss"] for each in told["slices"]]
    assert losses == sorted(losses, reverse=True)
    whole = slices["month", "2025-04"]
    assert (whole["n"], whole["compared"], whole["version"]) == (observed.height, observed.height, 2)
    assert (whole["metric"], whole["reference_version"], whole["minimum"]) == ("log_loss", 1, 300)
    (version,) = [each for each in told["versions"] if each["version"] == 2]
    assert whole["loss"] == pytest.approx(version["accuracy"]["log_loss"])
    assert whole["loss"] == pytest.approx(whole["reference_loss"] * (1.0 + whole["excess"]))
    orders = rows(platform, "orders").select("order_id", "warehouse")
    served = rows(platform, "served").select("prediction_id", "order_id")
    of = observed.join(served, on="prediction_id").join(orders, on="order_id")
    for name in world.WAREHOUSES:
        if (count := of.filter(warehouse=name).height) >= 100:
            assert slices["warehouse", name]["n"] == count
    assert {column for column, _ in slices} >= {"warehouse", "month"}
    (few,) = [each for each in told["slices_left_out"] if each["column"] == "order_id"]
    assert few == {"column": "order_id", "minimum": 300, "levels": observed.height, "rows": observed.height}
    (features,) = told["features"]
    assert (features["version"], features["answers"], features["columns"]) == (2, asked, 11)
    distances = [each["psi"] for each in features["farthest"]]
    assert len(distances) == 10
    assert distances == sorted(distances, reverse=True)
    (scores,) = told["scores"]
    assert sum(each["served"] for each in scores["bins"]) == pytest.approx(1.0)
    assert scores["psi"] is not None
    assert rows(platform, "training_profiles").height == 12


@pytest.mark.slow
def test_a_version_whose_training_is_gone_is_judged_all_the_same(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    serve(platform, "2025-04-09", "2025-04-10")
    with closing(Lake.from_settings(platform.settings)) as lake:
        lake.drop(platform.declared.table("split"))
    watch(platform, "2025-04-09", "2025-04-10")
    assert "version 1 is not compared with its training" in caplog.text
    told = monitored(platform.declared, platform.settings)
    assert (told["features"], told["scores"]) == ([], [])
    assert told["versions"]
