"""The decision: roll a champion back, or not, by what the checks in a row say.

It must not look at a score or a count (verdict.py, shares.py) and must not act: whoever reads it moves the
alias. A version that was taken back is withdrawn and comes back only when a person promotes it
(deployment/alias.py), so each rollback takes a version off a finite list: nothing can flap.
"""

from collections.abc import Sequence

import msgspec

from mlplatform.stages.monitoring.rollback_rule import RollbackRule
from mlplatform.stages.monitoring.verdict_values import Aspect, Verdict

ASPECTS: tuple[Aspect, ...] = ("errors", "speed", "accuracy", "calibration")
"""In the order in which they are named as the cause."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """`cause` is one sentence, also where nothing is done."""

    roll_back: bool
    version: str
    aspect: Aspect | None = None
    checks: int = 0
    """Checks in a row that said worse, of the aspect that has most of them."""
    cause: str


def decide(history: Sequence[Verdict], rule: RollbackRule) -> Decision:
    """Whether the version of the latest verdict is to be rolled back.

    Only verdicts about that version count, an aspect apart from the others. A check counts if it says worse
    and at least `rule.minimum_new` outcomes (requests) came since the one that counted before; one that says
    "not worse" or "not enough" begins the count anew.

    Parameters
    ----------
    history : every verdict since the version came into use, the oldest first, of whatever aspects
    """
    if not history:
        return Decision(roll_back=False, version="", cause="nothing was judged yet.")
    version = history[-1].version
    mine = [each for each in history if each.version == version]
    rows = {aspect: _in_a_row([v for v in mine if v.aspect == aspect], rule) for aspect in ASPECTS}
    worst = max(ASPECTS, key=lambda aspect: rows[aspect])  # the first of equals
    checks = rows[worst]
    said = next((v.sentence for v in reversed(mine) if v.aspect == worst), "")
    if checks >= rule.windows:
        cause = f"{version} is rolled back: {_named(checks)} in a row said worse, the latest that {said}"
        return Decision(roll_back=True, version=version, aspect=worst, checks=checks, cause=cause)
    if checks:
        cause = (
            f"{version} stays for now: {_named(checks)} of {rule.windows} said worse, the latest that {said}"
        )
        return Decision(roll_back=False, version=version, aspect=worst, checks=checks, cause=cause)
    return Decision(
        roll_back=False, version=version, cause=f"{version} stays: no check says worse; {mine[-1].sentence}"
    )


def _in_a_row(history: Sequence[Verdict], rule: RollbackRule) -> int:
    """Checks up to the latest that say worse about one reference, each on enough that is new."""
    count, seen, reference = 0, 0, ""
    for verdict in history:
        if not verdict.worse or (count and verdict.reference != reference):
            count = 0
        if verdict.worse and (count == 0 or verdict.total >= seen + rule.minimum_new):
            count, seen, reference = count + 1, verdict.total, verdict.reference
    return count


def _named(checks: int) -> str:
    return "one check" if checks == 1 else f"{checks} checks"
