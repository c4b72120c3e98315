"""Hears from the bus that a deployment changed, so that it is looked at now and not at the next poll.

A message may be missed while no broker answers: the poll finds the change all the same. It must not read the
history nor load anything.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import closing

from mlplatform.crosscutting.bus import Bus, Following
from mlplatform.crosscutting.bus.topics import DEPLOYMENT_CHANGED, DeploymentChanged
from mlplatform.errors import BusError, MlplatformError

_LOG = logging.getLogger(__name__)
_WAIT_SECONDS = 0.5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0


class Watch:
    """Calls `wake` for every message of the topic, from a thread of its own."""

    def __init__(self, open_bus: Callable[[], Bus], wake: Callable[[], None]) -> None:
        self.trouble = ""
        """Why nothing is heard; empty while the bus is followed."""
        self._open_bus, self._wake = open_bus, wake
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Listen until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stop.is_set():
            try:
                with closing(self._open_bus()) as bus, closing(_newest(bus)) as following:
                    self.trouble, pause = "", _FIRST_PAUSE
                    self._wake()  # something may have changed while nobody listened
                    while not self._stop.is_set():
                        if following.fetch(100, _WAIT_SECONDS, on_unreadable=_told):
                            self._wake()
            except MlplatformError as error:
                self.trouble = str(error)
                self._stop.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)


def _newest(bus: Bus) -> Following[DeploymentChanged]:
    return bus.follow(DEPLOYMENT_CHANGED, bus.last(DEPLOYMENT_CHANGED))


def _told(sequence: int, error: BusError) -> None:
    _LOG.warning("message %d of %s cannot be read: %s", sequence, DEPLOYMENT_CHANGED.name, error)
