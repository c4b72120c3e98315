"""What is said of a deployment: from real services, stores and Dagster's own instance; nothing is started."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from dagster import DagsterInstance, build_sensor_context, job, op
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG
from dagster._daemon.types import DaemonHeartbeat

from mlplatform.crosscutting.alerting.alert import Alert
from mlplatform.crosscutting.bus import envelope, open_bus
from mlplatform.crosscutting.bus.topics import DEAD_LETTER, DeadLetter
from mlplatform.crosscutting.metrics.exposition import text
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.health import Health, Part, gather
from mlplatform.offline.health.dagster_side import daemons, failed_runs
from mlplatform.offline.health.page import page, write
from mlplatform.offline.health.part import ago
from mlplatform.offline.health.waiting import batch_requests
from mlplatform.offline.instance import prepare_instance
from mlplatform.offline.sensors.health import health_sensors
from mlplatform.online.metrics.families import SCORING
from mlplatform.stages.deployment.policy import Policy
from mlplatform.stages.deployment.release import Promotion
from mlplatform.stores.alerts import AlertStore
from mlplatform.stores.batch_requests import BatchRequest, BatchRequests
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.redriven import Redriven
from mlplatform.stores.undelivered import Letter, Resent, UndeliveredFiles
from mlplatform_tests.crosscutting.brokers import Broker, free_port

NOW = datetime.now(UTC)
URL = "https://hooks.example.com/a"


def settings_of(home: Path, **more: str) -> Settings:
    """Of a home where no port is taken."""
    ports = {f"MLPLATFORM_{name}_PORT": str(free_port()) for name in ("UI", "SCORING", "INGESTION")}
    ports["MLPLATFORM_PREPARATION_PORT"] = str(free_port())
    broker = {"MLPLATFORM_BROKER_URL": f"nats://127.0.0.1:{free_port()}"}
    return Settings.load({"MLPLATFORM_HOME": str(home), **ports, **broker, **more})


@contextmanager
def answering(answers: dict[str, tuple[int, str]]) -> Iterator[int]:
    """A service that answers with these by path; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, "{}"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def scoring(*, lost: float = 0, fallbacks: float = 0) -> dict[str, tuple[int, str]]:
    """Answers of a scoring service that was asked 200 questions, as the real one writes them."""
    link = ("orders", "1", "champion")
    told = text(
        SCORING,
        {
            "mlplatform_score_log_written_total": {(): 90.0},
            "mlplatform_score_log_waiting": {(): 10.0},
            "mlplatform_score_log_lost_total": {(): lost},
            "mlplatform_fallbacks_total": {("orders",): fallbacks},
            "mlplatform_late_answers_total": {link: 3.0},
            "mlplatform_answer_seconds": {
                link: [200.0, *[0.0] * 12, 0.1],
                ("orders", "2", "shadow"): [50.0, *[0.0] * 12, 0.1],
            },
        },
    )
    ready = {"ready": True, "serving": {"orders": 1}, "trouble": "", "problems": {}}
    return {"/health/ready": (200, json.dumps(ready)), "/metrics": (200, told)}


def part(health: Health, name: str) -> Part:
    return next(each for each in health.parts if each.name == name)


class TestNothingRuns:
    def test_it_is_told_and_nothing_is_made(self, tmp_path: Path) -> None:
        health = gather(settings_of(tmp_path / "home"), [])
        assert not health.well
        names = [each.name for each in health.parts if each.state == "problem"]
        assert names == ["Dagster daemons", "Dagster UI", "broker", "scoring"]
        assert all("mlplatform up" in part(health, name).remedy for name in names)
        assert {part(health, name).state for name in ("ingestion", "preparation", "dead letters")} == {"off"}
        assert not (tmp_path / "home").exists()


class TestScoring:
    @pytest.mark.parametrize(
        ("lost", "fallbacks", "states"),
        [(0, 0, ("ok", "ok")), (2, 0, ("problem", "ok")), (0, 5, ("ok", "warning"))],
    )
    def test_its_log_and_its_fallbacks(
        self, tmp_path: Path, lost: int, fallbacks: int, states: tuple[str, str]
    ) -> None:
        with answering(scoring(lost=lost, fallbacks=fallbacks)) as port:
            health = gather(settings_of(tmp_path, MLPLATFORM_SCORING_PORT=str(port)), [])
        log, answers = part(health, "log of answers"), part(health, "answers")
        assert (log.state, answers.state) == states
        assert log.figures == {"written": 90, "waiting": 10, "lost": lost}
        assert answers.figures == {
            "questions": 200,
            "fallbacks": fallbacks,
            "fallback share": fallbacks / 200,
            "late rows": 3,
        }
        assert part(health, "scoring").said == "serves orders version 1"

    def test_a_use_case_without_a_champion_is_not_ill(self, tmp_path: Path) -> None:
        told = {"ready": True, "serving": {"orders": 1}, "trouble": "", "problems": {"later": "No champion."}}
        with answering({**scoring(), "/health/ready": (200, json.dumps(told))}) as port:
            settings = settings_of(tmp_path, MLPLATFORM_SCORING_PORT=str(port))
            assert part(gather(settings, []), "scoring").state == "ok"
            with closing(ChampionStore(settings.state_url)) as store:
                store.promote(
                    Promotion(
                        use_case="later",
                        digest="d",
                        model="m",
                        feature_set_id="f",
                        figures={},
                        as_of="2026-01-01",
                        released_at=NOW,
                        released_by="me",
                        why="it won",
                        policy=Policy(),
                    )
                )
            found = part(gather(settings, []), "scoring")
        assert (found.state, found.details) == ("warning", ("later: No champion.",))

    def test_no_key_for_its_figures(self, tmp_path: Path) -> None:
        with answering({**scoring(), "/metrics": (401, "{}")}) as port:
            health = gather(settings_of(tmp_path, MLPLATFORM_SCORING_PORT=str(port)), [])
        assert part(health, "answers").state == "warning"
        assert "MLPLATFORM_KEY" in part(health, "answers").remedy

    def test_another_service_on_its_port(self, tmp_path: Path) -> None:
        with answering({}) as port:
            health = gather(settings_of(tmp_path, MLPLATFORM_SCORING_PORT=str(port)), [])
        assert part(health, "scoring").state == "warning"


class TestDagster:
    @pytest.fixture
    def instance(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
        folder = str(prepare_instance(settings_of(tmp_path)))
        monkeypatch.setenv("DAGSTER_HOME", folder)
        with DagsterInstance.from_config(folder) as instance:
            yield instance

    def beat(self, instance: DagsterInstance, names: list[str], at: datetime) -> None:
        for name in names:
            instance.add_daemon_heartbeat(DaemonHeartbeat(at.timestamp(), name, "test"))

    def test_a_daemon_that_stopped_is_named(self, instance: DagsterInstance) -> None:
        required = sorted(instance.get_required_daemon_types())
        assert daemons(instance, NOW).said == "not running"
        self.beat(instance, required, NOW - timedelta(seconds=20))
        assert (daemons(instance, NOW).state, daemons(instance, NOW).said) == (
            "ok",
            f"{len(required)} daemons beat, none is silent for more than 20 s",
        )
        self.beat(instance, required[1:], NOW + timedelta(seconds=170))
        silent = daemons(instance, NOW + timedelta(seconds=180))
        assert silent.state == "problem"
        assert silent.said == f"no beat for 2 min of {required[0].lower()}"
        assert f"{required[0].lower()}: last beat 3 min 20 s ago" in silent.details
        assert daemons(instance, NOW + timedelta(hours=1)).said.startswith("not running, last beat 57 min")

    def test_runs_that_failed_lately(self, instance: DagsterInstance) -> None:
        @op
        def breaks() -> None:
            raise ValueError("broken")

        @job
        def breaking() -> None:
            breaks()

        assert failed_runs(instance, datetime.now(UTC)).state == "ok"
        breaking.execute_in_process(instance=instance, raise_on_error=False)
        retried = breaking.execute_in_process(instance=instance, raise_on_error=False)
        instance.add_run_tags(retried.run_id, {AUTO_RETRY_RUN_ID_TAG: "another"})
        told = failed_runs(instance, datetime.now(UTC))
        assert (told.state, told.figures) == ("warning", {"failed": 1, "retried": 1})
        assert "of breaking" in told.details[0]
        assert failed_runs(instance, datetime.now(UTC) + timedelta(hours=25)).figures["failed"] == 0


class TestWaiting:
    @pytest.mark.parametrize(("severity", "state"), [("warning", "warning"), ("critical", "problem")])
    def test_open_alerts(self, tmp_path: Path, severity: str, state: str) -> None:
        settings = settings_of(tmp_path)
        alert = Alert(
            use_case="orders",
            kind="late",
            subject="version 1",
            severity=severity,  # type: ignore[arg-type]
            cause="Version 1 is late.",
            remedy="Look at it.",
            at=NOW,
        )
        with closing(AlertStore(settings.state_url)) as store:
            store.raise_(alert)
        told = part(gather(settings, []), "alerts")
        assert (told.state, told.figures["open"]) == (state, 1)
        assert told.details == (f"{severity}, orders: Version 1 is late. Remedy: Look at it.",)

    def test_dead_letters_until_they_are_sent_again(self, tmp_path: Path) -> None:
        with Broker(tmp_path) as broker:
            settings = settings_of(tmp_path, MLPLATFORM_BROKER_URL=broker.url)
            data = DeadLetter(
                use_case="orders",
                topic="source-event",
                consumer="archive",
                sequence=7,
                reason="ValueError: no",
                attempts=5,
                original="{}",
            )
            with closing(open_bus(broker.url)) as bus:
                bus.publish(DEAD_LETTER, envelope(DEAD_LETTER, data, id="d1", source="/test"))
            told = gather(settings, [])
            assert part(told, "broker").state == "ok"
            assert part(told, "dead letters").details == ("source-event for archive: ValueError: no",)
            with closing(Redriven(settings.state_url)) as store:
                store.note("d1", 1, NOW, "me")
            assert part(gather(settings, []), "dead letters").state == "ok"

    def test_undelivered_webhooks_until_they_are_sent_again(self, tmp_path: Path) -> None:
        settings = settings_of(tmp_path)
        letter = Letter(
            key="k",
            id="a",
            use_case="orders",
            url=URL,
            reason="the receiver answered 500",
            attempts=8,
            given_up_at=NOW,
            body="{}",
            encoding="text",
        )
        files = UndeliveredFiles.from_settings(settings)
        files.keep([letter])
        told = part(gather(settings, []), "webhooks")
        assert (told.state, told.details) == ("warning", (f"{URL}: the receiver answered 500",))
        files.resent([Resent(key="k", at=NOW, who="me")])
        assert part(gather(settings, []), "webhooks").state == "ok"

    def test_a_request_that_nobody_takes_up(self, tmp_path: Path) -> None:
        settings = settings_of(tmp_path)
        with closing(BatchRequests(settings.state_url)) as store:
            store.add(
                BatchRequest(
                    id="r",
                    key=None,
                    callback=None,
                    use_case="orders",
                    first="2026-01-01",
                    last="2026-01-02",
                    version=1,
                    model="m",
                    asked_at=NOW,
                )
            )
        assert batch_requests(settings, NOW + timedelta(seconds=30)).state == "ok"
        told = batch_requests(settings, NOW + timedelta(seconds=90))
        assert (told.state, told.said) == (
            "problem",
            "0 requests running, 1 queued, the oldest for 1 min 30 s",
        )


def test_a_store_that_cannot_be_read_hides_no_other_part(tmp_path: Path) -> None:
    health = gather(settings_of(tmp_path, MLPLATFORM_STATE_URL="nonsense"), [])
    assert part(health, "alerts").state == "problem"
    assert part(health, "webhooks").state == "ok"


def test_the_page_is_where_status_pages_are_and_shows_the_worst_first(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    health = Health(
        at=NOW,
        parts=(
            Part(name="good one", state="ok", said="fine"),
            Part(name="bad one", state="problem", said="<b>gone</b>", remedy="Do it.", details=("a & b",)),
        ),
    )
    assert write(health, settings) == settings.reports / "platform" / "status.html"
    told = page(health)
    assert told.index("bad one") < told.index("good one")
    assert "&lt;b&gt;gone" in told
    assert "a &amp; b" in told
    assert "Something is wrong." in told


def test_a_sensor_of_dagster_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    assert health_sensors("another", settings)
    assert health_sensors("others", settings) == []
    (health_page,) = health_sensors("another", settings)
    with DagsterInstance.ephemeral() as instance, build_sensor_context(instance=instance) as context:
        told = health_page.evaluate_tick(context).skip_message
    assert told is not None
    assert "broker: nothing listens at 127.0.0.1" in told
    # flight_delay, which this package brings, has a stream: both services of streams are meant to run.
    assert "preparation: nothing answers" in told
    assert "Something is wrong." in (settings.reports / "platform" / "status.html").read_text()


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0 s"), (61, "1 min 1 s"), (3600, "1 h"), (90_000, "1 d 1 h"), (-4, "0 s")]
)
def test_durations(seconds: float, told: str) -> None:
    assert ago(seconds) == told
