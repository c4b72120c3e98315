"""Questions of many rows whose answer is one: a ranked list of alternatives, a forecast of a series.

Every row is answered by itself, with an id of its own, so that it can be logged, compared with batch and
traced like any other. It must not know HTTP.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from mlplatform.errors import RequestError
from mlplatform.online.bundle import Bundle
from mlplatform.online.facts import Facts
from mlplatform.online.question import Rows, rows_of
from mlplatform.stages.scoring.score import Answer, Listing, Place, places

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ranked(body: bytes) -> Rows[Listing]:
    """The alternatives in a JSON array of facts, the best first; those of equal scores in order of their key.

    RequestError 400 for no alternatives, too many, or such as are not of one list.
    """

    def read(bundle: Bundle) -> list[Facts]:
        rows = sorted(rows_of(bundle, body), key=_in_order(bundle))
        _check_shared(bundle, rows)
        return rows

    def form(bundle: Bundle, rows: list[Facts], answers: list[Answer]) -> Listing:
        ranks = places([answer.score for answer in answers])
        placed = [
            _place(bundle, rank, row, answer) for rank, row, answer in zip(ranks, rows, answers, strict=True)
        ]
        shared = _spelled(bundle, rows[0], bundle.output.by)
        return _listing(shared, answers[0], sorted(placed, key=lambda each: each.place))

    return Rows(read, form)


def forecast(read_series: Callable[[Bundle], Facts]) -> Rows[Listing]:
    """Every step of a forecast from the facts of one series and one start.

    RequestError 400 if the start is missing.
    """

    def read(bundle: Bundle) -> list[Facts]:
        output, facts = bundle.output, read_series(bundle)
        start = facts[output.start]
        if start is None:
            raise RequestError(f"{output.start!r} is missing; it says from which moment the forecast runs.")
        return [{**facts, output.time: start + step * output.step_us} for step in range(output.steps)]

    def form(bundle: Bundle, rows: list[Facts], answers: list[Answer]) -> Listing:
        placed = [
            _place(bundle, step, row, answer)
            for step, (row, answer) in enumerate(zip(rows, answers, strict=True), start=1)
        ]
        return _listing(_spelled(bundle, rows[0], bundle.output.together), answers[0], placed)

    return Rows(read, form)


def _in_order(bundle: Bundle) -> Callable[[Facts], Any]:
    """The order of the batch table, in which equal scores have their ranks: missing values come first."""
    key = [name for name in bundle.fitted.feature_set.spine.key if name in bundle.facts.types]
    return lambda row: [(row[name] is not None, row[name]) for name in key]


def _check_shared(bundle: Bundle, rows: Sequence[Facts]) -> None:
    by = bundle.output.by
    for row in rows:
        for name in by:
            if row[name] != rows[0][name]:
                raise RequestError(
                    f"the rows have different values of {name!r}; those of one list share {', '.join(by)}.",
                    hint="Ask for one list in one request.",
                )


def _place(bundle: Bundle, place: int, row: Facts, answer: Answer) -> Place:
    output, key = bundle.output, bundle.fitted.feature_set.spine.key
    own = [name for name in key if name in row and name not in output.together]
    return Place(
        place=place,
        score=answer.score,
        prediction_id=answer.prediction_id,
        facts=_spelled(bundle, row, own),
    )


def _listing(shared: dict[str, Any], first: Answer, placed: list[Place]) -> Listing:
    return Listing(
        use_case=first.use_case,
        model=first.model,
        version=first.version,
        digest=first.digest,
        feature_set=first.feature_set,
        kind=first.kind,
        as_of=first.as_of,
        link=first.link,
        features_age_s=first.features_age_s,
        late=first.late,
        facts=shared,
        places=placed,
    )


def _spelled(bundle: Bundle, facts: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """These facts as they are written in JSON: times as text, not as microseconds."""
    types = bundle.facts.types
    return {
        name: _EPOCH + timedelta(microseconds=facts[name])
        if types[name] == "time" and facts[name] is not None
        else facts[name]
        for name in names
    }
