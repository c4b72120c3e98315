"""What the platform answers when it is asked for a score, and how an answer gets its name.

A row has one number; what else is said of it follows from the kind of score: the class of a probability, the
number of a cluster, the place in a ranked list, the step of a forecast. It must not compute a score, nor know
where a question came from.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal, get_args

import msgspec
import polars as pl

from mlplatform.stages.training.contract import Floats
from mlplatform.stages.training.output import Kind, Output

DEFAULT_THRESHOLD = 0.5
"""Score from which a row is of the positive class, unless its release says otherwise."""


Link = Literal["asked", "champion", "canary", "previous", "precomputed", "constant", "shadow"]
"""Links of the chain that answers: the version that was asked for, the champion or its canary, an earlier
champion, a batch score, the declared constant. A shadow is asked too, and only logged."""
LINKS: tuple[Link, ...] = get_args(Link)


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One score, and everything needed to trace it back to the model and the features it came from.

    Many are kept for a while, and hold nothing that could refer to them: the garbage collector is spared.
    """

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
    kind: Kind
    """What the score is."""
    score: float
    """A probability of the positive class, a number, a cluster's number, a relevance, a forecast value."""
    predicted: bool | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="class")
    """Of a probability: whether it reaches the threshold."""
    cluster: int | msgspec.UnsetType = msgspec.UNSET
    """Of a cluster: its number, from 0."""
    as_of: datetime | None
    """UTC time of the question; None when ready-made features were given, which carry no time."""
    link: Link = "champion"
    """Which link of the chain answered."""
    features_age_s: float | None = None
    """Seconds from the newest row in memory to the time of the question; of a batch score, between the times
    of the two questions. None where no features were looked up."""
    late: bool | msgspec.UnsetType = msgspec.UNSET
    """True if it came after the deadline."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a ranked list or a forecast."""

    place: int
    """From 1: the rank, 1 being the best, or the step."""
    score: float
    prediction_id: str
    facts: dict[str, Any]
    """What tells the row from the others: its facts that are not those of the whole."""


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one question, in order: a ranked list from the best on, a forecast from its start on."""

    use_case: str
    model: str
    version: int
    digest: str
    feature_set: str
    kind: Kind
    as_of: datetime | None
    link: Link
    features_age_s: float | None
    late: bool | msgspec.UnsetType = msgspec.UNSET
    facts: dict[str, Any]
    """What all rows share: the list's or the series' facts."""
    places: list[Place]


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


def answered(rows: pl.DataFrame, output: Output, scores: Floats, threshold: float) -> pl.DataFrame:
    """`rows` with `score` (Float64) and what follows from it, as it is answered online.

    `class` (Boolean) of a probability, `cluster` (Int64), `rank` (Int64, 1 is the best) in a list, `step`
    (Int64, 1 is the first) of a forecast. Rows of a list with equal scores are in the order of `rows`.
    """
    scored = rows.with_columns(pl.Series("score", scores, pl.Float64))
    match output.kind:
        case "probability":
            return scored.with_columns(pl.col("score").ge(threshold).alias("class"))
        case "cluster":
            return scored.with_columns(pl.col("score").cast(pl.Int64).alias("cluster"))
        case "ranked_list":
            rank = pl.col("score").rank("ordinal", descending=True).over(output.by)
            return scored.with_columns(rank.cast(pl.Int64).alias("rank"))
        case "forecast":
            ahead = (pl.col(output.time) - pl.col(output.start)).dt.total_microseconds()
            return scored.with_columns((ahead // output.step_us + 1).alias("step"))
        case "number":
            return scored


def places(scores: Sequence[float]) -> list[int]:
    """Per score its rank among them, 1 being the highest; of equal ones the earlier comes first."""
    order = sorted(range(len(scores)), key=lambda at: -scores[at])
    ranks = [0] * len(scores)
    for rank, at in enumerate(order, start=1):
        ranks[at] = rank
    return ranks
