"""Every expression of the alert rules and the dashboard, against a real Prometheus and real services."""

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from mlplatform.crosscutting.access import Access
from mlplatform.crosscutting.bus.memory import MemoryBus
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT
from mlplatform.crosscutting.settings import Settings
from mlplatform.online.acceptor import Acceptor
from mlplatform.online.archiver import Archiver
from mlplatform.online.delivery.delivery import Delivery
from mlplatform.online.gate import Gate
from mlplatform.online.http import application as scoring
from mlplatform.online.ingestion_http import application as ingestion
from mlplatform.online.metrics.families import INGESTION, PREPARATION, SCORING
from mlplatform.online.metrics.ingestion import DeadLetters
from mlplatform.online.preparation import Preparation
from mlplatform.online.preparation_server import application as preparation
from mlplatform.online.served_log import ServedLog
from mlplatform.online.streams import publish
from mlplatform.stores.lake import Lake
from mlplatform.stores.raw import RawStore
from mlplatform_tests.online.metrics.prometheus import PROGRAM, PROMTOOL, SECONDS, Prometheus
from mlplatform_tests.online.metrics.test_stream_metrics import put_aside
from mlplatform_tests.online.real_server import serving
from mlplatform_tests.online.stream_world import streams
from mlplatform_tests.online.world import USE_CASE, Trained, World, facts_of

FOLDER = Path(str(files("mlplatform").joinpath("observability")))
ALERTS, DASHBOARD, CONFIG = (FOLDER / n for n in ("alerts.yml", "grafana-dashboard.json", "prometheus.yml"))
VARIABLES = {"$__rate_interval": "5s", "$use_case": ".*"}
COMPARISON = re.compile(r" (==|>|<) (?!bool)")
EMPTY = {"mlplatform_stream_lag_messages"}
"""Told of only where a broker is followed, which needs one; `test_follower` and the workers' test have it."""


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """Every expression by where it stands; an alert's as one that tells whether it would fire."""
    found = {rule["alert"]: COMPARISON.sub(r" \1 bool ", rule["expr"]) for rule in rules()}
    for panel in panels():
        for target in panel["targets"]:
            text = target["expr"]
            for name, value in VARIABLES.items():
                text = text.replace(name, value)
            found[f"panel {panel['id']} {panel['title']}, {target['refId']}"] = text
    return found


def test_every_metric_that_is_used_is_one_of_ours() -> None:
    ours = {family.name for family in (*SCORING, *INGESTION, *PREPARATION)}
    ours |= {f"{f.name}{end}" for f in SCORING if f.buckets for end in ("_bucket", "_sum", "_count")}
    for where, text in expressions().items():
        used = set(re.findall(r"\b(?:mlplatform|process)_[a-z_]+", text))
        assert used <= ours, (where, used - ours)
        assert used or "up{" in text, where


def test_every_metric_of_ours_is_used_somewhere() -> None:
    used = {name for text in expressions().values() for name in re.findall(r"\b[a-z_]+_[a-z_]+", text)}
    used |= {name.removesuffix("_bucket") for name in used}
    unused = {family.name for family in (*SCORING, *INGESTION, *PREPARATION)} - used
    assert unused == {"mlplatform_build_info", "mlplatform_preparation_position"}


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
        assert len(COMPARISON.findall(rule["expr"])) >= 1


def test_the_dashboard_can_be_imported() -> None:
    told = json.loads(DASHBOARD.read_text())
    places = set()
    for panel in told["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & places, panel["title"]
        assert at["x"] + at["w"] <= 24
        places |= cells
    assert len({panel["id"] for panel in told["panels"]}) == len(told["panels"])
    for panel in panels():
        assert panel["title"]
        assert panel["description"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
    assert [variable["name"] for variable in told["templating"]["list"]] == ["datasource", "use_case"]


@pytest.mark.skipif(not PROMTOOL, reason="skipped: no Prometheus")
@pytest.mark.parametrize("command", [["check", "rules", str(ALERTS)], ["check", "config", str(CONFIG)]])
def test_promtool_finds_nothing_wrong(command: list[str]) -> None:
    assert PROMTOOL
    said = subprocess.run([PROMTOOL, *command], capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stdout + said.stderr


@contextmanager
def services(world: World, home: Path) -> Iterator[dict[str, str]]:
    """The three services on real ports: host:port by job. Every part of them has something to tell."""
    settings = Settings.load({"MLPLATFORM_HOME": str(home)})
    publish(home, streams())
    bus, releases = MemoryBus(), world.releases([USE_CASE, "later"])
    releases.poll()
    with ExitStack() as stack:
        store = RawStore(home / "raw", world.lake)
        lock = home / "lock"
        archiver = Archiver(bus, store, USE_CASE, ["clicks"], lock=lock, seconds=0)
        stack.enter_context(closing(archiver))
        archiver.poll()
        lake = stack.enter_context(
            closing(Lake(world.folder / "lake" / "catalog.sqlite", world.folder / "lake" / "data"))
        )
        prepared = stack.enter_context(closing(Preparation(bus, lake, streams(), locks=home)))
        put_aside(bus, 1)
        acceptor, gate = Acceptor(bus, {USE_CASE: ["clicks"]}), Gate(Access())
        apps = {
            "mlplatform-scoring": scoring(
                releases,
                poll_seconds=0,
                served=ServedLog(lambda writes: None, seconds=0.1),
                delivery=Delivery.from_settings(settings),
                gate=gate,
                rpc_broker="memory://",
            ),
            "mlplatform-ingestion": ingestion(acceptor, [archiver], letters=DeadLetters(bus)),
            "mlplatform-preparation": preparation([prepared], last=lambda: bus.last(SOURCE_EVENT)),
        }
        yield {job: stack.enter_context(serving(app)) for job, app in apps.items()}


@contextmanager
def load(jobs: dict[str, str], facts: dict[str, Any]) -> Iterator[None]:
    """Questions, good ones and such as are refused, and events, until the block ends."""
    over = threading.Event()

    def asking() -> None:
        asked = f"http://{jobs['mlplatform-scoring']}"
        told = f"http://{jobs['mlplatform-ingestion']}/events/clicks"
        number = 0
        with httpx.Client(trust_env=False) as client:
            while not over.wait(0.02):
                number += 1
                client.post(f"{asked}/score/{USE_CASE}", json=facts)
                client.post(f"{asked}/score/later", json=facts)  # 503
                client.post(told, json={"id": str(number), "time": "2013-01-01T00:00:00Z", "data": {}})
                client.get(asked, headers={"authorization": "Bearer no", "host": "evil"})

    thread = threading.Thread(target=asking)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.skipif(not PROGRAM, reason="skipped: no Prometheus")
def test_every_expression_gives_series(world: World, trained: Trained, tmp_path: Path) -> None:
    assert PROGRAM
    world.promote(trained.candidate)
    facts = facts_of(trained.frame.row(150, named=True))
    with (
        services(world, tmp_path / "home") as jobs,
        load(jobs, facts),
        Prometheus(PROGRAM, tmp_path, jobs, ALERTS) as prometheus,
    ):
        left, deadline = expressions(), time.monotonic() + SECONDS
        rightly = {where for where, text in left.items() if any(name in text for name in EMPTY)}
        while not set(left) <= rightly and time.monotonic() < deadline:
            left = {where: text for where, text in left.items() if not prometheus.query(text)}
            time.sleep(0.1)
        assert set(left) <= rightly, left
        for job in jobs:
            assert prometheus.query(f'up{{job="{job}"}} == 1'), job
        health = {rule["name"]: (rule["health"], rule.get("lastError", "")) for rule in prometheus.rules()}
        assert {rule["alert"] for rule in rules()} == set(health)
        assert set(health.values()) == {("ok", "")}, health
        (ratio,) = prometheus.query(
            "sum(increase(mlplatform_answers_total[1m])) / sum(increase(mlplatform_answer_seconds_count[1m]))"
        )
        assert float(ratio["value"][1]) == 1.0
