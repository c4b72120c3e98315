"""Page-Hinkley: a rise is seen soon, a fall never, false alarms are as rare as the theory says."""

import math

import msgspec
import numpy as np
import pytest

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.monitoring.page_hinkley import PageHinkley


def first_alarm(test: PageHinkley, values: np.ndarray) -> int | None:
    return next((at for at, value in enumerate(values.tolist()) if test.update(value)), None)


def test_a_rise_is_seen_after_about_the_threshold_over_the_rise() -> None:
    random = np.random.default_rng(1)
    delays = []
    for _ in range(20):
        values = np.concatenate([random.normal(0.4, 0.2, 2_000), random.normal(0.5, 0.2, 1_000)])
        at = first_alarm(PageHinkley(), values)
        assert at is not None
        assert at >= 2_000
        delays.append(at - 2_000)
    assert 75 <= np.median(delays) <= 200  # half a deviation; the doctext says 125


def test_a_fall_is_no_alarm() -> None:
    random = np.random.default_rng(2)
    values = np.concatenate([random.normal(0.5, 0.2, 2_000), random.normal(0.2, 0.2, 4_000)])
    assert first_alarm(PageHinkley(), values) is None


@pytest.mark.parametrize("skewed", [False, True], ids=["normal", "exponential"])
def test_false_alarms_are_as_rare_as_siegmund_says(skewed: bool) -> None:
    """At a threshold low enough to have alarms at all: 10 instead of 50."""
    random, length, alarms, values = np.random.default_rng(3), 4_000, 0, 0
    for _ in range(50):
        test = PageHinkley(threshold=10.0)
        stream = random.exponential(1.0, length) if skewed else random.normal(0.0, 1.0, length)
        alarms += sum(test.update(value) for value in stream.tolist())
        values += length
    b = 2 * 0.1 * (10.0 + 1.17)
    between = (math.exp(b) - b - 1.0) / (2 * 0.1**2)
    assert values / between / 2 < alarms < values / between * 2


def test_no_false_alarm_by_the_defaults_in_200_000_values() -> None:
    random = np.random.default_rng(4)
    test = PageHinkley()
    assert first_alarm(test, random.exponential(0.45, 200_000)) is None


def test_the_state_goes_on_where_it_stopped() -> None:
    random = np.random.default_rng(5)
    values = np.concatenate([random.normal(0, 1, 500), random.normal(1, 1, 500)])
    whole, parted = PageHinkley(), PageHinkley()
    for value in values.tolist():
        parted = msgspec.json.decode(msgspec.json.encode(parted), type=PageHinkley)
        assert parted.update(value) == whole.update(value)
        assert parted == whole
    assert whole.alarms == 1


def test_constant_errors_are_no_alarm() -> None:
    assert first_alarm(PageHinkley(), np.full(5_000, 0.3)) is None


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="delta = -1"):
        PageHinkley(delta=-1.0)
    with pytest.raises(ModelError, match="nan"):
        PageHinkley().update(math.nan)
