"""What the platform answers when it is asked for a score, and how an answer gets its name.

It must not compute a score, nor know where a question came from.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec

DEFAULT_THRESHOLD = 0.5
"""Score from which a row is of the positive class, unless its release says otherwise."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One score, and everything needed to trace it back to the model and the features it came from."""

    prediction_id: str
    use_case: str
    model: str
    """Kind of the model, e.g. `lightgbm`."""
    version: int
    """Number of the release that answered."""
    digest: str
    """Candidate of that release: SHA-256, 64 hexadecimal digits."""
    feature_set: str
    """Id of the fitted feature set."""
    score: float
    """Probability of the positive class."""
    predicted: bool = msgspec.field(name="class")
    """Whether the score reaches the threshold."""
    as_of: datetime | None
    """UTC time of the question; None when ready-made features were given, which carry no time."""


class PredictionIds:
    """Names answers: the same question, answered alike by the same release, has the same id.

    So an answer that is logged or delivered twice is recognised as one, and an id can be computed again from
    what was asked; no clock and no chance is in it.
    """

    def __init__(self, use_case: str, version: int, digest: str) -> None:
        self._start = blake2b(msgspec.json.encode((use_case, version, digest)), digest_size=16)

    def of(self, question: Sequence[Any], score: float) -> str:
        """32 hexadecimal digits over the values asked about, in their fixed order, and the score."""
        name = self._start.copy()
        name.update(msgspec.json.encode((question, score)))
        return name.hexdigest()


def is_positive(score: float, threshold: float = DEFAULT_THRESHOLD) -> bool:
    """The class rule: positive from the threshold on."""
    return score >= threshold
