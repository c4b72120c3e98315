"""Whether the scoring service has taken a deployment up, by the status of one that answers."""

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.in_use import sentence, taken_up
from mlplatform.stages.deployment.alias import Deployment
from mlplatform.stages.deployment.release import Release
from mlplatform_tests.crosscutting.brokers import free_port


def release(version: int) -> Release:
    return Release(
        use_case="parcels",
        digest=f"{version}" * 64,
        model="tree",
        feature_set_id="set",
        figures={},
        as_of="2025-05-01",
        released_at=datetime(2025, 5, 1, tzinfo=UTC),
        released_by="test",
        why="it won",
        version=version,
    )


PRESENT = Deployment(number=4, champion=release(2), previous=(release(1),), canary=release(3), share=0.25)
ROLES = {"champion": 2, "canary": 3, "share": 0.25, "shadow": None}


class Service:
    """Answers every request with the status of one use case; each request may change its roles."""

    def __init__(self, *roles: dict[str, Any]) -> None:
        left = list(roles)

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                now = left.pop(0) if len(left) > 1 else left[0]
                body = json.dumps({"use_cases": {"parcels": {"roles": now}}}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *words: object) -> None:
                """Keep the tests' output clean."""

        self.server = HTTPServer(("127.0.0.1", 0), Answer)
        self.settings = Settings.load({"MLPLATFORM_SCORING_PORT": str(self.server.server_port)})

    def __enter__(self) -> Settings:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self.settings

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def nobody() -> Settings:
    return Settings.load({"MLPLATFORM_SCORING_PORT": str(free_port())})


def test_a_service_with_the_same_roles_has_it() -> None:
    with Service(ROLES) as settings:
        assert taken_up(settings, "parcels", PRESENT, 0.0)["taken_up"] is True


@pytest.mark.parametrize("other", [{"champion": 1}, {"canary": None}, {"share": 0.5}, {"shadow": 1}])
def test_with_any_other_role_it_has_not(other: dict[str, Any]) -> None:
    with Service(ROLES | other) as settings:
        told = taken_up(settings, "parcels", PRESENT, 0.0)
    assert told["taken_up"] is False
    assert "not taken it up yet" in told["said"]


def test_it_is_waited_for() -> None:
    with Service(ROLES | {"champion": 1}, ROLES | {"champion": 1}, ROLES) as settings:
        assert taken_up(settings, "parcels", PRESENT, 30.0)["taken_up"] is True


def test_nobody_is_not_waited_for(nobody: Settings) -> None:
    told = taken_up(nobody, "parcels", PRESENT, 30.0)
    assert told["taken_up"] is None
    assert "not running" in told["said"]


def test_the_sentence_names_every_role() -> None:
    assert sentence("parcels", PRESENT) == (
        "parcels: version 2 (tree) is the champion; version 3 (tree) answers 25.0% of the entities as "
        "canary; version 1 (tree) was the champion before."
    )
