"""How versions serve: figures by day and version, and what a version is to be blamed for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from mlplatform.stages.monitoring import serving
from mlplatform.stages.monitoring.shares import Counts

AT = datetime(2025, 4, 9, 12, tzinfo=UTC)
SLOW, BROKEN = "version 2 took more than 50 ms", "version 2 is held to be broken"


def answer(number: int, **told: Any) -> dict[str, Any]:
    return {
        "day": "2025-04-09",
        "version": 2,
        "model": "lightgbm",
        "link": "champion",
        "late": False,
        "because": "",
        "serving_ms": float(number),
        "features_age_s": 1.0,
        "score": number / 10,
        "times": 1,
        "outcome": None,
        "as_of": AT,
        "answered_at": AT + timedelta(seconds=number),
        **told,
    }


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema_overrides={"outcome": pl.Float64})


def test_figures_by_day_and_version() -> None:
    found = serving.figures(
        frame(
            answer(1, outcome=0.0, times=3),
            answer(2, outcome=1.0),
            answer(3, late=True),
            answer(4, link="shadow", times=5),
            answer(5, version=1, link="previous", because=SLOW, times=2),
            answer(6, day="2025-04-10"),
        ),
        "day",
    )
    assert found.select("day", "version").rows() == [("2025-04-09", 1), ("2025-04-09", 2), ("2025-04-10", 2)]
    one, two, _ = found.to_dicts()
    assert (one["served"], one["fallbacks"], one["late"]) == (2, 2, 0)
    assert (two["served"], two["answers"], two["late"], two["fallbacks"], two["shadow"]) == (5, 4, 1, 0, 5)
    assert (two["serving_ms_min"], two["serving_ms_p50"], two["serving_ms_max"]) == (1.0, 2.5, 4.0)
    assert (two["known"], two["coverage"], two["observed_mean"]) == (2, 0.5, 0.5)
    assert abs(two["scored_mean"] - 0.15) < 1e-12
    assert two["first_at"] == AT + timedelta(seconds=1)


def test_no_answer_has_no_figures() -> None:
    assert serving.figures(frame(answer(1)).clear(), "day").height == 0
    assert serving.reasons(frame(answer(1)).clear(), "day").height == 0


def test_reasons_of_real_answers_are_counted() -> None:
    rows = frame(
        answer(1),
        answer(2, version=1, link="previous", because=SLOW, times=2),
        answer(3, version=0, link="constant", because=f"{BROKEN}; version 1 failed"),
        answer(4, link="shadow", because="only a shadow"),
    )
    assert serving.reasons(rows, "day").rows() == [
        ("2025-04-09", SLOW, 2),
        ("2025-04-09", f"{BROKEN}; version 1 failed", 1),
    ]


def test_a_version_is_blamed_for_what_others_had_to_answer() -> None:
    rows = frame(
        answer(1),
        answer(2, late=True),
        answer(3, version=1, link="previous", because=SLOW),
        answer(4, version=1, link="previous", because="version 2 failed"),
        answer(5, version=1, link="previous", because="version 2 is held to be slow"),
        answer(6, version=0, link="constant", because=f"{BROKEN}; version 1 failed"),
        answer(7, version=3, link="shadow", because="only a shadow"),
        answer(8, version=22, link="champion", because="version 21 failed"),
    )
    assert serving.counts(rows, 2) == Counts(requests=6, late=3, failed=2)
    assert serving.counts(rows, 1) == Counts(requests=1, late=0, failed=1)
    assert serving.counts(rows, 3) == Counts(requests=0)
