"""The port of request and reply: one asks, one of several servers answers.

It must not know a broker; `memory.py` and `nats_rpc.py` implement it, and one contract suite tests both.
"""

import re
from collections.abc import Callable
from typing import Protocol

from mlplatform.errors import BusError

MAX_BYTES = 1_000_000
"""Largest body of a request or a reply; the server's limit of 1 MiB counts its own headers as well."""

Handler = Callable[[bytes], bytes]
"""Takes the body of a request, gives that of the reply; called in a thread."""

_SUBJECT = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.ASCII)
_QUEUE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_OF_THE_BUS = "mlplatform."


class NoResponder(BusError):
    """Nobody serves the subject."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"Nobody serves {subject}.", hint="Start the service that does.")


class NoReply(BusError):
    """The reply did not come in time; the request may have been handled."""

    def __init__(self, subject: str, timeout: float) -> None:
        super().__init__(f"{subject} did not answer within {timeout:g} s.", hint="Ask again, or wait longer.")


class HandlerFailed(BusError):
    """The server's handler raised; its log says why."""

    def __init__(self, subject: str, said: str) -> None:
        super().__init__(f"The server of {subject} failed: {said}.", hint="See the log of that service.")


class Serving(Protocol):
    """A server of a subject."""

    def close(self) -> None:
        """Take no more requests, answer those in hand; calling it again does nothing."""
        ...


class Rpc(Protocol):
    """Request and reply; may be used from many threads."""

    def serve(self, subject: str, queue: str, handler: Handler) -> Serving:
        """Answer the requests on a subject; returns once they arrive here.

        Servers with the same `queue` share the requests: each is handled by one of them. A handler that
        raises fails its request only. When the broker was away, serving goes on as soon as it is back.

        Raises
        ------
        BusError
            if subject or queue is malformed, or no broker answers.
        """
        ...

    def request(self, subject: str, body: bytes, timeout: float) -> bytes:
        """The reply to a request; `timeout` in seconds. It is sent once and never repeated by itself.

        Raises
        ------
        NoResponder
            at once, if nobody serves the subject.
        NoReply
            if there is no reply in time.
        BusError
            if no broker answers, the handler raised, or body or reply are larger than MAX_BYTES.
        """
        ...

    def close(self) -> None:
        """End all serving and let go of the broker; calling it again does nothing."""
        ...


def check_subject(subject: str, queue: str | None = None) -> None:
    """Raise BusError unless requests can be sent to this subject (and shared by this queue)."""
    if not _SUBJECT.fullmatch(subject):
        raise BusError(
            f"A subject cannot be {subject[:100]!r}.",
            hint="Write words of letters, digits, _ and - with dots between them.",
        )
    if subject.startswith(_OF_THE_BUS):
        raise BusError(
            f"A subject of requests cannot be {subject[:100]!r}: the bus stores what begins with "
            f"{_OF_THE_BUS!r}, and answers it itself.",
            hint="Begin it with another word, such as rpc.",
        )
    if queue is not None and not _QUEUE.fullmatch(queue):
        raise BusError(f"A queue cannot be named {queue[:100]!r}.", hint="Use letters, digits, _ and - only.")


def check_size(what: str, body: bytes) -> None:
    """Raise BusError if a body is too large; `what` names it."""
    if len(body) > MAX_BYTES:
        raise BusError(
            f"{what} has {len(body)} bytes; at most {MAX_BYTES} are allowed.",
            hint="Send less at once, or save it in a store and send where it is.",
        )
