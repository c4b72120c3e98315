"""What the chain counts of its answers: plain additions, in the one thread of the requests.

They outlive the versions they are of, so that they never fall. It must not know HTTP nor Prometheus.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from mlplatform.online.metrics.families import BUCKETS
from mlplatform.stages.scoring.score import Answer, Link

Key = tuple[str, int, Link]
"""Use case, version, link."""


class Tally:
    """Of one version as one link. Others may read it at any time."""

    __slots__ = ("buckets", "late", "rows", "seconds")

    def __init__(self) -> None:
        self.rows, self.late, self.seconds = 0, 0, 0.0
        self.buckets = [0] * (len(BUCKETS) + 1)
        """Questions by the time they took, the last: longer than any bucket."""


class Tallies:
    """Counts answers; to be used from one thread."""

    def __init__(self) -> None:
        self.by_version: dict[Key, Tally] = {}
        self.ages: dict[str, float] = {}
        """Seconds that features were old at the last answer, by use case."""
        self.failures: Counter[tuple[str, int, str]] = Counter()
        """Calls of a version that failed: use case, version, `error` or `timeout`."""

    def answered(self, answers: Sequence[Answer], seconds: float) -> None:
        """The rows of one question were answered, in that time all together."""
        first = answers[0]
        if first.link == "precomputed" and len(answers) > 1:  # the only link whose rows may be of several
            self._by_version(answers, seconds)
            return
        use_case = first.use_case
        tally = self.by_version.get((use_case, first.version, first.link)) or self._of(first)
        tally.rows += len(answers)
        tally.seconds += seconds
        tally.buckets[bisect_left(BUCKETS, seconds)] += 1
        if first.late is True:
            tally.late += len(answers)
        if first.features_age_s is not None:
            self.ages[use_case] = first.features_age_s

    def _by_version(self, answers: Sequence[Answer], seconds: float) -> None:
        for _, members in groupby(sorted(answers, key=_version), key=_version):
            several = list(members)
            tally = self._of(several[0])
            tally.rows += len(several)
            tally.late += sum(each.late is True for each in several)
        tally = self._of(answers[0])
        tally.seconds += seconds
        tally.buckets[bisect_left(BUCKETS, seconds)] += 1

    def _of(self, answer: Answer) -> Tally:
        return self.by_version.setdefault((answer.use_case, answer.version, answer.link), Tally())


def _version(answer: Answer) -> int:
    return answer.version
