"""The contract of request and reply, over every implementation; and what only a real broker does."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from mlplatform.crosscutting.bus import open_bus
from mlplatform.crosscutting.bus.contract import BrokerAway, BusClosed
from mlplatform.crosscutting.rpc import MAX_BYTES, NoReply, NoResponder, Rpc, open_rpc
from mlplatform.crosscutting.rpc.contract import HandlerFailed
from mlplatform.errors import BusError, ConfigurationError
from mlplatform_tests.crosscutting.brokers import Broker, free_port


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(params=["memory", "nats"])
def rpc(request: pytest.FixtureRequest) -> Iterator[Rpc]:
    """Request and reply of one kind."""
    url = "memory://" if request.param == "memory" else request.getfixturevalue("broker").url
    with closing(open_rpc(url)) as opened:
        yield opened


def upper(body: bytes) -> bytes:
    return body.upper()


def named(name: str) -> Callable[[bytes], bytes]:
    return lambda body: name.encode() + b":" + body


def test_a_request_is_answered(rpc: Rpc) -> None:
    with closing(rpc.serve("rpc.text.upper", "q", upper)):
        assert rpc.request("rpc.text.upper", b"abc", 5) == b"ABC"
        assert rpc.request("rpc.text.upper", b"", 5) == b""


def test_bytes_are_not_touched(rpc: Rpc) -> None:
    body = bytes(range(256)) * 100
    with closing(rpc.serve("rpc.echo", "q", lambda body: body)):
        assert rpc.request("rpc.echo", body, 5) == body


def test_servers_of_a_queue_share_the_requests_and_each_is_handled_once(rpc: Rpc) -> None:
    handled: Counter[bytes] = Counter()
    lock = threading.Lock()

    def server(name: str) -> Callable[[bytes], bytes]:
        def handle(body: bytes) -> bytes:
            with lock:
                handled[body] += 1
            return name.encode()

        return handle

    servings = [rpc.serve("rpc.shared", "q", server(name)) for name in "abc"]
    bodies = [b"%d" % number for number in range(200)]
    with ThreadPoolExecutor(8) as threads:
        names = Counter(threads.map(lambda body: rpc.request("rpc.shared", body, 10), bodies))
    for serving in servings:
        serving.close()
    assert handled == Counter(bodies)
    assert names.total() == 200
    assert len(names) > 1, "one server had them all"


def test_nobody_serves(rpc: Rpc) -> None:
    with pytest.raises(NoResponder, match="Nobody serves rpc"):
        rpc.request("rpc.nobody", b"", 30)


def test_a_closed_server_gets_no_request(rpc: Rpc) -> None:
    first, second = (rpc.serve("rpc.closing", "q", named(name)) for name in "ab")
    first.close()
    first.close()
    assert {rpc.request("rpc.closing", b"1", 5) for _ in range(10)} == {b"b:1"}
    second.close()
    with pytest.raises(NoResponder):
        rpc.request("rpc.closing", b"1", 5)


def test_a_reply_that_does_not_come_in_time(rpc: Rpc) -> None:
    go = threading.Event()

    def slow(body: bytes) -> bytes:
        go.wait(30)
        return body

    with closing(rpc.serve("rpc.slow", "q", slow)):
        with pytest.raises(NoReply, match=r"did not answer within 0\.1 s"):
            rpc.request("rpc.slow", b"", 0.1)
        go.set()
        assert rpc.request("rpc.slow", b"again", 5) == b"again"


def test_a_handler_that_raises_fails_its_request_only(rpc: Rpc) -> None:
    def fails(body: bytes) -> bytes:
        return b"%d" % (1 // int(body))

    with closing(rpc.serve("rpc.fails", "q", fails)):
        with pytest.raises(HandlerFailed, match="ZeroDivisionError"):
            rpc.request("rpc.fails", b"0", 5)
        assert rpc.request("rpc.fails", b"1", 5) == b"1"


def test_bodies_have_a_largest_size(rpc: Rpc) -> None:
    with closing(rpc.serve("rpc.sized", "q", lambda body: body * 2)):
        assert len(rpc.request("rpc.sized", b"x" * (MAX_BYTES // 2), 5)) == MAX_BYTES
        with pytest.raises(BusError, match=f"The reply has {MAX_BYTES + 2} bytes"):
            rpc.request("rpc.sized", b"x" * (MAX_BYTES // 2 + 1), 5)
        with pytest.raises(BusError, match="The request has"):
            rpc.request("rpc.sized", b"x" * (MAX_BYTES + 1), 5)


@pytest.mark.parametrize("subject", ["", "a b", "a..b", ".a", "a.", "a.*", "a.>", "ü", "a\n", "mlplatform.x"])
def test_subjects_that_cannot_be(rpc: Rpc, subject: str) -> None:
    with pytest.raises(BusError, match="A subject"):
        rpc.request(subject, b"", 1)
    with pytest.raises(BusError, match="A subject"):
        rpc.serve(subject, "q", upper)


def test_queues_that_cannot_be(rpc: Rpc) -> None:
    for queue in ("", "a b", "a.b", "q\n"):
        with pytest.raises(BusError, match="A queue cannot be named"):
            rpc.serve("rpc.x", queue, upper)


def test_closed_for_good(rpc: Rpc) -> None:
    rpc.close()
    rpc.close()
    with pytest.raises(BusClosed):
        rpc.request("rpc.x", b"", 1)
    with pytest.raises(BusClosed):
        rpc.serve("rpc.x", "q", upper)


def test_brokers_without_requests_are_told_of() -> None:
    with pytest.raises(ConfigurationError, match="Kafka, which has no request and reply") as caught:
        open_rpc("kafka://user:secret@127.0.0.1:9092")
    assert "NATS" in caught.value.hint
    with pytest.raises(ConfigurationError, match="got scheme 'http'"):
        open_rpc("http://127.0.0.1")


def test_no_broker_at_all() -> None:
    with pytest.raises(BrokerAway, match="No broker answers"):
        open_rpc(f"nats://127.0.0.1:{free_port()}")


def test_two_processes_worth_of_connections(broker: Broker) -> None:
    with closing(open_rpc(broker.url)) as server, closing(open_rpc(broker.url)) as asker:
        server.serve("rpc.apart", "q", upper)
        assert asker.request("rpc.apart", b"x", 5) == b"X"


def test_a_request_is_not_stored_by_the_bus_of_the_same_broker(broker: Broker) -> None:
    with closing(open_bus(broker.url)), closing(open_rpc(broker.url)) as rpc:
        rpc.serve("rpc.mlplatform.score.x", "q", upper)
        assert {rpc.request("rpc.mlplatform.score.x", b"x", 5) for _ in range(20)} == {b"X"}


def test_a_broker_that_restarts_is_survived(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, closing(open_rpc(broker.url)) as rpc:
        rpc.serve("rpc.again", "q", upper)
        assert rpc.request("rpc.again", b"x", 5) == b"X"
        os.kill(broker.pid, signal.SIGKILL)
        broker.wait_restarted()
        assert _in_the_end(rpc, "rpc.again", b"y") == b"Y"


def _in_the_end(rpc: Rpc, subject: str, body: bytes) -> bytes:
    deadline = time.monotonic() + 20
    while True:
        try:
            return rpc.request(subject, body, 1)
        except BusError:
            assert time.monotonic() < deadline, "it never served again"
            time.sleep(0.05)
