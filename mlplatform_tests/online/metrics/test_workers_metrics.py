"""Several real workers: whichever is asked tells of all, also of those that were killed, and logs JSON."""

import json
import os
import signal
from pathlib import Path

import pytest

from mlplatform.crosscutting.guard import lives
from mlplatform_tests.online.metrics.scraped import Scraped
from mlplatform_tests.online.test_workers import Service, serving, until
from mlplatform_tests.online.world import USE_CASE, Trained, World

ANSWERS = {"use_case": USE_CASE, "version": "1", "link": "champion"}


def scrape(service: Service) -> Scraped:
    """What Prometheus gets; a connection that waited for a worker that was killed is cut, and asked again."""
    while True:
        try:
            status, body = service.get("/metrics")
        except OSError:
            continue
        assert status == 200
        return Scraped(body.decode())


def answers(service: Service) -> float:
    """Rows answered by all workers."""
    return scrape(service)("mlplatform_answers_total", **ANSWERS)


def looked(service: Service) -> dict[int, int]:
    """The workers that answer now, pid by number; none while connections are cut."""
    try:
        return service.look()
    except OSError:
        return {}


@pytest.mark.slow
def test_workers_are_told_of_as_one_through_kills_and_replacements(
    world: World, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLPLATFORM_LOG_FORMAT", "json")
    world.promote(trained.candidate)
    with serving(world) as service:
        asked = len(service.load(trained, connections=8, seconds=0.5).latencies)
        until(lambda: answers(service) == asked, "a worker's answers are missing")
        told = scrape(service)
        assert told("mlplatform_workers") == 2
        workers = {dict(labels)["worker"] for labels in told.all("process_cpu_seconds_total")}
        assert workers == {"1", "2"}
        for number, pid in service.look().items():
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: not lives(pid), "it was not buried")  # type: ignore[misc]
            assert answers(service) == asked  # by the other one, or its replacement
            until(lambda n=number, p=pid: looked(service).get(n, p) != p, "it was not replaced")  # type: ignore[misc]
        before = service.look()
        service.reload()
        until(
            lambda: not any(lives(pid) for pid in before.values()) and len(looked(service)) == 2,
            "the workers were not replaced",
        )
        assert answers(service) == asked
        asked += len(service.load(trained, connections=8, seconds=0.3).latencies)
        until(lambda: answers(service) == asked, "a replacement's answers are missing")
        assert scrape(service)("mlplatform_workers") == 2
        folder = Path(service.settings.home / "metrics" / f"scoring-{service.settings.scoring_port}")
        assert len(list(folder.iterdir())) == 3  # two that live, and what ended ones counted
        service.process.send_signal(signal.SIGTERM)
        said = service.process.communicate(timeout=60)[1].decode().splitlines()
    lines = [json.loads(line) for line in said]
    assert {line["service"] for line in lines} == {"scoring"}
    assert {line.get("worker") for line in lines} == {None, 1, 2}
    assert any("ended with code -9" in line["message"] for line in lines)
    assert {line.get("use_case") for line in lines if "is in use" in line["message"]} == {USE_CASE}
