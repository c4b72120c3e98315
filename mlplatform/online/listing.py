"""Answers of many rows that are one: a ranked list of alternatives, a forecast of a series.

Every row is answered by itself, with an id of its own, so that it can be logged, compared with batch and
traced like any other. It must not know HTTP.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from mlplatform.errors import RequestError
from mlplatform.online.bundle import Bundle, OnServed
from mlplatform.online.facts import Facts, not_json
from mlplatform.online.inference import MOST_ROWS
from mlplatform.stages.scoring.score import Answer, Listing, Place, places

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_raw_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode


def is_list(body: bytes) -> bool:
    """Whether a JSON body is an array."""
    return body.lstrip()[:1] == b"["


def ranked(bundle: Bundle, body: bytes, served: OnServed | None = None) -> Listing:
    """The alternatives in a JSON array of facts, the best first; those of equal scores in order of their key.

    Raises
    ------
    RequestError
        400 for no alternatives, too many, or such as are not of one list; as `Bundle.answer`.
    """
    try:
        items = _raw_rows(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from error
    if bundle.output.kind != "ranked_list":
        raise RequestError(
            f"got a list of {len(items)} rows; {bundle.release.use_case!r} gives a {bundle.output.kind} for "
            "one row.",
            hint="Send one JSON object of facts.",
        )
    if not 1 <= len(items) <= MOST_ROWS:
        raise RequestError(f"got {len(items)} alternatives; allowed: 1 to {MOST_ROWS}.")
    rows = sorted((bundle.facts.json(bytes(item)) for item in items), key=_in_order(bundle))
    shared = _shared(bundle, rows)
    answers = [bundle.answer(row, served) for row in rows]
    ranks = places([answer.score for answer in answers])
    placed = [
        _place(bundle, rank, row, answer) for rank, row, answer in zip(ranks, rows, answers, strict=True)
    ]
    return _listing(bundle, shared, answers[0], sorted(placed, key=lambda each: each.place))


def forecast(bundle: Bundle, facts: Facts, served: OnServed | None = None) -> Listing:
    """Every step of a forecast from the facts of one series and one start.

    Raises
    ------
    RequestError
        400 if the start is missing; as `Bundle.answer`.
    """
    output = bundle.output
    start = facts[output.start]
    if start is None:
        raise RequestError(f"{output.start!r} is missing; it says from which moment the forecast runs.")
    step_us = output.step_us
    rows = [{**facts, output.time: start + step * step_us} for step in range(output.steps)]
    answers = [bundle.answer(row, served) for row in rows]
    placed = [_place(bundle, at + 1, rows[at], answers[at]) for at in range(output.steps)]
    return _listing(bundle, _spelled(bundle, facts, output.together), answers[0], placed)


def _in_order(bundle: Bundle) -> Callable[[Facts], Any]:
    """The order of the batch table, in which equal scores have their ranks: missing values come first."""
    key = [name for name in bundle.fitted.feature_set.spine.key if name in bundle.facts.types]
    return lambda row: [(row[name] is not None, row[name]) for name in key]


def _shared(bundle: Bundle, rows: Sequence[Facts]) -> dict[str, Any]:
    by = bundle.output.by
    for row in rows:
        for name in by:
            if row[name] != rows[0][name]:
                raise RequestError(
                    f"the rows have different values of {name!r}; those of one list share {', '.join(by)}.",
                    hint="Ask for one list in one request.",
                )
    return _spelled(bundle, rows[0], by)


def _place(bundle: Bundle, place: int, row: Facts, answer: Answer) -> Place:
    output, key = bundle.output, bundle.fitted.feature_set.spine.key
    own = [name for name in key if name in row and name not in output.together]
    return Place(
        place=place,
        score=answer.score,
        prediction_id=answer.prediction_id,
        facts=_spelled(bundle, row, own),
    )


def _listing(bundle: Bundle, shared: dict[str, Any], first: Answer, placed: list[Place]) -> Listing:
    release = bundle.release
    return Listing(
        use_case=release.use_case,
        model=release.model,
        version=release.version,
        digest=release.digest,
        feature_set=bundle.feature_set_id,
        kind=bundle.output.kind,
        as_of=first.as_of,
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
