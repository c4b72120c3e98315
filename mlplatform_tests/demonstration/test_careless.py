"""The careless person: one mistake after the other, none beside another."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from mlplatform.demonstration.careless import CarelessPerson
from mlplatform.demonstration.plan import Mistake
from mlplatform.errors import ServiceError

BEGIN = datetime(2013, 10, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MISTAKES = (Mistake("hasty", DAY, "it is fast"), Mistake("leaking", 3 * DAY, "its tests are green"))


def person(code: int = 0) -> CarelessPerson:
    """One whose promotions are processes that only end."""

    def promote(mistake: Mistake) -> subprocess.Popen[str]:
        told = f"import sys; sys.stderr.write('no such model'); sys.exit({code})"
        process = subprocess.Popen([sys.executable, "-c", told], stderr=subprocess.PIPE, text=True)
        process.wait()
        return process

    return CarelessPerson(iter(MISTAKES), BEGIN, promote)


def test_the_next_mistake_waits_until_the_one_before_is_mended() -> None:
    careless = person()
    assert careless.look(BEGIN, 0) == ""
    assert "`hasty`: “it is fast”" in careless.look(BEGIN + DAY, 0)
    assert careless.look(BEGIN + 4 * DAY, 0) == ""  # due, but the first one is still in use
    assert careless.look(BEGIN + 4 * DAY + timedelta(hours=1), 1) == ""  # mended a moment ago
    assert "`leaking`" in careless.look(BEGIN + 5 * DAY, 1)
    assert careless.look(BEGIN + 9 * DAY, 2) == ""
    assert careless.made == 2


def test_a_promotion_that_fails_is_told_with_what_it_said() -> None:
    careless = person(code=1)
    careless.look(BEGIN + DAY, 0)
    with pytest.raises(ServiceError, match="no such model"):
        careless.look(BEGIN + DAY, 0)
