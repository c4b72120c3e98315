"""Thirty degraded champions are found within their week, thirty clean ones are left alone: real flights.

The rule's defaults were chosen on July-August; these are the weeks of September-December.
"""

import polars as pl
import pytest

from mlplatform_tests.stages.monitoring.flights import KINDS, TEST, answers
from mlplatform_tests.stages.monitoring.replays import Replay, clean, degraded, slow_and_failing, steady

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scored() -> pl.DataFrame:
    return answers(TEST)


def untold(found: list[Replay]) -> list[str]:
    return [
        each.cause
        for each in found
        if not each.cause.endswith(".") or not each.cause.startswith(each.champion)
    ]


def test_thirty_degraded_champions_are_rolled_back_within_their_week(scored: pl.DataFrame) -> None:
    found = degraded(scored, TEST)
    assert len(found) == 30
    assert {each.kind for each in found} == set(KINDS)
    assert [each for each in found if not each.rolled_back] == []
    assert min(each.excess for each in found) > 0.02  # none is found that was not truly worse
    assert untold(found) == []


def test_no_clean_champion_is_rolled_back(scored: pl.DataFrame) -> None:
    found = clean(scored, TEST)
    assert len({each.start for each in found}) == 30
    assert len(found) >= 30
    assert [each for each in found if each.rolled_back] == []
    assert untold(found) == []


def test_slow_and_failing_champions_are_found_and_steady_ones_are_not(scored: pl.DataFrame) -> None:
    assert all(each.rolled_back for each in slow_and_failing(scored, TEST))
    assert not any(each.rolled_back for each in steady(scored, TEST))
