"""What time it was in the replay at a moment of the wall's clock."""

from datetime import UTC, datetime, timedelta

import pytest

from mlplatform.demonstration.clock import ReplayClock

WALL, REPLAYED = datetime(2026, 11, 30, 12, tzinfo=UTC), datetime(2013, 10, 1, tzinfo=UTC)


def test_between_two_notes_it_goes_evenly_and_outside_it_stands() -> None:
    clock = ReplayClock()
    with pytest.raises(ValueError, match="nothing"):
        clock.at(WALL)
    clock.note(WALL, REPLAYED)
    clock.note(WALL + timedelta(seconds=10), REPLAYED + timedelta(days=1))
    assert clock.at(WALL - timedelta(hours=1)) == REPLAYED
    assert clock.at(WALL + timedelta(seconds=5)) == REPLAYED + timedelta(hours=12)
    assert clock.at(WALL + timedelta(hours=1)) == REPLAYED + timedelta(days=1)


def test_at_a_standstill_it_stands() -> None:
    clock = ReplayClock()
    for seconds, hours in ((0, 0), (10, 1), (70, 1), (80, 2)):
        clock.note(WALL + timedelta(seconds=seconds), REPLAYED + timedelta(hours=hours))
    assert clock.at(WALL + timedelta(seconds=40)) == REPLAYED + timedelta(hours=1)
