"""Speed and errors: of how many requests was a version late, or failed, and is that too many?

Nothing waits for an outcome here. They must not measure a request (the server's log does).
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import msgspec

from mlplatform.errors import ModelError
from mlplatform.stages.monitoring.rollback_rule import RollbackRule
from mlplatform.stages.monitoring.verdict_values import Aspect, Verdict


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that were a version's to answer in one span of time, and what became of them.

    Those that a later link of the chain answered because the version was held to be slow or broken count as
    late or failed too: else a version would be excused by its own breaker.

    Raises
    ------
    ModelError
        if a count is negative or above that of the requests.
    """

    requests: int
    late: int = 0
    failed: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.late <= self.requests and 0 <= self.failed <= self.requests):
            raise ModelError(
                f"got {self.late} late and {self.failed} failed of {self.requests} requests; allowed: from 0 "
                "to the number of requests.",
                hint="Count the requests of one version in one span of time.",
            )


def speed(
    mine: Counts,
    theirs: Counts | None,
    rule: RollbackRule,
    *,
    total: int,
    version: str = "the champion",
    reference: str = "the reference",
) -> Verdict:
    """Whether a version is late too often: above `rule.late_share`, and more often than the reference.

    Parameters
    ----------
    mine, theirs : of one span of time that reaches up to the check, such as the newest day; the spans of two
        checks may overlap, as `total` tells what is new. None where nothing is known of the reference
    total : requests of the version since it came into use, those of `mine` among them
    """
    others = _Share(theirs.late, theirs.requests) if theirs else None
    asked = _Asked("speed", "late_share", "was late for", rule.late_share)
    return _judge(asked, _Share(mine.late, mine.requests), others, rule, total, (version, reference))


def errors(
    mine: Counts,
    theirs: Counts | None,
    rule: RollbackRule,
    *,
    total: int,
    version: str = "the champion",
    reference: str = "the reference",
) -> Verdict:
    """Whether a version fails too often: as `speed`, by `failed` and `rule.error_share`."""
    others = _Share(theirs.failed, theirs.requests) if theirs else None
    asked = _Asked("errors", "error_share", "failed for", rule.error_share)
    return _judge(asked, _Share(mine.failed, mine.requests), others, rule, total, (version, reference))


def wilson(hits: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's interval of a share (1927, doi:10.1080/01621459.1927.10502953): never empty, within [0, 1]."""
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    share, more = hits / n, z * z / n
    middle, reach = share + more / 2.0, z * math.sqrt(share * (1.0 - share) / n + more / (4.0 * n))
    # At the ends rounding would leave an interval that misses 0 of 10 or 10 of 10.
    low = 0.0 if hits == 0 else (middle - reach) / (1.0 + more)
    high = 1.0 if hits == n else (middle + reach) / (1.0 + more)
    return low, high


def newcombe(mine: tuple[int, int], theirs: tuple[int, int], confidence: float) -> tuple[float, float]:
    """Interval of a difference of two shares (hits, n) by their Wilson intervals (Newcombe 1998, no. 10)."""
    p, q = mine[0] / mine[1], theirs[0] / theirs[1]
    (low, high), (lower, higher) = wilson(*mine, confidence), wilson(*theirs, confidence)
    return p - q - math.hypot(p - low, higher - q), p - q + math.hypot(high - p, q - lower)


class _Share(NamedTuple):
    hits: int
    n: int

    @property
    def value(self) -> float:
        return self.hits / self.n


class _Asked(NamedTuple):
    """What is asked of the counts, how it is called, and the share that is allowed."""

    aspect: Aspect
    metric: str
    did: str
    allowed: float


def _judge(
    asked: _Asked, mine: _Share, theirs: _Share | None, rule: RollbackRule, total: int, names: tuple[str, str]
) -> Verdict:
    version, reference = names
    compared = theirs if theirs and theirs.n >= rule.minimum_requests else None
    bare = Verdict(
        aspect=asked.aspect,
        metric=asked.metric,
        version=version,
        reference=reference if compared else "",
        worse=None,
        n=mine.n,
        total=total,
        sentence=f"{version} has had {mine.n:,} requests to be judged by; nothing is said below "
        f"{rule.minimum_requests:,}.",
    )
    if mine.n < rule.minimum_requests:
        return bare
    own = wilson(*mine, rule.confidence)
    low, high = newcombe(mine, compared, rule.confidence) if compared else own
    beside = f" against {compared.value:.1%} of {reference}" if compared else ""
    return msgspec.structs.replace(
        bare,
        worse=own[0] > asked.allowed and low > 0.0,
        value=mine.value,
        reference_value=compared.value if compared else None,
        excess=mine.value - (compared.value if compared else 0.0),
        low=low,
        high=high,
        sentence=f"{version} {asked.did} {mine.hits:,} of {mine.n:,} requests: {mine.value:.1%}{beside} "
        f"({rule.confidence:.0%} interval {own[0]:.1%} to {own[1]:.1%}; allowed is {asked.allowed:.1%}).",
    )
