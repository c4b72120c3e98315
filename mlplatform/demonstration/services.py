"""The online services as their clients see them: events in, questions asked one by one, answers counted.

It must not know what is replayed, nor when.
"""

import http.client
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ServiceError

PATIENCE = 60.0
"""Seconds for which a service that is busy is waited for."""
START = 180.0
"""Seconds that the scoring service has to take the first champion up."""
MOST_EVENTS = 1_000
"""Events of one request."""
_IDLE = 2.0
"""Seconds after which a kept connection is opened anew: a service closes those that nobody uses."""
_PAUSE = 0.01


class _Answer(msgspec.Struct):
    link: str
    version: int
    late: bool = False


class _Accepted(msgspec.Struct):
    positions: list[int]


class _Stream(msgspec.Struct, frozen=True):
    position: int = 0


class _InUse(msgspec.Struct, frozen=True):
    ready: bool = False
    stream: _Stream | None = None


class _Status(msgspec.Struct):
    use_cases: dict[str, _InUse] = {}


_answer = msgspec.json.Decoder(_Answer).decode
_status = msgspec.json.Decoder(_Status).decode


@dataclass
class Counts:
    """What was sent, and what came back."""

    events: Counter[str] = field(default_factory=Counter)
    """By kind."""
    links: Counter[str] = field(default_factory=Counter)
    """Scores by the link of the chain that gave them."""
    late: int = 0
    """Scores that came after the deadline."""
    failed: int = 0
    """Questions that got no score."""
    failures: list[str] = field(default_factory=list)
    """What the first of them got."""

    @property
    def scores(self) -> int:
        """Questions that got a score."""
        return self.links.total()


class Services:
    """Keeps a connection to ingestion and one to scoring.

    Parameters
    ----------
    stream : to which events go.
    """

    def __init__(self, settings: Settings, use_case: str, stream: str) -> None:
        self.counts = Counts()
        self._sent = 0  # position on the bus of the newest event
        self._use_case = use_case
        self._events = f"/events/{stream}?use_case={use_case}"
        self._ingestion = _Connection(settings.host, settings.ingestion_port, settings.access.headers())
        self._scoring = _Connection(settings.host, settings.scoring_port, settings.access.headers())

    def await_ready(self) -> None:
        """Wait until the scoring service has taken a champion up and follows the stream.

        Raises
        ------
        ServiceError
            if it does not within `START`.
        """
        deadline = time.monotonic() + START
        while self._known() is None:
            if time.monotonic() >= deadline:
                raise ServiceError(
                    f"the scoring service has no champion of {self._use_case} after {START:g} s.",
                    hint="Its log, logs/scoring.log in the home, says why.",
                )
            time.sleep(0.2)

    def send(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Send events (kind, JSON) in order.

        Raises
        ------
        ServiceError
            if they are refused, or not accepted within `PATIENCE`.
        """
        for start in range(0, len(events), MOST_EVENTS):
            part = events[start : start + MOST_EVENTS]
            self._sent = max(self._accepted(b"\n".join(line for _, line in part)))
            self.counts.events.update(kind for kind, _ in part)

    def await_applied(self) -> None:
        """Wait until the features of the champion know every event that was sent.

        Raises
        ------
        ServiceError
            if they do not within `PATIENCE`.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            known = self._known() or 0
            if known >= self._sent:
                return
            if time.monotonic() >= deadline:
                raise ServiceError(
                    f"the scoring service is at event {known} of {self._sent} for {PATIENCE:g} s.",
                    hint="Its log, logs/scoring.log in the home, says why.",
                )
            time.sleep(_PAUSE)

    def ask(self, facts: bytes) -> None:
        """Ask one question, once, and count what comes back."""
        try:
            status, body = self._scoring.request("POST", f"/score/{self._use_case}", facts)
            answer = _answer(body) if status == 200 else None
        except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
            self._fail(f"{type(error).__name__}: {error}")
            return
        if answer is None:
            self._fail(f"status {status}: {body[:300].decode(errors='replace')}")
            return
        self.counts.links[answer.link] += 1
        self.counts.late += answer.late

    def close(self) -> None:
        """Close the connections."""
        self._ingestion.close()
        self._scoring.close()

    def _known(self) -> int | None:
        """Position up to which the features of the champion know the stream; None: there is no champion."""
        status, body = self._scoring.request("GET", "/v1/status")
        told = _status(body).use_cases.get(self._use_case, _InUse()) if status == 200 else _InUse()
        return told.stream.position if told.ready and told.stream else None

    def _accepted(self, body: bytes) -> list[int]:
        deadline = time.monotonic() + PATIENCE
        while True:
            status, said = self._ingestion.request("POST", self._events, body, "application/x-ndjson")
            if status == 202:
                return msgspec.json.decode(said, type=_Accepted).positions
            if status not in (429, 503) or time.monotonic() >= deadline:
                raise ServiceError(f"the ingestion service answers {status}: {said[:300]!r}.")
            time.sleep(0.2)

    def _fail(self, why: str) -> None:
        self.counts.failed += 1
        if len(self.counts.failures) < 5:
            self.counts.failures.append(why)


class _Connection:
    """One kept connection."""

    def __init__(self, host: str, port: int, headers: dict[str, str]) -> None:
        self._http = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        self._headers, self._used = headers, time.monotonic()

    def request(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> tuple[int, bytes]:
        """Status and body; OSError or HTTPException where nothing comes back."""
        if time.monotonic() - self._used > _IDLE:
            self._http.close()
        try:
            self._http.request(method, path, body, {**self._headers, "content-type": kind})
            answer = self._http.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._http.close()  # what comes later must not be taken for the next answer
            raise
        finally:
            self._used = time.monotonic()

    def close(self) -> None:
        self._http.close()
