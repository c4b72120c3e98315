"""The outer form of answers: JSON bytes, short error bodies, and a request's body read up to a cap.

It must not know what is asked. An error never gives back more than 100 characters of what was sent.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from mlplatform.errors import MlplatformError, RequestError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON_LENGTH = b"inference-header-content-length"
"""Header that says how many bytes of a body are JSON, where binary tensors follow."""
ECHO = 100
LONGEST_ERROR = 1200

encode = msgspec.json.Encoder().encode


def shown(value: object, limit: int = ECHO) -> str:
    """`value` as it may appear in an error: quoted, no control characters, at most `limit` long."""
    text = ascii(value[:limit] if isinstance(value, str) else value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def sentence(error: MlplatformError) -> str:
    """Message and hint of an error as one short text."""
    text = f"{error} {error.hint}" if error.hint else str(error)
    return text if len(text) <= LONGEST_ERROR else f"{text[: LONGEST_ERROR - 1]}…"


def error_body(error: MlplatformError) -> bytes:
    """`{"error": …}`, less than 2 kB."""
    return encode({"error": sentence(error)})


async def read_body(scope: Scope, receive: Receive, cap: int) -> bytes | None:
    """The body of a request; None if the caller went away.

    Raises
    ------
    RequestError
        413 as soon as the body is known to be longer than `cap` bytes.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value[:20]) > cap):
            raise _too_long(cap)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > cap:
            raise _too_long(cap)
        return body
    return await _read_parts(message, receive, cap)


async def _read_parts(message: Message, receive: Receive, cap: int) -> bytes | None:
    body = bytearray()
    while message["type"] == "http.request":
        body += message.get("body", b"")
        if len(body) > cap:
            raise _too_long(cap)
        if not message.get("more_body", False):
            return bytes(body)
        message = await receive()
    return None


def _too_long(cap: int) -> RequestError:
    return RequestError(
        f"the body is longer than {cap // 1024} KiB.", status=413, hint="Send fewer rows in one request."
    )


async def send_json(send: Send, status: int, body: bytes) -> None:
    """Answer with JSON bytes; the connection ends after a body that was too long to be read."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status == 413:
        headers.append((b"connection", b"close"))
    elif status == 405:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_tensors(send: Send, body: bytes, json_length: int) -> None:
    """Answer with `json_length` bytes of JSON and binary tensors behind it, as Triton does."""
    headers = [
        (b"content-type", b"application/octet-stream"),
        (JSON_LENGTH, b"%d" % json_length),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
