"""A bundle: everything needed to answer for one release of one use case, as one value.

A server swaps it by one reference, so no answer mixes two models. It is made from the candidate folder and
the lake alone: hashes compared, golden rows replayed to the bit, no code of the use case run. It must not
know HTTP. A bundle is used by one thread at a time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from msgspec import UNSET

from mlplatform.errors import FeatureError, FeatureSetMismatch, RequestError, StoreError
from mlplatform.online.facts import Facts, FactsReader
from mlplatform.stages.deployment.release import Release
from mlplatform.stages.preparation.declarations import FactType, FeatureSet
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.scoring.score import DEFAULT_THRESHOLD, Answer, Link, PredictionIds, is_positive
from mlplatform.stages.training.candidate import open_model
from mlplatform.stages.training.contract import Floats
from mlplatform.stages.training.output import Output
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.served import packed
from mlplatform.stores.warmup import Memory

OnServed = Callable[[Mapping[str, FactType], Facts, list[float], Answer, float, str], None]
"""Takes the types of the facts, the facts, the encoded row, the answer, the seconds its request took and why
the first link did not give it (empty if it did); must return at once."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Asked(NamedTuple):
    """A question as a model sees it; without facts where ready-made features were given."""

    row: list[float]
    """Encoded features in the order of the model."""
    facts: Facts
    question: Sequence[Any]
    """What names the answer."""
    as_of: datetime | None
    age_s: float | None
    """Seconds from the newest row in memory to `as_of`."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One release, ready to answer."""

    release: Release
    fitted: FittedFeatureSet
    feature_set_id: str
    """`fitted.id`, computed once."""
    facts: FactsReader
    memory: Memory
    encode: Callable[[Sequence[Any]], list[float]]
    score_row: Callable[[Sequence[float]], float]
    score_rows: Callable[[Floats], Floats]
    """The same for several rows, to the bit."""
    threshold: float
    ids: PredictionIds
    output: Output
    names: tuple[str, ...]
    """Features in the order of the model."""

    def asked(self, facts: Facts) -> Asked:
        """What the model sees of the facts of one row (as `self.facts` read them).

        Raises
        ------
        RequestError
            400 if the features cannot be computed from these facts; 422 if the question lies before what is
            kept in memory, where windows would silently be short; 503 if a shared online store is away.
        """
        features = self.memory.features
        try:
            moment = features.as_of(facts)
            whole_from_us = self.memory.whole_from_us
            if whole_from_us is not None and moment < whole_from_us:
                raise _too_early(moment, whole_from_us)
            row = self.encode(features.vector_at(moment, facts))
            as_of, age = _moment(moment), moment - self.memory.now_us
        except (FeatureError, ArithmeticError, ValueError) as error:
            raise RequestError(
                f"the features cannot be computed from these facts: {str(error)[:200]}",
                hint="Check times and numbers for values that cannot be.",
            ) from error
        except StoreError as error:
            raise RequestError(str(error)[:300], status=503, hint=error.hint) from error
        return Asked(row, facts, tuple(facts.values()), as_of, age / 1e6 if age > 0 else 0.0)

    def asked_features(self, row: list[float]) -> Asked:
        """The same of ready-made features in the order of `names`; NaN is missing."""
        return Asked(row, dict.fromkeys(self.facts.names), (packed(row),), None, None)

    def told(self, asked: Asked, score: float, link: Link) -> Answer:
        """The answer that this score is."""
        release, kind = self.release, self.output.kind
        return Answer(
            prediction_id=self.ids.of(asked.question, score),
            use_case=release.use_case,
            model=release.model,
            version=release.version,
            digest=release.digest,
            feature_set=self.feature_set_id,
            kind=kind,
            score=score,
            predicted=is_positive(score, self.threshold) if kind == "probability" else UNSET,
            cluster=int(score) if kind == "cluster" else UNSET,
            as_of=asked.as_of,
            link=link,
            features_age_s=asked.age_s,
        )


def open_bundle(
    release: Release, candidates: CandidateStore, memory_of: Callable[[FeatureSet], Memory]
) -> Bundle:
    """The bundle of a release; `memory_of` gives the warmed features, and is asked last as it takes longest.

    Raises
    ------
    MlplatformError
        if the candidate is absent or damaged, its golden rows get other scores, its model and feature set do
        not belong together, or the lake lacks what the features read.
    """
    candidate = candidates.get(release.use_case, release.digest)
    fitted = FittedFeatureSet.from_json(candidate.feature_set)
    model = open_model(candidate)
    if tuple(model.names) != fitted.names:
        raise FeatureSetMismatch(
            f"candidate {release.digest[:12]}: its model takes {len(model.names)} features; they are not the "
            f"{len(fitted.names)} of its feature set {fitted.id}, or in another order.",
            hint="Train the candidate again.",
        )
    return Bundle(
        release=release,
        fitted=fitted,
        feature_set_id=fitted.id,
        facts=FactsReader(fitted.feature_set.spine),
        memory=memory_of(fitted.feature_set),
        encode=fitted.encoder(),
        score_row=model.row_scorer(),
        score_rows=model.predict,
        threshold=release.figures.get("threshold", DEFAULT_THRESHOLD),
        ids=PredictionIds(release.use_case, release.version, release.digest),
        output=candidate.output,
        names=fitted.names,
    )


def _moment(us: int) -> datetime:
    return _EPOCH + us * _MICROSECOND


def _too_early(moment: int, whole_from_us: int) -> RequestError:
    return RequestError(
        f"the question is of {_moment(moment):%Y-%m-%dT%H:%M:%SZ}; memory reaches back to questions of "
        f"{_moment(whole_from_us):%Y-%m-%dT%H:%M:%SZ}.",
        status=422,
        hint="Older rows have batch scores in the lake.",
    )
