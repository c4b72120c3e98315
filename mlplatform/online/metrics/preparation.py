"""The samples of the online data preparation service. It must not wait for long for a broker."""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version as installed

from mlplatform.crosscutting.metrics import Samples, process
from mlplatform.errors import BusError
from mlplatform.online.metrics import families, requests
from mlplatform.online.metrics.requests import Counts
from mlplatform.online.metrics.scoring import Gathered
from mlplatform.online.preparation import Preparation


class PreparationMetrics:
    """Gathers the samples of the process; `last` gives the position of the newest event on the bus."""

    def __init__(
        self,
        preparations: Sequence[Preparation],
        counts: Counts,
        gate: Mapping[tuple[str, int], int],
        last: Callable[[], int] | None = None,
    ) -> None:
        self._preparations, self._counts, self._gate, self._last = preparations, counts, gate, last
        self._version = installed("mlplatform")

    def collect(self) -> Samples:
        """All samples of this moment."""
        found = Gathered(requests.samples(self._counts, self._gate) | process.samples())
        found.set(families.BUILD, (self._version,), 1)
        end = self._end()
        for each in self._preparations:
            labels = (each.use_case, each.share)
            found.set(families.PREPARED, labels, each.rows)
            found.set(families.PREPARATION_REFUSED, labels, each.refused)
            found.set(families.PENDING, labels, each.pending)
            found.set(families.KEYS, (each.use_case,), each.keys)
            found.set(families.POSITION, labels, each.position)
            found.set(families.PREPARED_UNTIL, labels, each.clock_us / 1e6)
            found.set(families.UNREADABLE, (each.use_case,), each.unreadable)
            found.set(families.TROUBLE, (each.use_case,), bool(each.trouble))
            if end is not None:
                found.set(families.PREPARATION_LAG, labels, max(0, end - each.position))
        return found.samples

    def _end(self) -> int | None:
        if self._last is None or all(each.trouble for each in self._preparations):
            return None  # a broker that is away would be waited for
        try:
            return self._last()
        except BusError:
            return None
