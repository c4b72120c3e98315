"""A real socket and bytes that are no request, or one that never ends: each gets its answer or its end."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from mlplatform.crosscutting.access import Access
from mlplatform.online.gate import LONGEST_HEADERS, Gate
from mlplatform.online.http import application
from mlplatform.online.protocol import LONGEST_HEAD, GuardedProtocol
from mlplatform_tests.online.real_server import serving
from mlplatform_tests.online.world import USE_CASE, World, facts_of, orders, train

PATIENCE = 1.0
"""Seconds that the server of these tests waits for a request."""
HOST = b"Host: localhost\r\n"
POST = b"POST /score/" + USE_CASE.encode() + b" HTTP/1.1\r\n" + HOST


@pytest.fixture(scope="module")
def good() -> bytes:
    """A question that is answered."""
    body = json.dumps(facts_of(orders().row(150, named=True))).encode()
    return POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """The scoring service on a port, less patient than it is by default."""
    frame, world = orders(), World(tmp_path_factory.mktemp("raw"))
    world.write(frame)
    world.promote(train(frame).candidate)
    releases = world.releases()
    releases.poll()
    patient, GuardedProtocol.patience = GuardedProtocol.patience, PATIENCE
    try:
        with serving(application(releases, poll_seconds=0, gate=Gate(Access()))) as place:
            host, _, port = place.partition(":")
            yield host, int(port)
    finally:
        GuardedProtocol.patience = patient


def talk(address: tuple[str, int], *parts: bytes, pause: float = 0.0, end: bool = False) -> bytes:
    """Send the parts; everything that comes back until the server closes, or for a moment says nothing."""
    with socket.create_connection(address, timeout=10 * PATIENCE) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except OSError:  # it has said what it thinks, and closed
                break
            time.sleep(pause)
        if end:
            connection.shutdown(socket.SHUT_WR)
        return all_of(connection)


def all_of(connection: socket.socket) -> bytes:
    received = b""
    try:
        while part := connection.recv(65_536):
            received += part
    except ConnectionResetError:
        pass  # closed with bytes of ours unread
    return received


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


NO_REQUESTS = {
    "noise": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "a word": b"hello\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "a wrong version": b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a NUL in the path": b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\n" + HOST + b"broken\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\n" + HOST + b"X : a\r\n\r\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "a length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "a length that is none": POST + b"Content-Length: 1e3\r\n\r\n",
    "a length beyond everything": POST + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n",
    "chunks without a length": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "an authority": b"CONNECT localhost:1 HTTP/1.1\r\n" + HOST + b"\r\n",
}
REFUSED = {
    "no host": (b"GET /health/live HTTP/1.1\r\n\r\n", 400),
    "another host": (b"GET /health/live HTTP/1.1\r\nHost: evil.example.org\r\n\r\n", 400),
    "two hosts": (b"GET /health/live HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    "a page of another origin": (
        POST + b"Origin: https://evil.example.org\r\nContent-Length: 0\r\n\r\n",
        403,
    ),
    "a long path": (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "a long header": (
        b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * (LONGEST_HEADERS + 1) + b"\r\n\r\n",
        431,
    ),
    "many headers": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 500 + b"\r\n", 431),
    "a body without length": (POST + b"\r\n", 400),
    "a body too long": (POST + b"Content-Length: 99999999\r\n\r\n", 413),
    "another method": (b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
}


@pytest.mark.slow
class TestRawHttp:
    @pytest.mark.parametrize("said", NO_REQUESTS.values(), ids=NO_REQUESTS)
    def test_what_is_no_request(self, address: tuple[str, int], good: bytes, said: bytes) -> None:
        answer = talk(address, said, end=True)
        assert status(answer) in (400, 404, 405, 408, 413), answer
        assert len(answer) < 2_500
        assert set(json.loads(answer.partition(b"\r\n\r\n")[2])) == {"error"}
        assert status(talk(address, good, end=True)) == 200

    @pytest.mark.parametrize(("said", "expected"), REFUSED.values(), ids=REFUSED)
    def test_what_is_refused(self, address: tuple[str, int], said: bytes, expected: int) -> None:
        answer = talk(address, said, end=True)
        assert status(answer) == expected, answer
        assert set(json.loads(answer.partition(b"\r\n\r\n")[2])) == {"error"}

    def test_a_header_without_end_is_cut_off(self, address: tuple[str, int]) -> None:
        parts = [b"GET / HTTP/1.1\r\n" + HOST + b"X: ", *[b"a" * 4_096] * (4 * LONGEST_HEAD // 4_096)]
        answer = talk(address, *parts, pause=0.001)
        assert answer == b"" or status(answer) == 431

    @pytest.mark.parametrize(
        "parts",
        [
            [b"GET / HT"],
            [b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n", b"Y: b\r\n"],
            [POST + b"Content-Length: 100\r\n\r\n", b'{"placed":'],
            [POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n", b"{    "],
        ],
        ids=["a line", "headers", "a body", "chunks"],
    )
    def test_who_never_ends_is_told_so(self, address: tuple[str, int], parts: list[bytes]) -> None:
        answer = talk(address, *parts, pause=PATIENCE / 10)
        assert status(answer) == 408
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {
            "error": f"the request did not come within {PATIENCE:g} s"
        }

    def test_a_connection_that_says_nothing_is_closed(self, address: tuple[str, int]) -> None:
        assert talk(address) == b""

    def test_a_request_byte_by_byte_is_answered(self, address: tuple[str, int], good: bytes) -> None:
        assert status(talk(address, *[good[at : at + 20] for at in range(0, len(good), 20)], end=True)) == 200

    def test_requests_on_one_connection(self, address: tuple[str, int], good: bytes) -> None:
        bad = POST + b"Content-Length: 1\r\n\r\n{"
        answer = talk(address, good + bad + good, good, end=True)
        assert [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]] == [200, 400, 200, 200]

    def test_senders_that_go_away(self, address: tuple[str, int], good: bytes) -> None:
        for cut in range(1, len(good), 7):
            with closing(socket.create_connection(address)) as connection:
                connection.sendall(good[:cut])
        assert status(talk(address, good, end=True)) == 200

    def test_a_refused_body_is_not_taken_for_a_request(self, address: tuple[str, int], good: bytes) -> None:
        long = POST + b"Content-Length: 99999999\r\n\r\n" + good
        answer = talk(address, long, end=True)
        assert answer.count(b"HTTP/1.1 ") == 1
        assert status(answer) == 413
