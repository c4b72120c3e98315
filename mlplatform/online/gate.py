"""What every request passes before a service sees it: limits, Host, Origin, key and scope, rate.

One plain ASGI callable, the outermost; at the defaults a request costs it a dictionary of its headers and a
few look-ups. It must not read a body, nor know what a service does; `scopes.py` says which scope a route
needs, `protocol.py` guards what comes before there is a request.
"""

import math
from collections import Counter

import anyio.to_thread

from mlplatform.crosscutting import tracing
from mlplatform.crosscutting.access import ANY, Access
from mlplatform.crosscutting.settings import Settings
from mlplatform.online.gate_answers import (
    PREFLIGHT,
    SAFE,
    SHOWN,
    Headers,
    Refusal,
    preflight,
    quoted,
    refuse,
    stranger,
    too_little,
    with_headers,
)
from mlplatform.online.key_ring import Holder, KeyRing
from mlplatform.online.rate_limit import RateLimit
from mlplatform.online.replies import JSON_LENGTH, ASGIApp, Receive, Scope, Send
from mlplatform.online.scopes import OPEN, needed
from mlplatform.stores.keys import KeyStore

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


class Gate:
    """Judges requests by `access`; with `ring` they need a key. One per process."""

    def __init__(self, access: Access, ring: KeyRing | None = None, limit: RateLimit | None = None) -> None:
        self.ring = ring
        self.guards = ring is not None or limit is not None
        """Whether requests are judged by whose they are."""
        self.refused: Counter[tuple[str, int]] = Counter()
        """Requests refused, by kind and status."""
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
            raise Refusal(400, "the request has no Host.", "host")
        name = host.lower()
        if not self._any_host and name not in self._names:
            name, _, port = name.rpartition(b":")
            if name not in self._names or not port.isdigit():
                hint = "Names are allowed by MLPLATFORM_ALLOWED_HOSTS."
                raise Refusal(400, f"got Host {quoted(host)}, which is not served.", "host", hint=hint)
        if len(self._hosts) < 1_000:
            self._hosts.add(host)

    def origin(self, scope: Scope, origin: bytes, host: bytes | None) -> Headers:
        """The headers that let a page of this origin read the answer; refuse one that is not allowed."""
        if origin.partition(b"://")[2] == host:
            return []
        if not self._any_origin and origin not in self._origins:
            hint = "Origins are allowed by MLPLATFORM_CORS_ORIGINS."
            raise Refusal(403, f"got Origin {quoted(origin)}, which is not allowed.", "origin", hint=hint)
        allowed = (b"access-control-allow-origin", b"*" if self._any_origin else origin)
        return [allowed, (b"vary", b"origin"), (b"access-control-expose-headers", SHOWN)]

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
            raise stranger(ring, headers)
        if need & ~holder.scopes:
            raise too_little(holder, need)
        scope[CALLER] = holder.name

    def _take(self, limit: RateLimit, scope: Scope, holder: Holder | None) -> None:
        client = scope.get("client")
        seconds = limit.wait(f"key {holder.name}" if holder else client[0] if client else "")
        if seconds:
            wait = math.ceil(seconds)
            retry = [(b"retry-after", b"%d" % wait)]
            raise Refusal(429, "too many requests.", "rate", hint=f"Ask again in {wait} s.", headers=retry)

    def looks_plain(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        """Whether nothing is to be looked at more closely."""
        return (
            headers.get(b"host") in self._hosts
            and b"origin" not in headers
            and len(headers) == len(scope["headers"]) <= MOST_HEADERS
            and len(scope["path"]) <= LONGEST_PATH
            and len(scope["query_string"]) <= LONGEST_QUERY
            and scope["query_string"].isascii()
            and sum(map(len, headers.values())) <= LONGEST_HEADERS
        )

    def look(self, scope: Scope, headers: dict[bytes, bytes]) -> Headers:
        """Look more closely; the headers that the answer gets."""
        if len(scope["path"]) > LONGEST_PATH or len(scope["query_string"]) > LONGEST_QUERY:
            raise Refusal(414, f"the address is too long; allowed: {LONGEST_PATH} characters.", "header")
        if not scope["query_string"].isascii():  # RFC 3986; Starlette fails at other bytes where it redirects
            said = "the query of the address has bytes that are no ASCII."
            raise Refusal(400, said, "header", hint="Percent-encode them, in UTF-8.")
        raw: Headers = scope["headers"]
        if len(raw) > MOST_HEADERS or sum(len(value) for _, value in raw) > LONGEST_HEADERS:
            raise Refusal(
                431, f"too much header; allowed: {MOST_HEADERS}, of {LONGEST_HEADERS} bytes in all.", "header"
            )
        if len(headers) < len(raw):
            names = [name for name, _ in raw]
            if twice := [name for name in _ONCE if names.count(name) > 1]:
                raise Refusal(400, f"got the header {twice[0].decode()} twice; allowed: once.", "header")
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
        tracing.begin(scope)
        gate, headers = self.gate, dict(scope["headers"])
        more: Headers = []
        try:
            if not gate.looks_plain(scope, headers):
                more = gate.look(scope, headers)
                if more and scope["method"] == "OPTIONS" and PREFLIGHT in headers:
                    await preflight(send, more)
                    return
            if self._guards:
                gate.admit(scope, headers)
        except Refusal as refusal:
            gate.refused[refusal.kind, refusal.status] += 1
            await refuse(send, refusal, more)
            return
        if more or not scope["path"].startswith(_HOT):
            send = with_headers(send, [*SAFE, *more])
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
