"""What is replayed, and what is known before it begins."""

from datetime import UTC, date, datetime

import pytest

from mlplatform.demonstration.plan import EARLIEST, LATEST, plan
from mlplatform.errors import ConfigurationError


def test_the_first_training_ends_where_the_replay_begins() -> None:
    for quick in (False, True):
        whole = plan(EARLIEST, LATEST, quick=quick)
        assert (whole.first - whole.as_of).days == 2 * whole.part
        assert whole.learned_from < whole.as_of
        assert whole.begin == datetime(2013, 9, 30, 21, tzinfo=UTC)
        assert whole.days == 92


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2013, 9, 30), date(2013, 10, 31)),
        (date(2013, 12, 1), date(2014, 1, 1)),
        (date(2013, 10, 1), date(2013, 10, 13)),
        (date(2013, 11, 1), date(2013, 10, 1)),
    ],
)
def test_other_days_are_refused_with_those_that_are_allowed(first: date, last: date) -> None:
    with pytest.raises(ConfigurationError, match=r"at least 14 days of 2013-10-01 to 2013-12-31"):
        plan(first, last, quick=False)
