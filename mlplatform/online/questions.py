"""The questions of a stream: which events ask one, which are pending, which were answered.

A question is asked by the row of a source whose clock is a fact of the spine: a flight's schedule, not its
departure. It must not compute features nor store anything.
"""

import heapq
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from mlplatform.crosscutting.bus.contract import PARTITIONS, partition_of
from mlplatform.errors import ConfigurationError
from mlplatform.stages.preparation.declarations import FeatureSet

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATE_US = 86_400_000_000
"""A question that comes later than this behind its time is refused: rows it needs may be dropped."""

Facts = dict[str, Any]


class Question(NamedTuple):
    """One question; `day` is the key of the partition in which the batch table has it."""

    as_of: int
    key: str
    day: str
    position: int
    facts: Facts
    """The spine's facts and key, times in microseconds (UTC)."""


def key_partitions(number: int, of: int) -> list[int]:
    """The partitions of the keys that are those of process `number`, counted from 0, of `of`.

    Raises
    ------
    ConfigurationError
        if there is no such process.
    """
    if not 0 <= number < of <= PARTITIONS:
        raise ConfigurationError(
            f"got partition {number} of {of}; allowed: 0 to N - 1 of N, N at most {PARTITIONS}.",
            hint="Start N processes with --partition 0 … N-1 --of N.",
        )
    return [partition for partition in range(PARTITIONS) if partition % of == number]


class Asker:
    """Makes questions out of rows, and knows to which partition of the keys each belongs."""

    def __init__(self, feature_set: FeatureSet, day_zone: str) -> None:
        spine = feature_set.spine
        self._clock = {
            source.name: source.at
            for source in feature_set.sources
            if source.table == spine.table and source.at in spine.facts
        }
        self._key, self._names = spine.key, tuple(dict.fromkeys([*spine.key, *spine.facts]))
        self._needed = {*spine.as_of.columns(), *spine.key}
        self._as_of = spine.as_of.python()
        self._zone = ZoneInfo(day_zone)

    def question(self, source: str, row: Mapping[str, Any], position: int) -> Question | None:
        """The question that a row asks; None if it asks none."""
        clock = self._clock.get(source)
        if clock is None or row.get(clock) is None or any(row.get(name) is None for name in self._needed):
            return None
        as_of = self._as_of(row)
        if as_of is None:
            return None
        day = (_EPOCH + timedelta(microseconds=row[clock])).astimezone(self._zone)
        facts = {name: row.get(name) for name in self._names}
        return Question(int(as_of), self.key_of(row), f"{day:%Y-%m-%d}", position, facts)

    def key_of(self, row: Mapping[str, Any]) -> str:
        """The spine's key as text, the same for an event and for a stored row."""
        return "|".join(str(row[name]) for name in self._key)


class Pending:
    """The questions of the key partitions that are ours: asked and not answered yet, or answered lately."""

    def __init__(self, owned: Iterable[int]) -> None:
        self.owned = frozenset(owned)
        self.waiting: dict[str, Question] = {}
        self.refused = 0
        self._due: list[tuple[int, str]] = []
        self._answered: dict[str, int] = {}

    def ask(self, question: Question, clock_us: int) -> None:
        """Note a question, in the place of an earlier one of its key; one that was answered is none."""
        if partition_of(question.key) not in self.owned or question.key in self._answered:
            return
        if question.as_of < clock_us - LATE_US:
            self.refused += 1
            return
        self.waiting[question.key] = question
        heapq.heappush(self._due, (question.as_of, question.key))

    def due(self, clock_us: int) -> list[Question]:
        """The questions whose time has passed, in its order; from now on they are answered."""
        found = []
        while self._due and self._due[0][0] < clock_us:
            as_of, key = heapq.heappop(self._due)
            question = self.waiting.get(key)
            if question is not None and question.as_of == as_of:  # else another took its place
                del self.waiting[key]
                self._answered[key] = as_of
                found.append(question)
        return found

    def answered(self, key: str, as_of: int) -> None:
        """A question of that key was answered before."""
        self._answered[key] = as_of

    def forget(self, clock_us: int) -> None:
        """Forget answers so old that their questions would be refused now."""
        kept = {key: as_of for key, as_of in self._answered.items() if as_of >= clock_us - LATE_US}
        self._answered = kept
