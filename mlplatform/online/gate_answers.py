"""How the gate says no, and what it adds to the answers that pass it: heads of HTTP, no judgement.

It must not decide who passes; `gate.py` does.
"""

from collections.abc import Sequence
from typing import Any

from mlplatform.errors import RequestError
from mlplatform.online.key_ring import Holder, KeyRing
from mlplatform.online.replies import JSON_LENGTH, Message, Send, error_body, shown
from mlplatform.stores.keys import WORDS

Headers = list[tuple[bytes, bytes]]

SAFE: list[tuple[bytes, bytes]] = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
"""For what a browser may show. The scoring routes go without: they answer POST, with JSON."""
PREFLIGHT = b"access-control-request-method"
_KEY = b"authorization, x-api-key"
_SENT = b"%s, content-type, content-encoding, idempotency-key, last-event-id, %s" % (_KEY, JSON_LENGTH)
"""What a page of an allowed origin may send."""
SHOWN = b"retry-after, location, %s" % JSON_LENGTH
"""What it may read."""


class Refusal(RequestError):
    """A request that does not pass, and the headers that say so to programs."""

    def __init__(
        self,
        status: int,
        message: str,
        kind: str,
        *,
        hint: str = "",
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message, status=status, hint=hint)
        # `kind` is what it is counted as.
        self.kind, self.headers = kind, headers


def with_headers(send: Send, headers: Headers) -> Send:
    """A `send` whose answers have these headers too."""

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *headers]
        await send(message)

    return wrapped


async def preflight(send: Send, headers: Headers) -> None:
    """Answer a browser that asks what a page may send."""
    allowed = [
        (b"access-control-allow-methods", b"GET, POST, PUT, DELETE"),
        (b"access-control-allow-headers", _SENT),
        (b"access-control-max-age", b"600"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": [*headers, *allowed]})
    await send({"type": "http.response.body", "body": b""})


async def refuse(send: Send, refusal: Refusal, more: Headers) -> None:
    """Answer a request that does not pass."""
    body = error_body(refusal)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    start: dict[str, Any] = {"type": "http.response.start", "status": refusal.status}
    await send(start | {"headers": [*headers, *refusal.headers, *SAFE, *more]})
    await send({"type": "http.response.body", "body": body})


def stranger(ring: KeyRing, headers: dict[bytes, bytes]) -> Refusal:
    """Of a request without a key that is known."""
    if not ring.ready:
        retry = [(b"retry-after", b"1")]
        said = "the keys are not known yet."
        return Refusal(503, said, "key", hint="Ask again in a second.", headers=retry)
    given = b"authorization" in headers or b"x-api-key" in headers
    got = "the key is not known, or was revoked." if given else "the request has no key."
    hint = "Send `Authorization: Bearer …` or `X-API-Key: …`; `mlplatform keys add` makes one."
    return Refusal(401, got, "key", hint=hint, headers=[(b"www-authenticate", b'Bearer realm="mlplatform"')])


def too_little(holder: Holder, need: int) -> Refusal:
    """Of a key without the scope that is needed."""
    word = next(word for word, scope in WORDS.items() if scope.value == need)
    challenge = b'Bearer realm="mlplatform", error="insufficient_scope", scope="%s"' % word.encode()
    said = f"the key {shown(holder.name)} is not good for this; needed: the scope {word!r}."
    return Refusal(403, said, "scope", headers=[(b"www-authenticate", challenge)])


def quoted(value: bytes) -> str:
    """A header's value as it may appear in an error."""
    return shown(value.decode("latin-1"))
