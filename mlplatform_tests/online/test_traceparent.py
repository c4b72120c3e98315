"""A request's W3C traceparent goes to what it causes: messages, pushed answers, log lines, also over NATS."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlplatform.crosscutting import logs, tracing
from mlplatform.crosscutting.access import Access
from mlplatform.crosscutting.bus import Bus, Received, envelope
from mlplatform.crosscutting.bus.consume import consume
from mlplatform.crosscutting.bus.memory import MemoryBus
from mlplatform.crosscutting.bus.topics import (
    DEAD_LETTER,
    SCORING_REQUESTED,
    SOURCE_EVENT,
    WEBHOOK_UNDELIVERED,
    ScoringRequested,
)
from mlplatform.crosscutting.rpc.nats_rpc import NatsRpc
from mlplatform.online.acceptor import Acceptor
from mlplatform.online.gate import Gate
from mlplatform.online.ingestion_http import application
from mlplatform.online.replies import ASGIApp
from mlplatform_tests.crosscutting.brokers import Broker
from mlplatform_tests.online.delivery.receiver import Receiver
from mlplatform_tests.online.delivery.test_webhooks import BODY, pushing, settled, until
from mlplatform_tests.online.metrics.scraped import ask

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVENT = {"time": "2013-01-01T00:00:00Z", "data": {}}


@pytest.fixture(autouse=True)
def nothing_in_hand() -> Iterator[None]:
    yield
    tracing._work.set(None)


def traces(bus: Bus) -> list[str | None]:
    return [each.envelope.traceparent for each in bus.read(SOURCE_EVENT, 0, 100)]


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
def app(bus: MemoryBus) -> ASGIApp:
    return application(Acceptor(bus, {"u": ["clicks"]}), gate=Gate(Access()))


def test_events_have_that_of_the_request_that_brought_them(app: ASGIApp, bus: MemoryBus) -> None:
    body = [EVENT | {"id": "1"}, EVENT | {"id": "2"}]
    asked = ask(app, "POST", "/events/clicks", json=body, headers={"traceparent": GIVEN})
    assert asked.status_code == 202
    assert traces(bus) == [GIVEN, GIVEN]


@pytest.mark.parametrize("headers", [{}, {"traceparent": "00-nonsense"}, {"traceparent": GIVEN.upper()}])
def test_without_a_right_one_the_events_of_a_request_have_a_new_one(
    app: ASGIApp, bus: MemoryBus, headers: dict[str, str]
) -> None:
    for number in range(2):
        body = [EVENT | {"id": f"{number} 1"}, EVENT | {"id": f"{number} 2"}]
        assert ask(app, "POST", "/events/clicks", json=body, headers=headers).status_code == 202
    first, second, third, fourth = traces(bus)
    assert first == second != third == fourth
    assert tracing.is_valid(first or "")


def test_a_pushed_answer_has_it_and_so_has_the_message_of_one_undelivered(
    tmp_path: Path, bus: MemoryBus
) -> None:
    with Receiver() as receiver, pushing(tmp_path, receiver.url, open_bus=lambda: bus) as hooks:
        with tracing.within(GIVEN):
            hooks.push(f"{receiver.url}/ok", "a", BODY)
            assert settled(hooks)["delivered"] == 1
            hooks.push(f"{receiver.url}/status/400", "b", BODY)
            assert settled(hooks)["undelivered"] == 1
            until(lambda: bus.last(WEBHOOK_UNDELIVERED), "it was not told of")
            (told,) = bus.read(WEBHOOK_UNDELIVERED, 0, 10)
        hooks.push(f"{receiver.url}/ok", "c", BODY)
        assert settled(hooks)["pushed"] == 3
        got = [receiver.got.get(timeout=10) for _ in range(3)]
    named = [{name.lower(): value for name, value in each.headers.items()} for each in got]
    assert [each.get("traceparent") for each in named] == [GIVEN, GIVEN, None]
    assert told.envelope.traceparent == GIVEN


def test_a_message_that_is_handled_gives_it_to_what_follows(bus: MemoryBus) -> None:
    data = ScoringRequested(use_case="u", first="2013-01-01", last="2013-01-02")
    message = envelope(SCORING_REQUESTED, data, id="1", source="/test", traceparent=GIVEN)
    bus.publish(SCORING_REQUESTED, message)
    seen: list[Any] = []

    class Once:
        """Set after the first message was tried."""

        def is_set(self) -> bool:
            return bool(seen)

        def wait(self, timeout: float | None = None) -> bool:
            return bool(seen)

    def handle(received: Received[ScoringRequested]) -> None:
        seen.append(dict(tracing.fields()))
        raise ValueError("it cannot be handled")

    consume(bus, SCORING_REQUESTED, "reader", handle, stop=Once(), attempts=1, wait=0.0)  # type: ignore[arg-type]
    assert seen == [{"use_case": "u", "traceparent": GIVEN}]
    (letter,) = bus.read(DEAD_LETTER, 0, 10)
    assert letter.envelope.traceparent == GIVEN


def test_requests_over_the_broker_carry_it(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        rpc = NatsRpc(broker.url)
        try:
            rpc.serve("rpc.trace", "q", lambda body: (tracing.known() or "").encode())
            with tracing.within(GIVEN):
                told = rpc.request("rpc.trace", b"", 10).decode()
            alone = rpc.request("rpc.trace", b"", 10).decode()
        finally:
            rpc.close()
    assert told == GIVEN
    assert tracing.is_valid(alone)
    assert alone != GIVEN


def test_the_log_of_a_request_tells_it(app: ASGIApp, capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logs.formatter("ingestion"))
    log = logging.getLogger("mlplatform.tested")
    log.addHandler(handler)

    async def noted(scope: Any, receive: Any, send: Any) -> None:
        log.warning("seen")
        await app(scope, receive, send)

    gated = Gate(Access()).around(noted)
    try:
        ask(gated, "GET", "/score/returns", headers={"traceparent": GIVEN})
    finally:
        log.removeHandler(handler)
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert (line["traceparent"], line["use_case"]) == (GIVEN, "returns")
