"""`/metrics` of the scoring service: every count is what was asked, and who may read it."""

import json
import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlplatform.crosscutting.access import Access
from mlplatform.online.gate import Gate
from mlplatform.online.http import application
from mlplatform.online.key_ring import KeyRing
from mlplatform.online.metrics import scoring
from mlplatform.online.metrics.families import BUCKETS, SCORING
from mlplatform.online.releases import Releases
from mlplatform.online.replies import ASGIApp
from mlplatform.online.served_log import ServedLog
from mlplatform.stages.deployment.policy import Policy
from mlplatform.stores.keys import KeyStore
from mlplatform_tests.online.metrics.scraped import ask, scrape
from mlplatform_tests.online.world import START, USE_CASE, Trained, World, facts_of

SCORE, INFER = f"/score/{USE_CASE}", f"/v2/models/{USE_CASE}/infer"


@pytest.fixture(scope="module")
def facts(trained: Trained) -> dict[str, Any]:
    return facts_of(trained.frame.row(150, named=True))


@pytest.fixture
def releases(ready: World) -> Releases:
    found = ready.releases([USE_CASE, "later"])
    found.poll()
    return found


@pytest.fixture
def app(releases: Releases) -> ASGIApp:
    served = ServedLog(lambda writes: None)
    return application(releases, poll_seconds=0, served=served, gate=Gate(Access()), worker=3)


def failing(*_: object) -> float:
    raise ValueError("a model's own error")


def test_before_the_first_question_there_are_zeros(app: ASGIApp) -> None:
    told = scrape(app)
    assert told("mlplatform_answers_total", use_case=USE_CASE, version="1", link="champion") == 0
    assert told("mlplatform_late_answers_total", use_case=USE_CASE, version="1", link="champion") == 0
    assert told("mlplatform_model_failures_total", use_case=USE_CASE, version="1", reason="error") == 0
    assert told("mlplatform_fallbacks_total", use_case=USE_CASE) == 0
    assert told("mlplatform_score_log_lost_total") == 0
    assert told("mlplatform_use_case_ready", use_case=USE_CASE) == 1
    assert told("mlplatform_use_case_ready", use_case="later") == 0
    assert told("mlplatform_workers") == 1


def test_requests_answers_and_refusals(app: ASGIApp, facts: dict[str, Any]) -> None:
    for _ in range(3):
        assert ask(app, "POST", SCORE, json=facts).status_code == 200
    assert ask(app, "POST", SCORE, json=[facts, facts]).status_code == 200
    for method, path, status in [
        ("GET", SCORE, 405),
        ("POST", SCORE, 400),
        ("POST", "/score/nobody", 404),
        ("POST", "/score/later", 503),
        ("POST", INFER, 400),
        ("GET", "/health/live", 200),
        ("GET", "/no/such/thing", 404),
        ("GET", "/no/such/other", 404),
    ]:
        assert ask(app, method, path).status_code == status
    assert ask(app, "GET", "/health/live", headers={"host": "evil.example"}).status_code == 400
    told = scrape(app)
    found = told.all("mlplatform_http_requests_total").items()
    assert {(dict(labels)["route"], dict(labels)["status"]): count for labels, count in found} == {
        ("/score/{use_case}", "200"): 4,
        ("/score/{use_case}", "405"): 1,
        ("/score/{use_case}", "400"): 1,
        ("/score/{use_case}", "404"): 1,
        ("/score/{use_case}", "503"): 1,
        ("/v2/models/{use_case}/infer", "400"): 1,
        ("/health/live", "200"): 1,
        ("other", "404"): 2,
        ("gate", "400"): 1,
    }
    refused = {dict(k)["kind"]: n for k, n in told.all("mlplatform_http_refusals_total").items() if n}
    assert refused == {"host": 1, "method": 1, "wrong": 2, "unknown": 3, "unavailable": 1}
    labels = {"use_case": USE_CASE, "version": "1", "link": "champion"}
    assert told("mlplatform_answers_total", **labels) == 5  # rows; two came together
    assert told("mlplatform_answer_seconds_count", **labels) == 4
    assert told("mlplatform_answer_seconds_bucket", le="+Inf", **labels) == 4
    assert 0 < told("mlplatform_answer_seconds_sum", **labels) < 4 * 60
    assert told("mlplatform_score_log_waiting") == 5
    assert told("mlplatform_features_age_seconds", use_case=USE_CASE) == pytest.approx(
        ask(app, "POST", SCORE, json=facts).json()["features_age_s"]
    )


def test_release_memory_and_process(app: ASGIApp, releases: Releases) -> None:
    told, release = scrape(app), releases.current[USE_CASE].bundle.release
    named = {"model": release.model, "digest": release.digest, "version": "1", "role": "champion"}
    assert told("mlplatform_release_info", use_case=USE_CASE, **named) == 1
    newest = told("mlplatform_features_newest_timestamp_seconds", use_case=USE_CASE)
    assert START < datetime.fromtimestamp(newest, UTC) < START + timedelta(days=30)
    assert told("mlplatform_features_keys", use_case=USE_CASE) > 4
    assert told("process_resident_memory_bytes", worker="3") > 10_000_000
    assert told("process_cpu_seconds_total", worker="3") > 0


def test_fallbacks_failures_and_the_breaker(three: World, facts: dict[str, Any]) -> None:
    releases = three.releases()
    releases.poll()
    app = application(releases, poll_seconds=0)
    champion = releases.current[USE_CASE].champion
    champion.bundle = replace(champion.bundle, score_row=failing)
    for _ in range(5):
        assert ask(app, "POST", SCORE, json=facts).json()["link"] == "previous"
    told = scrape(app)
    assert told("mlplatform_fallbacks_total", use_case=USE_CASE) == 5
    assert told("mlplatform_answers_total", use_case=USE_CASE, version="2", link="previous") == 5
    # With the third error its breaker opened, and it was not asked any more.
    assert told("mlplatform_model_failures_total", use_case=USE_CASE, version="3", reason="error") == 3
    assert told("mlplatform_breaker_open", use_case=USE_CASE, version="3") == 1
    assert told("mlplatform_breaker_open", use_case=USE_CASE, version="2") == 0


def test_late_answers_fall_into_their_buckets(world: World, trained: Trained, facts: dict[str, Any]) -> None:
    world.promote(trained.candidate, Policy(deadline_ms=20))
    releases = world.releases()
    releases.poll()
    app = application(releases, poll_seconds=0)
    ticks: Iterator[float] = iter([0.0, 0.0, 0.03, 0.04])  # begun, started, scored, logged
    app._service.chain._clock = lambda: next(ticks)  # type: ignore[attr-defined]
    assert ask(app, "POST", SCORE, json=facts).json()["late"] is True
    told, labels = scrape(app), {"use_case": USE_CASE, "version": "1", "link": "champion"}
    assert told("mlplatform_late_answers_total", **labels) == 1
    assert told("mlplatform_answer_seconds_sum", **labels) == pytest.approx(0.04)
    name = "mlplatform_answer_seconds_bucket"
    assert [bound for bound in BUCKETS if told(name, le=f"{bound:g}", **labels)] == [
        bound for bound in BUCKETS if bound >= 0.04
    ]


def test_versions_out_of_use_for_long_are_not_told_of(
    app: ASGIApp, facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "MOST_VERSIONS", 2)
    ask(app, "POST", SCORE, json=facts)
    tallies = app.app._service.chain.tallies  # type: ignore[attr-defined]
    one = tallies.by_version[USE_CASE, 1, "champion"]
    tallies.by_version |= {(USE_CASE, number, "champion"): one for number in range(2, 9)}
    told = {dict(labels)["version"] for labels in scrape(app).all("mlplatform_answers_total")}
    assert told == {"1", "7", "8"}  # the one in use, and the newest


@pytest.mark.parametrize("scope", ["score", "ingest", "admin"])
def test_any_key_is_good_for_it_and_none_is_not(ready: World, tmp_path: Path, scope: str) -> None:
    url = f"sqlite:///{tmp_path / 'keys.sqlite'}"
    with closing(KeyStore(url)) as store:
        secret, _ = store.add("prometheus", [scope], "me", datetime(2026, 1, 1, tzinfo=UTC))
    ring = KeyRing(lambda: KeyStore(url))
    ring.start()
    try:
        assert ring.wait(30)
        app = application(ready.releases(), poll_seconds=0, gate=Gate(Access(), ring))
        assert ask(app, "GET", "/metrics").status_code == 401
        told = scrape(app, headers={"authorization": f"Bearer {secret}"})
    finally:
        ring.stop()
    assert told("mlplatform_http_refusals_total", kind="key") == 1
    assert told("mlplatform_http_requests_total", route="gate", status="401") == 1


def test_each_answer_is_a_line_at_the_level_debug(
    app: ASGIApp, facts: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    ask(app, "POST", SCORE, json=facts)
    assert caplog.records == []
    caplog.set_level(logging.DEBUG, "mlplatform.online.chain")
    answer = ask(app, "POST", SCORE, json=facts).json()
    (line,) = [record for record in caplog.records if record.name == "mlplatform.online.chain"]
    assert line.__dict__["prediction_id"] == answer["prediction_id"]
    assert line.__dict__["use_case"] == USE_CASE


def test_it_is_described(app: ASGIApp) -> None:
    told = json.loads(ask(app, "GET", "/openapi.json").text)["paths"]["/metrics"]["get"]
    assert list(told["responses"]["200"]["content"]) == ["text/plain"]


def test_names_follow_the_conventions_of_prometheus() -> None:
    for family in SCORING:
        assert family.name.startswith(("mlplatform_", "process_"))
        assert (family.kind == "counter") == family.name.endswith("_total"), family.name
        assert family.help.endswith("."), family.name
        assert bool(family.buckets) == (family.kind == "histogram")
    assert len({family.name for family in SCORING}) == len(SCORING)
