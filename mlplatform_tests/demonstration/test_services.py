"""Talking to the services: what is sent, waited for, and counted. The service is a small real HTTP server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.demonstration.services import MOST_EVENTS, Services
from mlplatform.errors import ServiceError


class _Handler(BaseHTTPRequestHandler):
    """Numbers events, and answers the facts `{"as": …}` as they ask."""

    protocol_version = "HTTP/1.1"
    position = 0
    busy = 0

    def do_GET(self) -> None:
        stream = {"position": max(0, _Handler.position - 1)}
        status = {"use_cases": {"flights": {"ready": _Handler.position > 1, "stream": stream}}}
        _Handler.position += 1  # the stream catches up while it is asked
        self._send(200, status)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path.startswith("/events/"):
            if _Handler.busy:
                _Handler.busy -= 1
                self._send(503, {"error": "the broker is away"})
                return
            lines = len(body.split(b"\n"))
            positions = list(range(_Handler.position + 1, _Handler.position + lines + 1))
            _Handler.position += lines
            self._send(202, {"positions": positions})
            return
        told = json.loads(body)
        self._send(told.get("status", 200), {"link": told.get("link"), "version": 1, "score": 0.5, **told})

    def _send(self, status: int, said: object) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def services() -> Iterator[Services]:
    _Handler.position = _Handler.busy = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = str(server.server_address[1])
    ports = {"MLPLATFORM_SCORING_PORT": port, "MLPLATFORM_INGESTION_PORT": port}
    found = Services(Settings.load(ports), "flights", "events")
    yield found
    found.close()
    server.shutdown()
    server.server_close()


def test_events_go_in_order_and_in_parts_also_to_a_busy_service(services: Services) -> None:
    _Handler.busy = 1
    events = [("arrival" if n % 2 else "departure", b"{}") for n in range(MOST_EVENTS + 10)]
    services.send(events)
    assert services.counts.events == {"arrival": 505, "departure": 505}
    assert _Handler.position == MOST_EVENTS + 10


def test_a_champion_is_waited_for_and_then_its_features(services: Services) -> None:
    services.await_ready()
    assert _Handler.position == 3
    services.send([("arrival", b"{}")] * 2)
    services.send([])  # a step at night: those of the steps before are to be known all the same
    services.await_applied()
    assert _Handler.position == 7


def test_answers_are_counted_by_link_and_failures_told(services: Services) -> None:
    for told in (
        {"link": "champion"},
        {"link": "champion", "late": True},
        {"link": "previous"},
        {"status": 503, "error": "nobody answers"},
        {"link": 7},
    ):
        services.ask(json.dumps(told).encode())
    counts = services.counts
    assert (dict(counts.links), counts.late) == ({"champion": 2, "previous": 1}, 1)
    assert (counts.scores, counts.failed) == (3, 2)
    assert "nobody answers" in counts.failures[0]


def test_a_service_that_is_not_there_is_a_failed_request_and_no_crash() -> None:
    gone = Services(Settings.load({"MLPLATFORM_SCORING_PORT": "1"}), "flights", "events")
    gone.ask(b"{}")
    assert gone.counts.failed == 1


def test_refused_events_end_it(services: Services) -> None:
    wrong = Services(Settings.load({"MLPLATFORM_INGESTION_PORT": "1"}), "flights", "events")
    with pytest.raises((ServiceError, OSError)):
        wrong.send([("arrival", b"{}")])
