"""Sends one message to one receiver, once, and judges what comes back.

It must not keep or repeat messages; `webhooks.py` does.
"""

import asyncio
from dataclasses import dataclass

import httpx

from mlplatform.crosscutting import tracing
from mlplatform.crosscutting.signature import Secret
from mlplatform.online.delivery.outbox import Kept
from mlplatform.online.delivery.targets import Target

_AGAIN = frozenset({408, 425, 429})
"""Statuses below 500 after which another attempt may help."""
_DRAINED = 64 * 1024
"""Bytes of an answer up to which it is read, so that the connection can be used again."""


@dataclass(frozen=True)
class Message:
    """What is to be pushed."""

    target: Target
    kept: Kept


@dataclass(frozen=True)
class Failure:
    """Why a receiver does not have a message."""

    reason: str
    again: bool
    """Whether another attempt may help."""
    after: float = 0.0
    """Seconds that the receiver asks to wait."""


class Sender:
    """Sends over connections that it keeps; to be made and used on one event loop.

    Parameters
    ----------
    timeout : seconds that a receiver may take, all in all.
    at_once : messages on their way to one receiver; others have their own.
    """

    def __init__(self, secret: Secret, *, timeout: float, at_once: int) -> None:
        self._secret, self._timeout, self._at_once = secret, timeout, at_once
        self._gates: dict[str, asyncio.Semaphore] = {}
        # A proxy of the environment would be sent to instead of what was allowed.
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            timeout=httpx.Timeout(timeout, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
            headers={"user-agent": "mlplatform", "content-type": "application/json"},
        )

    async def send(self, message: Message) -> Failure | None:
        """Send it, signed; None if the receiver has it."""
        async with self._gates.setdefault(message.target.origin, asyncio.Semaphore(self._at_once)):
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._post(message)
            except (httpx.HTTPError, TimeoutError) as error:
                return Failure(f"{type(error).__name__}: {error}".rstrip(": "), again=True)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def _post(self, message: Message) -> Failure | None:
        headers = self._secret.headers(message.kept.id, message.kept.body)
        if message.kept.traceparent:
            headers[tracing.HEADER] = message.kept.traceparent
        async with self._client.stream(
            "POST", message.target.url, content=message.kept.body, headers=headers
        ) as response:
            length = response.headers.get("content-length", "")
            if length.isdecimal() and int(length[:10]) <= _DRAINED:
                async for _ in response.aiter_raw():
                    pass
            return _judged(response)


def _judged(response: httpx.Response) -> Failure | None:
    status = response.status_code
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return Failure(f"the receiver answered {status}; redirects are not followed", again=False)
    after = response.headers.get("retry-after", "")
    seconds = float(after[:10]) if after.isascii() and after.isdigit() else 0.0
    return Failure(f"the receiver answered {status}", status >= 500 or status in _AGAIN, seconds)
