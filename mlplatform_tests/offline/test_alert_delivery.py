"""Alerts reach a real HTTP server and a real SMTP server, in order and once, also after failures."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlplatform.crosscutting.alerting.alert import Alert
from mlplatform.crosscutting.alerting.settings import AlertSettings
from mlplatform.crosscutting.alerting.targets import targets_of
from mlplatform.crosscutting.signature import verify
from mlplatform.errors import ConfigurationError
from mlplatform.offline.alert_delivery import AlertDelivery, Sent
from mlplatform.stores.alert_deliveries import AlertDeliveries
from mlplatform.stores.alerts import AlertStore

SECRET = "whsec_" + "QUFB" * 11
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Web(ThreadingHTTPServer):
    """Answers with the next of `statuses`, else 200, and keeps what it took."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.taken: list[tuple[dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Post)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Post(BaseHTTPRequestHandler):
    server: Web

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200:
            self.server.taken.append((dict(self.headers), content))
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class Mail(socketserver.ThreadingTCPServer):
    """As much of SMTP as a sender needs."""

    allow_reuse_address = True

    def __init__(self) -> None:
        self.mails: list[str] = []
        super().__init__(("127.0.0.1", 0), _Talk)


class _Talk(socketserver.StreamRequestHandler):
    server: Mail

    def handle(self) -> None:
        self.wfile.write(b"220 fake\r\n")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines: list[bytes] = []
                while (line := self.rfile.readline()) != b".\r\n":
                    lines.append(line)
                self.server.mails.append(b"".join(lines).decode())
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 fine\r\n")
            if verb == b"QUIT":
                return


@contextmanager
def _serving(server: Any) -> Iterator[Any]:
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    with _serving(Web()) as server:
        yield server


@pytest.fixture
def mail() -> Iterator[Mail]:
    with _serving(Mail()) as server:
        yield server


class World:
    """A state, and rounds of delivery, each by a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.url, self.now = f"sqlite:///{folder / 'state.sqlite'}", NOW

    def alert(self, subject: str, severity: Any = "critical") -> bool:
        with closing(AlertStore(self.url)) as store:
            return store.raise_(
                Alert(
                    use_case="flights",
                    kind="slow",
                    subject=subject,
                    severity=severity,
                    cause="Answers take <long>.",
                    remedy="mlplatform rollback flights",
                    figures={"p99 ms": 12.5},
                    at=self.now,
                )
            )

    def clear(self, subject: str) -> bool:
        with closing(AlertStore(self.url)) as store:
            return store.clear("flights", "slow", subject, "they are fast again.", at=self.now)

    def round(self, settings: AlertSettings) -> Sent:
        with closing(AlertStore(self.url)) as alerts, closing(AlertDeliveries(self.url)) as progress:
            targets = targets_of(settings)
            return AlertDelivery(
                alerts, progress, targets, least=settings.least, clock=lambda: self.now
            ).round()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_alert_is_counted_while_it_is_open(world: World) -> None:
    assert [world.alert("v1", "warning"), world.alert("v1", "warning"), world.alert("v1")] == [
        True,
        False,
        True,
    ]
    with closing(AlertStore(world.url)) as store:
        (found,) = store.open()
        assert (found.repeats, found.alert.severity) == (2, "critical")
    assert [world.clear("v1"), world.clear("v1"), world.alert("v1")] == [True, False, True]
    with closing(AlertStore(world.url)) as store:
        history = store.history()
    assert [change.action for change in history] == ["raised", "worsened", "cleared", "raised"]
    assert [change.number for change in history] == [1, 2, 3, 4]
    assert history[2].repeats == 2


def test_webhook_and_slack_have_the_remedy_and_the_signature(world: World, web: Web) -> None:
    world.alert("v1")
    assert world.round(AlertSettings(webhook=web.url, secret=SECRET, slack=web.url)).delivered == 2
    (headers, content), (_, slack) = web.taken
    assert verify(SECRET, headers, content) == json.loads(content)["id"]
    assert json.loads(content)["remedy"] == "mlplatform rollback flights"
    assert "mlplatform rollback flights" in json.loads(slack)["text"]
    assert "&lt;long&gt;" in json.loads(slack)["text"]


def test_what_fails_is_tried_again_in_order_and_once(world: World, web: Web) -> None:
    settings = AlertSettings(slack=web.url)
    world.alert("v1")
    world.alert("v2")
    web.statuses = [500]
    assert world.round(settings).failed == 1
    assert world.round(settings).waiting == 1
    world.now += timedelta(seconds=6)
    assert world.round(settings).delivered == 2
    assert world.round(settings) == Sent()
    assert ["of v1" in json.loads(taken[1])["text"] for taken in web.taken] == [True, False]


def test_a_refusal_is_given_up_and_the_next_follows(world: World, web: Web) -> None:
    world.alert("v1")
    world.alert("v2")
    web.statuses = [400]
    sent = world.round(AlertSettings(slack=web.url))
    assert (sent.given_up, sent.delivered) == (1, 1)
    with closing(AlertDeliveries(world.url)) as progress:
        assert (progress.of("slack").given_up, progress.of("slack").done) == (1, 2)


def test_whoever_ends_while_sending_leaves_it_to_the_next(world: World, web: Web) -> None:
    world.alert("v1")
    with closing(AlertDeliveries(world.url)) as progress:
        seen = progress.of("slack")
        assert progress.claim(seen, world.now, timedelta(minutes=2))
        assert not progress.claim(seen, world.now, timedelta(minutes=2))
    assert world.round(AlertSettings(slack=web.url)).waiting == 1
    world.now += timedelta(minutes=3)
    assert world.round(AlertSettings(slack=web.url)).delivered == 1


def test_a_mail_has_cause_remedy_and_an_id(world: World, mail: Mail) -> None:
    port = mail.server_address[1]
    settings = AlertSettings(
        email=("ops@example.org",), smtp_host="127.0.0.1", smtp_port=port, smtp_security="none"
    )
    world.alert("v1")
    assert world.round(settings).delivered == 1
    (text,) = mail.mails
    assert "Subject: [critical] flights: slow of v1" in text
    assert "Message-ID: <" in text
    assert "mlplatform rollback flights" in text


def test_no_password_goes_in_the_clear_and_no_secret_is_shown() -> None:
    env = {
        "MLPLATFORM_ALERT_EMAIL": "ops@example.org",
        "MLPLATFORM_ALERT_SMTP": "mail.example.org:25",
        "MLPLATFORM_ALERT_SMTP_SECURITY": "none",
        "MLPLATFORM_ALERT_SMTP_PASSWORD": "hidden-word",
    }
    settings = AlertSettings.load(env)
    assert "hidden-word" not in repr(settings)
    with pytest.raises(ConfigurationError, match="for everybody to read"):
        targets_of(settings)
