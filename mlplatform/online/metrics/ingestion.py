"""The samples of the online ingestion service. It must not wait for a broker that was just away."""

import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import version as installed

from mlplatform.crosscutting.bus import Bus
from mlplatform.crosscutting.bus.topics import DEAD_LETTER
from mlplatform.crosscutting.metrics import Samples, process
from mlplatform.errors import BusError
from mlplatform.online.acceptor import Acceptor
from mlplatform.online.archiver import Archiver
from mlplatform.online.metrics import families, requests
from mlplatform.online.metrics.requests import Counts
from mlplatform.online.metrics.scoring import Gathered

_PAGE = 500


class DeadLetters:
    """Counts the dead letters on the bus: those that it keeps at first, and each that comes.

    For use from several threads. A bus that does not answer changes nothing.
    """

    def __init__(self, bus: Bus) -> None:
        self.counts: dict[tuple[str, str, str], int] = {}
        """By use case, topic and consumer."""
        self._bus, self._after, self._looking = bus, 0, threading.Lock()

    def look(self) -> None:
        """Count what is new."""
        with self._looking:
            self._look()

    def _look(self) -> None:
        try:
            while found := self._bus.read(DEAD_LETTER, self._after, _PAGE, on_unreadable=self._passed):
                for each in found:
                    letter = each.envelope.data
                    key = (letter.use_case, letter.topic, letter.consumer)
                    self.counts[key] = self.counts.get(key, 0) + 1
                    self._after = max(self._after, each.sequence)
        except BusError:
            return

    def _passed(self, sequence: int, error: BusError) -> None:
        self._after = max(self._after, sequence)


class IngestionMetrics:
    """Gathers the samples of the process; `letters` counts dead letters, where they are to be told of."""

    def __init__(
        self,
        acceptor: Acceptor,
        archivers: Sequence[Archiver],
        counts: Counts,
        gate: Mapping[tuple[str, int], int],
        letters: DeadLetters | None = None,
    ) -> None:
        self._acceptor, self._archivers, self._counts, self._gate = acceptor, archivers, counts, gate
        self._letters = letters
        self._version = installed("mlplatform")

    def collect(self) -> Samples:
        """All samples of this moment."""
        found = Gathered(requests.samples(self._counts, self._gate) | process.samples())
        found.set(families.BUILD, (self._version,), 1)
        found.set(families.BROKER, (), not self._acceptor.away)
        self._streams(found)
        for archiver in self._archivers:
            found.set(families.ARCHIVED, (archiver.use_case,), archiver.rows)
            found.set(families.UNREADABLE, (archiver.use_case,), archiver.unreadable)
            found.set(families.TROUBLE, (archiver.use_case,), bool(archiver.trouble))
        if self._letters is not None:
            if not self._acceptor.away:
                self._letters.look()
            for key, count in dict(self._letters.counts).items():
                found.set(families.DEAD_LETTERS, key, count)
        return found.samples

    def _streams(self, found: Gathered) -> None:
        acceptor = self._acceptor
        archivers = {archiver.use_case: archiver for archiver in self._archivers}
        for use_case, streams in acceptor.streams.items():
            for stream in streams:
                key = (use_case, stream)
                found.set(families.ACCEPTED, key, acceptor.accepted[key])
                found.set(families.EVENT_REFUSALS, key, acceptor.refused[key])
                found.set(families.IN_FLIGHT, key, acceptor.waiting[key])
                if (archiver := archivers.get(use_case)) is not None:
                    newest = max(acceptor.newest.get(key, 0), archiver.seen.get(stream, 0))
                    done = archiver.archived.get(stream, 0)
                    found.set(families.ARCHIVE_LAG, key, max(0, newest - done))
