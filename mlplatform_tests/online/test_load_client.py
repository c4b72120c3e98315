"""The client that proves that no request fails: it sees each one that does, and only those."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.load import Result, post, read_requests, run, write_requests

CONNECTIONS, COUNT = 4, 60
Answer = Callable[["Peer", int, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Peer:
    """A server that is told how to answer its n-th request."""

    answer: Answer
    asked: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = await reader.readexactly(int(head.lower().split(b"content-length:")[1].split()[0]))
                self.asked += 1
                await self.answer(self, int(body), writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def right(number: int, *, header: str = "") -> bytes:
    text = str(number).encode()
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n{header}\r\n".encode() + text


def echoes(index: int, status: int, body: bytes) -> str:
    return "" if (status, body) == (200, str(index).encode()) else f"{index}: {status} {body!r}"


def loaded(answer: Answer, patience: float = 30.0) -> Result:
    async def whole() -> Result:
        server = await asyncio.start_server(Peer(answer).serve, "127.0.0.1", 0)
        requests = [post("/", str(index).encode()) for index in range(7)]
        port = server.sockets[0].getsockname()[1]
        limits = {"count": COUNT, "patience": patience}
        result = await run("127.0.0.1", port, requests, CONNECTIONS, check=echoes, **limits)  # type: ignore[arg-type]
        server.close()
        return result

    return asyncio.run(whole())


async def _pieces(peer: Peer, number: int, writer: asyncio.StreamWriter) -> None:
    for byte in right(number):
        writer.write(bytes([byte]))
        await asyncio.sleep(0)


async def _closes(peer: Peer, number: int, writer: asyncio.StreamWriter) -> None:
    last = peer.asked % 3 == 0
    writer.write(right(number, header="Connection: close\r\n" if last else ""))
    if last:
        writer.close()


@pytest.mark.parametrize("answer", [_pieces, _closes])
def test_right_answers_are_no_failures(answer: Answer) -> None:
    result = loaded(answer)
    assert result.failures == []
    assert len(result.latencies) == COUNT
    assert result.connects == (CONNECTIONS if answer is _pieces else result.connects)
    assert 0 < result.percentile(1) <= result.percentile(50) <= result.percentile(100)


def test_a_connection_that_ends_while_an_answer_is_owed_is_a_failure() -> None:
    async def drops(peer: Peer, number: int, writer: asyncio.StreamWriter) -> None:
        if peer.asked % 5 == 0:
            writer.close()
        else:
            writer.write(right(number))

    result = loaded(drops)
    assert len(result.failures) == COUNT // 5
    assert all("before the answer" in failure for failure in result.failures)
    assert len(result.latencies) == COUNT - COUNT // 5


def test_wrong_and_missing_answers_are_failures() -> None:
    async def mixed(peer: Peer, number: int, writer: asyncio.StreamWriter) -> None:
        if peer.asked == 7:
            writer.write(right(number + 1))
        elif peer.asked < COUNT:
            writer.write(right(number))

    result = loaded(mixed, patience=0.2)
    wrong, missing = result.failures
    assert wrong.startswith("6: 200")
    assert missing == "no answer within 0.2 s"


def test_requests_come_back_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    requests = [post("/", b"\n1\r\n\x00"), post("/x", b"")]
    write_requests(path, requests)
    assert read_requests(path) == requests
