"""The hand-written Student quantile is scipy's; intervals of shares are those of the literature."""

import pytest
from scipy.special import stdtrit

from mlplatform.errors import ModelError
from mlplatform.stages.monitoring.paired import student
from mlplatform.stages.monitoring.shares import newcombe, wilson
from mlplatform.stages.monitoring.verdict import Counts, RollbackRule, errors, speed

RULE = RollbackRule()


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_student(confidence: float) -> None:
    for degrees in [*range(1, 40), 100, 1_000]:
        assert student(confidence, degrees) == pytest.approx(stdtrit(degrees, 0.5 + confidence / 2), rel=1e-5)


def test_wilson_and_newcombe_give_the_published_figures() -> None:
    """Newcombe 1998, tables of his two papers: 81 of 263, and 56 of 70 against 48 of 80."""
    assert wilson(81, 263, 0.95) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert newcombe((56, 70), (48, 80), 0.95) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert wilson(0, 0, 0.95) == (0.0, 1.0)
    assert wilson(0, 10, 0.95)[0] == 0.0
    assert wilson(10, 10, 0.95)[1] == 1.0


def test_a_slow_version_is_worse() -> None:
    verdict = speed(
        Counts(requests=400, late=50), Counts(requests=400, late=4), RULE, total=900, version="version 7"
    )
    assert verdict.worse
    assert (verdict.n, verdict.total, verdict.value, verdict.reference_value) == (400, 900, 0.125, 0.01)
    assert verdict.sentence == (
        "version 7 was late for 50 of 400 requests: 12.5% against 1.0% of the reference (99% interval 8.8% "
        "to 17.4%; allowed is 5.0%)."
    )


def test_a_machine_that_is_slow_for_everybody_is_not_the_versions_fault() -> None:
    assert speed(Counts(requests=400, late=50), Counts(requests=400, late=48), RULE, total=400).worse is False


def test_little_more_than_allowed_is_not_sure() -> None:
    assert speed(Counts(requests=200, late=12), None, RULE, total=200).worse is False
    assert speed(Counts(requests=20_000, late=1_200), None, RULE, total=20_000).worse


def test_a_failing_version_is_worse_also_without_a_reference() -> None:
    verdict = errors(Counts(requests=1_000, failed=40), None, RULE, total=1_000)
    assert verdict.worse
    assert verdict.reference == ""
    assert verdict.aspect == "errors"
    # a reference that hardly answered is none
    assert errors(Counts(requests=1_000, failed=40), Counts(requests=3, failed=3), RULE, total=1_000).worse


def test_few_requests_say_nothing() -> None:
    assert errors(Counts(requests=199, failed=199), None, RULE, total=199).worse is None


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ModelError, match="11 late and 0 failed of 10"):
        Counts(requests=10, late=11)
