"""A small client of the scoring service, for the command line and Dagster's ScoringService resource.

It must not know what a use case means: facts go out as JSON, the answer comes back as a dictionary.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from mlplatform.errors import RequestError, ServiceError


class ScoringClient:
    """Talks to the service at `url`, with `key` if it has one; one connection, kept open until `close`."""

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        timeout: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        # The service is on this machine or beside it: a proxy of the environment is not asked.
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=timeout, trust_env=False, transport=transport
        )

    def ready(self) -> str:
        """What is served, in a sentence, such as "flight_delay version 3"; with it, what is wrong.

        Raises
        ------
        ServiceError
            if nothing answers, or no use case can be scored yet; the message says what is missing.
        """
        body = self._get("/health/ready", allowed=(200, 503))
        missing = [str(body.get("trouble", "")), *map(str, dict(body.get("problems", {})).values())]
        wrong = " ".join(filter(None, missing))
        if body.get("ready") is not True:
            raise ServiceError(
                f"the scoring service at {self.url} has no release in use yet. {wrong}".rstrip(),
                hint=f"It takes up a release within seconds; see {self.url}/v1/status.",
            )
        served = [f"{name} version {version}" for name, version in dict(body.get("serving", {})).items()]
        return f"{', '.join(served)}{f'; {wrong}' if wrong else ''}"

    def is_ready(self) -> bool:
        """Whether a use case can be scored; a service that is not there is not ready."""
        try:
            self.ready()
        except ServiceError:
            return False
        return True

    def status(self) -> dict[str, Any]:
        """What is in use, in memory, and wrong; ServiceError if the service is not there."""
        return self._get("/v1/status", allowed=(200,))

    def score(self, use_case: str, facts: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The answer for one row, or for the alternatives of a list; a time may be a datetime with a zone.

        Raises
        ------
        RequestError
            if the service refuses the request; `status` is its HTTP status.
        ServiceError
            if nothing answers, or the service cannot answer (no release yet, an error of its own).
        """
        content = facts_json(facts)
        headers = {"content-type": "application/json"}
        answer = self._send("POST", f"/score/{quote(use_case, safe='')}", content=content, headers=headers)
        return self._read(answer, allowed=(200,))

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> "ScoringClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _get(self, path: str, allowed: tuple[int, ...]) -> dict[str, Any]:
        return self._read(self._send("GET", path), allowed)

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **more)
        except httpx.TimeoutException as error:
            raise ServiceError(
                f"the scoring service at {self.url} did not answer in time.",
                hint="It may be loading a release or be overloaded; see its /v1/status.",
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServiceError(
                f"nothing answers at {self.url}: {error}.",
                hint="Start it with `mlplatform up` or `mlplatform serve`.",
            ) from error

    def _read(self, response: httpx.Response, allowed: tuple[int, ...]) -> dict[str, Any]:
        try:
            body = msgspec.json.decode(response.content, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ServiceError(
                f"what answers at {self.url} is no scoring service: status {response.status_code}, no JSON.",
                hint="Set MLPLATFORM_SCORING_PORT to the port the scoring service listens on.",
            ) from error
        if response.status_code in allowed:
            return body
        text = str(body.get("error", f"status {response.status_code}"))
        if 400 <= response.status_code < 500:
            raise RequestError(text, status=response.status_code)
        raise ServiceError(text, hint=f"See {self.url}/v1/status.")


def facts_json(facts: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> bytes:
    """One row's facts, or those of a list's alternatives, as the body of a request.

    Raises
    ------
    RequestError
        if a time has no zone, or a number is none.
    """
    return msgspec.json.encode(_row(facts) if isinstance(facts, Mapping) else [_row(each) for each in facts])


def _row(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _spelled(name, value) for name, value in facts.items()}


def _spelled(name: str, value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is None:
        raise RequestError(
            f"fact {name!r} is the time {value.isoformat()} without a zone.", hint="Give it in UTC."
        )
    if isinstance(value, float) and value - value != 0.0:
        raise RequestError(f"fact {name!r} is {value}.", hint="Give a missing value as None.")
    return value
