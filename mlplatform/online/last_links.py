"""The last links of the chain: a batch score that is declared valid, and the declared constant.

They answer without a model and without features. It must not know why the versions did not answer.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import UNSET

from mlplatform.errors import RequestError
from mlplatform.online.bundle import Asked, Bundle
from mlplatform.online.deployed import Deployed
from mlplatform.online.facts import Facts
from mlplatform.online.question import Question
from mlplatform.stages.scoring.score import Answer, Link, PredictionIds, is_positive
from mlplatform.stores.precomputed import Score

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CONSTANT = "constant"
Given = list[tuple[Asked, Answer]]


class LastLinks:
    """Answers for the rows of one question that no version has answered."""

    def __init__(self, deployed: Deployed, question: Question[Any]) -> None:
        self._deployed, self._question = deployed, question

    def precomputed(self) -> Given | None:
        """The batch scores of all rows; None if one of them has none that is valid."""
        table, bundle = self._deployed.precomputed, self._deployed.bundle
        if table is None or self._deployed.policy.precomputed == "never":
            return None
        facts = self._question.facts(bundle)
        as_of = bundle.fitted.feature_set.spine.as_of.python()
        given: Given = []
        for row in facts:
            moment = _moment(as_of, row)
            found = None if moment is None else table.find(row, moment)
            if found is None or moment is None:
                return None
            given.append(_stored(bundle, row, moment, found))
        return given or None

    def answers(self) -> Given | None:
        """The batch scores, or else the constant for every row; None if there is neither."""
        found, constant = self.precomputed(), self._deployed.policy.constant
        if found is not None:
            return found
        bundle = self._deployed.bundle
        if constant is None:
            return None
        as_of = bundle.fitted.feature_set.spine.as_of.python()
        rows = self._question.facts(bundle)
        return [_constant(bundle, row, _moment(as_of, row), constant) for row in rows] or [
            _constant(bundle, asked.facts, None, constant) for asked in self._question.asked(bundle)
        ]

    def refusal(self, why: str) -> RequestError:
        """The error for a question that nobody answers."""
        use_case = self._deployed.bundle.release.use_case
        return RequestError(
            f"no link of the chain could answer for {use_case!r}: {why[:500]}.",
            status=503,
            hint="The log says what failed. A declared `serving: {constant: …}` answers in such a case.",
        )


def _moment(as_of: Callable[[Facts], Any], facts: Facts) -> int | None:
    try:
        moment = as_of(facts)
    except (ArithmeticError, ValueError, TypeError, KeyError):
        return None
    return None if moment is None else int(moment)


def _stored(bundle: Bundle, facts: Facts, moment: int, found: Score) -> tuple[Asked, Answer]:
    told = {"model": found.model, "version": found.version, "digest": found.digest}
    age_s = abs(moment - found.as_of_us) / 1e6
    return _given(bundle, facts, moment, found.score, "precomputed", age_s, told, found.feature_set)


def _constant(bundle: Bundle, facts: Facts, moment: int | None, score: float) -> tuple[Asked, Answer]:
    told = {"model": CONSTANT, "version": 0, "digest": ""}
    return _given(bundle, facts, moment, score, "constant", None, told, "")


def _given(
    bundle: Bundle,
    facts: Facts,
    moment: int | None,
    score: float,
    link: Link,
    age_s: float | None,
    told: dict[str, Any],
    feature_set: str,
) -> tuple[Asked, Answer]:
    use_case, kind, question = bundle.release.use_case, bundle.output.kind, tuple(facts.values())
    as_of = None if moment is None else _EPOCH + timedelta(microseconds=moment)
    answer = Answer(
        prediction_id=PredictionIds(use_case, told["version"], told["digest"]).of(question, score),
        use_case=use_case,
        feature_set=feature_set,
        kind=kind,
        score=score,
        predicted=is_positive(score, bundle.threshold) if kind == "probability" else UNSET,
        cluster=int(score) if kind == "cluster" else UNSET,
        as_of=as_of,
        link=link,
        features_age_s=age_s,
        **told,
    )
    return Asked([], facts, question, as_of, age_s), answer
