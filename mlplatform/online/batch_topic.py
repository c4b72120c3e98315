"""Turns messages of the topic `scoring-requested` into requests for batch scores; told twice, it is one.

A message that asks for what there is not goes to the topic `dead-letter`. It must not score.
"""

import logging
from collections.abc import Callable
from contextlib import closing
from threading import Event as Flag

from mlplatform.crosscutting.bus import Received, open_bus
from mlplatform.crosscutting.bus.consume import consume
from mlplatform.crosscutting.bus.topics import SCORING_REQUESTED, ScoringRequested
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import BusError, NotFound
from mlplatform.stores.batch_asking import Asked, ask
from mlplatform.stores.batch_requests import BatchRequests
from mlplatform.stores.champions import ChampionStore

_LOG = logging.getLogger(__name__)
_NAME = "batch-scoring"
AGAIN_SECONDS = 5.0
"""How long after a broker was away it is looked for again."""


class Listener:
    """Reads the topic; the broker remembers how far. `requests` gives the store, None before there is one."""

    def __init__(self, settings: Settings, requests: Callable[[], BatchRequests | None]) -> None:
        self._settings, self._requests = settings, requests

    def run(self, stop: Flag) -> None:
        """Read until `stop` is set; while no broker answers, look for it."""
        while not stop.is_set():
            try:
                with closing(open_bus(self._settings.broker_url)) as bus:
                    consume(bus, SCORING_REQUESTED, _NAME, self.handle, stop=stop, attempts=3)
            except BusError as error:
                _LOG.debug("no requests are read from the broker: %s", error)
            stop.wait(AGAIN_SECONDS)

    def handle(self, received: Received[ScoringRequested]) -> None:
        """Queue what a message asks for.

        Raises
        ------
        RequestError
            if there is no such use case, version or day.
        NotFound
            if there is no state yet, and so no champion.
        """
        requests = self._requests()
        if requests is None:
            raise NotFound("there is no champion of any use case yet.", hint="Train one: mlplatform run.")
        data = received.envelope.data
        asked = Asked(
            use_case=data.use_case,
            first=data.first,
            last=data.last,
            version=data.version,
            callback=data.callback,
            key=f"event {received.envelope.id}"[:200],
        )
        with closing(ChampionStore(self._settings.state_url)) as champions:
            ask(requests, champions, asked)
