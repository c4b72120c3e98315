"""The scoring service over the broker: its subjects, and a small client.

The body of a request is that of `POST /score/{use_case}`; the reply is that of its answer, or an object
with `error` and `status`. It must not know what a use case means.
"""

import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from mlplatform.crosscutting.rpc import NoReply, NoResponder, Rpc, open_rpc
from mlplatform.crosscutting.scoring_client import facts_json
from mlplatform.errors import BusError, RequestError, ServiceError

SUBJECT = "rpc.mlplatform.score"
"""Not below `mlplatform.`: the bus stores all that is sent there, and its broker would answer the request."""
QUEUE = "scoring"
"""Workers of this queue group share the requests."""

T = TypeVar("T")
_WORD = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)


def subject_of(use_case: str, version: int | str | None = None) -> str:
    """The subject on which a use case is scored, by its champion or by one version.

    Raises
    ------
    RequestError
        if the name or the version could not be one word of a subject.
    """
    words = [use_case] if version is None else [use_case, str(version)]
    for word in words:
        if not _WORD.fullmatch(word):
            raise RequestError(
                f"got {word[:100]!r}; a use case or version is one word of letters, digits, _ and -.",
                status=404,
            )
    return ".".join([SUBJECT, *words])


class ScoringRpcClient:
    """Asks whichever scoring worker is free, over the broker; may be used from many threads.

    Parameters
    ----------
    rpc : how requests are sent; closed with this.
    timeout : seconds to wait for an answer.
    """

    def __init__(self, rpc: Rpc, *, timeout: float = 10.0) -> None:
        self._rpc, self._timeout = rpc, timeout

    @classmethod
    def at(cls, broker_url: str, *, timeout: float = 10.0) -> "ScoringRpcClient":
        """A client by a broker.

        Raises
        ------
        ConfigurationError, BusError
            if that broker has no request and reply, or does not answer.
        """
        return cls(open_rpc(broker_url), timeout=timeout)

    def score(
        self,
        use_case: str,
        facts: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        version: int | str | None = None,
    ) -> dict[str, Any]:
        """The answer for one row, or for the alternatives of a list; a time may be a datetime with a zone.

        Raises
        ------
        RequestError
            if the service refuses the request; `status` is the HTTP status it would have.
        ServiceError
            if no service answers over the broker in time, or it cannot answer.
        BusError
            if the broker does not answer.
        """
        return self._asked(use_case, facts, version, dict[str, Any])

    def score_rows(
        self, use_case: str, rows: Sequence[Mapping[str, Any]], version: int | str | None = None
    ) -> list[dict[str, Any]]:
        """The answers for several rows, in their order; for use cases that rank no lists.

        Raises
        ------
        RequestError, ServiceError, BusError
            as `score`; one row that cannot be answered refuses all.
        """
        return self._asked(use_case, rows, version, list[dict[str, Any]])

    def _asked(self, use_case: str, facts: Any, version: int | str | None, kind: type[T]) -> T:
        subject = subject_of(use_case, version)
        try:
            reply = self._rpc.request(subject, facts_json(facts), self._timeout)
        except NoResponder as error:
            raise ServiceError(
                f"no scoring service listens on {subject}.",
                hint="Start one with `mlplatform up` or `mlplatform serve`, with the same broker.",
            ) from error
        except NoReply as error:
            raise ServiceError(str(error), hint="It may be overloaded; see its /v1/status.") from error
        return _read(reply, kind)

    def close(self) -> None:
        """Let go of the broker."""
        self._rpc.close()

    def __enter__(self) -> "ScoringRpcClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Refusal(msgspec.Struct):
    error: str
    status: int


def _read(reply: bytes, kind: type[T]) -> T:
    try:
        refusal = msgspec.json.decode(reply, type=_Refusal)
    except ValueError:
        return _answer(reply, kind)
    if 400 <= refusal.status < 500:
        raise RequestError(refusal.error, status=refusal.status)
    raise ServiceError(refusal.error, hint="See /v1/status of the scoring service.")


def _answer(reply: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(reply, type=kind)
    except ValueError as error:  # msgspec's errors and a broken UTF-8 sequence are ValueErrors
        raise BusError(
            f"The answer over the broker is none that was asked for: {error}.",
            hint=f"A list of rows is for `score_rows`. Let nothing else serve subjects below {SUBJECT}.",
        ) from error
