"""The scoring service over the broker: the same bodies and answers as `POST /score/{use_case}`.

It runs on the event loop that answers HTTP, since the service is used from one thread. A broker that is away
is waited for in the background and never stops HTTP. It must not compute scores.
"""

import logging
from typing import Any, Protocol

from mlplatform.crosscutting.rpc import MAX_BYTES, check_broker
from mlplatform.crosscutting.rpc.nats_serving import NatsServing
from mlplatform.crosscutting.scoring_rpc import QUEUE, SUBJECT
from mlplatform.errors import ConfigurationError, MlplatformError, RequestError
from mlplatform.online.replies import encode, sentence
from mlplatform.online.scoring_app import SCORE_CAP
from mlplatform.stages.scoring.score import Answer, Listing

_LOG = logging.getLogger(__name__)


class Scores(Protocol):
    """What answers: `ScoringService`."""

    async def score_json(
        self, use_case: str, body: bytes, version: str | None = None
    ) -> Answer | Listing | list[Answer]:
        """The answer for facts as JSON; raises RequestError."""
        ...


class ScoringRpc:
    """Answers requests on `rpc.mlplatform.score.<use case>[.<version>]`, between `start` and `stop`.

    Parameters
    ----------
    broker_url : with another broker than NATS it stays off, and `status` says so.
    """

    def __init__(self, service: Scores, broker_url: str) -> None:
        self._service = service
        self._off = ""
        self._serving: NatsServing | None = None
        subjects = (f"{SUBJECT}.*", f"{SUBJECT}.*.*")
        try:
            check_broker(broker_url)
            self._serving = NatsServing(broker_url, subjects, QUEUE, self.answer)
        except ConfigurationError as error:
            self._off = sentence(error)

    def start(self) -> None:
        """Serve on the running loop; returns at once, whether a broker answers or not."""
        if self._serving is not None:
            self._serving.start()

    async def ready(self, seconds: float) -> bool:
        """Whether requests arrive, waited for that long."""
        return self._serving is not None and await self._serving.ready(seconds)

    async def stop(self) -> None:
        """Answer what is in hand, and let go of the broker."""
        if self._serving is not None:
            await self._serving.stop()

    def status(self) -> dict[str, Any]:
        """Whether it is connected, what was handled, and what is wrong."""
        if self._serving is None:
            return {"connected": False, "trouble": self._off}
        return self._serving.status()

    async def answer(self, subject: str, body: bytes) -> bytes:
        """The reply to one request: an answer, or `{"error": …, "status": …}`."""
        use_case, _, version = subject.removeprefix(f"{SUBJECT}.").partition(".")
        try:
            if len(body) > SCORE_CAP:
                raise _too_long(f"the body is longer than {SCORE_CAP // 1024} KiB.")
            reply = encode(await self._service.score_json(use_case, body, version or None))
            if len(reply) > MAX_BYTES:
                raise _too_long(f"the answer is longer than {MAX_BYTES} bytes.")
        except MlplatformError as error:
            return _refusal(error)
        except Exception:  # noqa: BLE001  (as over HTTP: whoever asked is told, the log has the rest)
            _LOG.exception("a request on %s failed", subject)
            return encode({"error": "an internal error; the server's log has it", "status": 500})
        return reply


def _refusal(error: MlplatformError) -> bytes:
    status = error.status if isinstance(error, RequestError) else 500
    return encode({"error": sentence(error), "status": status})


def _too_long(what: str) -> RequestError:
    return RequestError(what, status=413, hint="Send fewer rows in one request.")
