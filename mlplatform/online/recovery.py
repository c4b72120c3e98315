"""How a memory comes back: the lake's cleaned rows, the archived events, then the bus behind them.

So a service that was ended at any moment has no gap; what comes twice, features ignore. It must not answer
questions, nor decide when a memory is used.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlplatform.crosscutting.bus import Bus
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT
from mlplatform.errors import MlplatformError
from mlplatform.online.archived import Archived, archived
from mlplatform.online.event_rows import EventRows, Reach, microseconds, schemas
from mlplatform.online.follower import Follower, Target
from mlplatform.online.streams import Streams, published
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stores.lake import Lake
from mlplatform.stores.warmup import Memory

_LOG = logging.getLogger(__name__)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ANNOUNCED = timedelta(days=7)
"""How long before its row counts an event may be sent: a schedule the day before."""


def horizon(feature_set: FeatureSet, moment_us: int) -> datetime:
    """Events before this time reach no question as of `moment_us` or later."""
    begin = moment_us - feature_set.retention_us - ANNOUNCED // timedelta(microseconds=1)
    return _EPOCH + timedelta(microseconds=max(0, begin))


def first_event_us(bus: Bus, use_case: str, found: Archived) -> int:
    """Time of a use case's first event, in the archive or on the bus; 0 if there is none."""
    for event in found.events():
        return microseconds(event.time) or 0
    after = 0
    while read := bus.read(SOURCE_EVENT, after, 512, on_unreadable=lambda sequence, error: None):
        for each in read:
            if each.envelope.data.use_case == use_case:
                return microseconds(each.envelope.time) or 0
        after = read[-1].sequence
    return 0


def target_of(lake: Lake, streams: Streams, memory: Memory) -> Target:
    """A target with the archived events applied, to be followed from their end on.

    Raises
    ------
    StoreError
        if the lake cannot be read.
    """
    features, use_case = memory.features, streams.use_case
    rows = EventRows(streams, features.feature_set, schemas(lake, use_case, features.feature_set))
    whole_from = memory.whole_from_us
    reach = None if whole_from is None else Reach(features.feature_set, whole_from)
    target = Target(use_case, features, rows, entities=memory.entities, reach=reach)
    since = horizon(features.feature_set, whole_from or 0)
    found = archived(lake, use_case, sorted(streams.streams), since)
    for event in found.events():
        target.apply(event.stream, event.document, event.time)
    target.position, target.anchor = found.position, found.anchor
    return target


class StreamFollowing:
    """What the releases need of the stream: each memory joined before it is used, and what became of it."""

    def __init__(self, home: Path, lake: Lake, open_bus: Callable[[], Bus]) -> None:
        self._home, self._lake = home, lake
        self.follower = Follower(open_bus)
        self.problems: dict[str, str] = {}

    def join(self, use_case: str, memory: Memory) -> None:
        """Follow the stream for a memory; a use case without streams, or a broker away, changes nothing."""
        try:
            streams = published(self._home, use_case)
            if streams is not None and not self.follower.join(target_of(self._lake, streams, memory)):
                said = self.follower.trouble or "it does not get ahead"
                _LOG.warning(
                    "%s: a memory is used before it has caught up with the stream: %s", use_case, said
                )
            self.problems.pop(use_case, None)
        except MlplatformError as error:
            self.problems[use_case] = f"{error} {error.hint}".strip()
            _LOG.warning("%s: its stream is not followed: %s", use_case, error)

    def status(self, use_case: str, memory: Memory) -> Mapping[str, Any]:
        """Position on the bus, time of the newest event, how far behind; empty without a stream."""
        target, trouble = self.follower.target_of(memory.features), self.problems.get(use_case, "")
        if target is None:
            return {"trouble": trouble} if trouble else {}
        newest = _EPOCH + timedelta(microseconds=target.newest_us)
        return {
            "position": target.position,
            "newest_event": newest.isoformat() if target.newest_us else None,
            "lag": max(0, self.follower.end - target.position),
            "events": target.applied,
            "unreadable": target.unreadable,
            "trouble": self.follower.trouble or trouble or target.trouble,
        }
