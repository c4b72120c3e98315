"""What every request passes before a service sees it: limits, Host, Origin, key and scope, rate.

One plain ASGI callable, the outermost; at the defaults a request costs it a dictionary of its headers and a
few look-ups. It must not read a body, nor know what a service does; `scopes.py` says which scope a route
needs, `protocol.py` guards what comes before there is a request.
"""

import math
from collections.abc import Sequence
from typing import Any

import anyio.to_thread

from mlplatform.crosscutting.access import ANY, Access
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import RequestError
from mlplatform.online.key_ring import Holder, KeyRing
from mlplatform.online.rate_limit import RateLimit
from mlplatform.online.replies import JSON_LENGTH, ASGIApp, Message, Receive, Scope, Send, error_body, shown
from mlplatform.online.scopes import OPEN, needed
from mlplatform.stores.keys import WORDS, KeyStore

LONGEST_PATH = 2_048
LONGEST_QUERY = 8_192
MOST_HEADERS = 100
LONGEST_HEADERS = 16_384
"""Bytes of the values of all headers."""
CALLER = "mlplatform.caller"
"""Where the scope of a request says whose key it came with."""

_START_SECONDS = 5.0
"""How long a service that starts waits for the keys; after that it refuses (503) until it has them."""
_ONCE = (b"host", b"authorization", b"x-api-key", b"origin", b"content-length", JSON_LENGTH)
_HOT = "/score/"
_SAFE: list[tuple[bytes, bytes]] = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
"""For what a browser may show. The scoring routes go without: they answer POST, with JSON."""
_PREFLIGHT = b"access-control-request-method"
_KEY = b"authorization, x-api-key"
_SENT = b"%s, content-type, content-encoding, idempotency-key, last-event-id, %s" % (_KEY, JSON_LENGTH)
"""What a page of an allowed origin may send."""
_SHOWN = b"retry-after, location, %s" % JSON_LENGTH
"""What it may read."""

Headers = list[tuple[bytes, bytes]]


class Refusal(RequestError):
    """A request that does not pass, and the headers that say so to programs."""

    def __init__(
        self, status: int, message: str, *, hint: str = "", headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(message, status=status, hint=hint)
        self.headers = headers


class Gate:
    """Judges requests by `access`; with `ring` they need a key. One per process."""

    def __init__(self, access: Access, ring: KeyRing | None = None, limit: RateLimit | None = None) -> None:
        self.ring = ring
        self.guards = ring is not None or limit is not None
        """Whether requests are judged by whose they are."""
        self._limit = limit
        self._any_host = ANY in access.hosts
        self._names = frozenset(name.encode() for name in access.hosts)
        self._hosts = set(self._names)
        self._any_origin = ANY in access.origins
        self._origins = frozenset(origin.encode() for origin in access.origins)

    @classmethod
    def from_settings(cls, settings: Settings) -> "Gate":
        """The gate of a deployment's services."""
        access = settings.access
        ring = KeyRing(lambda: KeyStore(settings.state_url)) if access.keys else None
        return cls(access, ring, RateLimit(access.rate, access.burst) if access.rate else None)

    def around(self, app: ASGIApp) -> "Gated":
        """The app behind this gate."""
        return Gated(self, app)

    def host(self, scope: Scope, host: bytes | None) -> None:
        """Refuse a Host that is none of ours: a page may have had its own name resolve to our address."""
        if host is None:
            if scope.get("http_version") == "1.0":
                return  # no browser that could be misled speaks it
            raise Refusal(400, "the request has no Host.")
        name = host.lower()
        if not self._any_host and name not in self._names:
            name, _, port = name.rpartition(b":")
            if name not in self._names or not port.isdigit():
                hint = "Names are allowed by MLPLATFORM_ALLOWED_HOSTS."
                raise Refusal(400, f"got Host {_text(host)}, which is not served.", hint=hint)
        if len(self._hosts) < 1_000:
            self._hosts.add(host)

    def origin(self, scope: Scope, origin: bytes, host: bytes | None) -> Headers:
        """The headers that let a page of this origin read the answer; refuse one that is not allowed."""
        if origin.partition(b"://")[2] == host:
            return []
        if not self._any_origin and origin not in self._origins:
            hint = "Origins are allowed by MLPLATFORM_CORS_ORIGINS."
            raise Refusal(403, f"got Origin {_text(origin)}, which is not allowed.", hint=hint)
        allowed = (b"access-control-allow-origin", b"*" if self._any_origin else origin)
        return [allowed, (b"vary", b"origin"), (b"access-control-expose-headers", _SHOWN)]

    def admit(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Refuse a request without a key that is good for its route, and one too many."""
        need = needed(scope["path"], scope["method"])
        if need == OPEN:
            return
        holder, ring = None, self.ring
        if ring is not None:
            holder = ring.find(headers.get(b"authorization"), headers.get(b"x-api-key"))
        if self._limit is not None:
            self._take(self._limit, scope, holder)
        if ring is None:
            return
        if holder is None:
            raise _stranger(ring, headers)
        if need & ~holder.scopes:
            raise _too_little(holder, need)
        scope[CALLER] = holder.name

    def _take(self, limit: RateLimit, scope: Scope, holder: Holder | None) -> None:
        client = scope.get("client")
        seconds = limit.wait(f"key {holder.name}" if holder else client[0] if client else "")
        if seconds:
            wait = math.ceil(seconds)
            retry = [(b"retry-after", b"%d" % wait)]
            raise Refusal(429, "too many requests.", hint=f"Ask again in {wait} s.", headers=retry)

    def looks_plain(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        """Whether nothing is to be looked at more closely."""
        return (
            headers.get(b"host") in self._hosts
            and b"origin" not in headers
            and len(headers) == len(scope["headers"]) <= MOST_HEADERS
            and len(scope["path"]) <= LONGEST_PATH
            and len(scope["query_string"]) <= LONGEST_QUERY
            and sum(map(len, headers.values())) <= LONGEST_HEADERS
        )

    def look(self, scope: Scope, headers: dict[bytes, bytes]) -> Headers:
        """Look more closely; the headers that the answer gets."""
        if len(scope["path"]) > LONGEST_PATH or len(scope["query_string"]) > LONGEST_QUERY:
            raise Refusal(414, f"the address is too long; allowed: {LONGEST_PATH} characters.")
        raw: Headers = scope["headers"]
        if len(raw) > MOST_HEADERS or sum(len(value) for _, value in raw) > LONGEST_HEADERS:
            raise Refusal(
                431, f"too much header; allowed: {MOST_HEADERS}, of {LONGEST_HEADERS} bytes in all."
            )
        if len(headers) < len(raw):
            names = [name for name, _ in raw]
            if twice := [name for name in _ONCE if names.count(name) > 1]:
                raise Refusal(400, f"got the header {twice[0].decode()} twice; allowed: once.")
        self.host(scope, headers.get(b"host"))
        origin = headers.get(b"origin")
        return [] if origin is None else self.origin(scope, origin, headers.get(b"host"))


class Gated:
    """An ASGI application behind a gate; in its lifespan the keys are kept up to date."""

    def __init__(self, gate: Gate, app: ASGIApp) -> None:
        self.gate, self.app = gate, app
        self._guards = gate.guards

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or refuse it."""
        if scope["type"] != "http":
            await self._otherwise(scope, receive, send)
            return
        gate, headers = self.gate, dict(scope["headers"])
        more: Headers = []
        try:
            if not gate.looks_plain(scope, headers):
                more = gate.look(scope, headers)
                if more and scope["method"] == "OPTIONS" and _PREFLIGHT in headers:
                    await _preflight(send, more)
                    return
            if self._guards:
                gate.admit(scope, headers)
        except Refusal as refusal:
            await _refuse(send, refusal, more)
            return
        if more or not scope["path"].startswith(_HOT):
            send = _with(send, [*_SAFE, *more])
        await self.app(scope, receive, send)

    async def _otherwise(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await send({"type": "websocket.close", "code": 1008})  # nothing of ours speaks it
            return
        ring = self.gate.ring
        try:
            if ring is not None:
                ring.start()
                await anyio.to_thread.run_sync(ring.wait, _START_SECONDS)
            await self.app(scope, receive, send)
        finally:
            if ring is not None:
                ring.stop()


def _with(send: Send, headers: Headers) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *headers]
        await send(message)

    return wrapped


async def _preflight(send: Send, headers: Headers) -> None:
    allowed = [
        (b"access-control-allow-methods", b"GET, POST, PUT, DELETE"),
        (b"access-control-allow-headers", _SENT),
        (b"access-control-max-age", b"600"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": [*headers, *allowed]})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(send: Send, refusal: Refusal, more: Headers) -> None:
    body = error_body(refusal)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    start: dict[str, Any] = {"type": "http.response.start", "status": refusal.status}
    await send(start | {"headers": [*headers, *refusal.headers, *_SAFE, *more]})
    await send({"type": "http.response.body", "body": body})


def _stranger(ring: KeyRing, headers: dict[bytes, bytes]) -> Refusal:
    if not ring.ready:
        retry = [(b"retry-after", b"1")]
        return Refusal(503, "the keys are not known yet.", hint="Ask again in a second.", headers=retry)
    given = b"authorization" in headers or b"x-api-key" in headers
    got = "the key is not known, or was revoked." if given else "the request has no key."
    hint = "Send `Authorization: Bearer …` or `X-API-Key: …`; `mlplatform keys add` makes one."
    return Refusal(401, got, hint=hint, headers=[(b"www-authenticate", b'Bearer realm="mlplatform"')])


def _too_little(holder: Holder, need: int) -> Refusal:
    word = next(word for word, scope in WORDS.items() if scope.value == need)
    challenge = b'Bearer realm="mlplatform", error="insufficient_scope", scope="%s"' % word.encode()
    said = f"the key {shown(holder.name)} is not good for this; needed: the scope {word!r}."
    return Refusal(403, said, headers=[(b"www-authenticate", challenge)])


def _text(value: bytes) -> str:
    return shown(value.decode("latin-1"))
