"""All ways in which a score is delivered beside the answer to its request, as one part of the service.

It must not know the web framework; `delivery_http.py` does.
"""

from collections.abc import Mapping
from typing import Any

import anyio.to_thread

from mlplatform.crosscutting.settings import Settings
from mlplatform.online.bundle import OnServed
from mlplatform.online.delivery.broadcast import Broadcast
from mlplatform.online.delivery.callbacks import Callbacks
from mlplatform.online.delivery.recent import Recent
from mlplatform.online.delivery.webhooks import Webhooks
from mlplatform.online.facts import Facts
from mlplatform.stages.preparation.declarations import FactType
from mlplatform.stages.scoring.score import Answer
from mlplatform.stores.scores_by_id import ScoresById


class Delivery:
    """Poll, stream and push; `start` and `stop` it with the service."""

    def __init__(
        self,
        webhooks: Webhooks,
        stored: ScoresById,
        *,
        recent: Recent | None = None,
        broadcast: Broadcast | None = None,
    ) -> None:
        self.webhooks, self.stored = webhooks, stored
        self.recent, self.broadcast = recent or Recent(), broadcast or Broadcast()
        self.callbacks = Callbacks(webhooks, self.recent)

    @classmethod
    def from_settings(cls, settings: Settings) -> "Delivery":
        """The delivery of a deployment; raises ConfigurationError if a setting of it is malformed."""
        return cls(Webhooks.from_settings(settings), ScoresById.from_settings(settings))

    def beside(self, first: OnServed) -> OnServed:
        """What tells both `first` and this of an answer, with as few calls as that takes."""
        keep, tell, channels = self.recent.keep, self.broadcast.tell, self.broadcast.channels

        def served(
            types: Mapping[str, FactType],
            facts: Facts,
            row: list[float],
            answer: Answer,
            seconds: float,
            because: str,
        ) -> None:
            first(types, facts, row, answer, seconds, because)
            if answer.link != "shadow":  # which answers nobody
                keep(answer.prediction_id, answer)
                if channels:
                    tell(answer)

        return served

    def start(self) -> None:
        """Push from now on."""
        self.webhooks.start()

    def end_streams(self) -> None:
        """End the streams of listeners; before the server waits for its connections."""
        self.broadcast.close()

    async def stop(self) -> None:
        """End the streams, and push or keep what waits, in a few seconds."""
        self.end_streams()
        await anyio.to_thread.run_sync(self.webhooks.close)
        self.stored.close()

    def status(self) -> dict[str, Any]:
        """What each way has done."""
        return {
            "recent": self.recent.status(),
            "streams": self.broadcast.status(),
            "webhooks": self.webhooks.status(),
        }
