"""The W3C trace context of the work in hand: which headers are right, and what goes on with the work."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from mlplatform.crosscutting import tracing
from mlplatform.crosscutting.bus import envelope
from mlplatform.crosscutting.bus.topics import DEPLOYMENT_CHANGED, DeploymentChanged

TRACE = "0af7651916cd43dd8448eb211c80319c"
GIVEN = f"00-{TRACE}-b7ad6b7169203331-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-00"


def scope(*values: bytes, path: str = "/v1/status") -> dict[str, Any]:
    return {"type": "http", "path": path, "headers": [(b"traceparent", value) for value in values]}


@pytest.fixture(autouse=True)
def nothing_in_hand() -> None:
    tracing._work.set(None)


@pytest.mark.parametrize(
    "text",
    [GIVEN, f"00-{TRACE}-b7ad6b7169203331-00", f"cc-{TRACE}-b7ad6b7169203331-01-what-the-future-brings"],
)
def test_right(text: str) -> None:
    assert tracing.is_valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        GIVEN.upper(),
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"00-{TRACE}-b7ad6b7169203331-01-more",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-b7ad6b7169203331-01",
        f"00-{TRACE}-b7ad6b7169203331-01\n",
        f"00-{TRACE[:-1]}٣-b7ad6b7169203331-01",
        "cc" + GIVEN[2:] + "-" + "x" * 1000,
    ],
)
def test_wrong(text: str) -> None:
    assert not tracing.is_valid(text)


def test_a_request_keeps_the_one_it_came_with() -> None:
    tracing.begin(scope(GIVEN.encode()))
    assert tracing.known() == GIVEN


@pytest.mark.parametrize("values", [[], [b"nonsense"], [b"\xff\xfe"], [GIVEN.encode(), OTHER.encode()]])
def test_a_wrong_one_is_replaced_by_a_new_one_that_stays(values: list[bytes]) -> None:
    tracing.begin(scope(*values))
    found = tracing.known()
    assert found is not None
    assert tracing.is_valid(found)
    assert found not in (GIVEN, OTHER)
    assert tracing.known() == found
    tracing.begin(scope(*values))
    assert tracing.known() != found


def test_a_thread_that_asks_first_and_the_request_agree() -> None:
    async def request() -> tuple[str | None, str | None]:
        tracing.begin(scope())
        return await asyncio.to_thread(tracing.known), tracing.known()

    first, second = asyncio.run(request())
    assert first == second is not None


def test_without_work_there_is_none() -> None:
    assert tracing.known() is None
    assert tracing.fields() == {}


def test_fields_of_a_request() -> None:
    tracing.begin(scope(GIVEN.encode(), path="/v2/models/flight_delay/infer"))
    assert tracing.fields() == {"use_case": "flight_delay", "traceparent": GIVEN}
    tracing.begin(scope(GIVEN.encode(), path="/score/Not A Name"))
    assert tracing.fields() == {"traceparent": GIVEN}


def test_within_a_message() -> None:
    with tracing.within(GIVEN, use_case="u"):
        assert tracing.fields() == {"use_case": "u", "traceparent": GIVEN}
        with tracing.within("nonsense", run_id="r"):
            assert tracing.fields() == {"use_case": "u", "run_id": "r", "traceparent": GIVEN}
        with tracing.within(OTHER):
            assert tracing.known() == OTHER
        assert tracing.known() == GIVEN
    assert tracing.fields() == {}
    with tracing.within(None, use_case="u"):
        assert tracing.fields() == {"use_case": "u"}


def test_a_request_over_another_transport() -> None:
    tracing.asked(GIVEN)
    assert tracing.known() == GIVEN
    tracing.asked(None)
    assert tracing.is_valid(tracing.known() or "")


def test_a_run_has_always_the_same() -> None:
    run = str(uuid4())
    assert tracing.of_run(run) == tracing.of_run(run)
    assert tracing.of_run(run)[3:35] == run.replace("-", "")
    for odd in ("", "not a uuid", "0" * 32):
        assert tracing.is_valid(tracing.of_run(odd))


def test_messages_have_that_of_the_work_they_are_made_for() -> None:
    data = DeploymentChanged(
        use_case="u", number=1, action="promote", version=1, share=0.0, why="because", who="me"
    )
    assert envelope(DEPLOYMENT_CHANGED, data, id="1", source="/s").traceparent is None
    with tracing.within(GIVEN):
        assert envelope(DEPLOYMENT_CHANGED, data, id="1", source="/s").traceparent == GIVEN
        assert envelope(DEPLOYMENT_CHANGED, data, id="1", source="/s", traceparent=OTHER).traceparent == OTHER
