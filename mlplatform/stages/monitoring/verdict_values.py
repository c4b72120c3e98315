"""The verdict: one sentence with its figures about one aspect of a version at one check.

It must not be computed here (verdict.py and shares.py do) and must not decide anything (decision.py does).
"""

from datetime import datetime
from typing import Literal

import msgspec

Aspect = Literal["accuracy", "calibration", "speed", "errors"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether `version` is worse than `reference` in one aspect, as far as is known at one check.

    JSON-able, so that it can be kept; a history of them is what `decide` reads.
    """

    aspect: Aspect
    metric: str
    """log_loss, brier, mae, mse, ece, bias, late_share or error_share; lower is better in all of them."""
    version: str
    reference: str
    """What the version was compared with, by the name given, e.g. "version 6"; empty: with the rule alone."""
    worse: bool | None
    """None: there is not enough to say."""
    n: int
    """Rows with an outcome (requests) that were judged."""
    blocks: int = 0
    """Blocks that hold them."""
    total: int
    """Outcomes (requests) of the version known at this check, also those too old or too young to be judged:
    it grows from check to check and tells new evidence from old."""
    value: float | None = None
    reference_value: float | None = None
    excess: float | None = None
    """By how much the version is worse (better: negative): relative to the reference's loss for accuracy,
    else a difference."""
    low: float | None = None
    high: float | None = None
    """Ends of the excess's interval."""
    newest: datetime | None = None
    """The latest question judged, UTC."""
    sentence: str

    @property
    def gain(self) -> float | None:
        """By how much the version is better: the excess turned round."""
        return None if self.excess is None else -self.excess
