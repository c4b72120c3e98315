"""Confusion and gain: against hand-computed values and scikit-learn."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics

from mlplatform.errors import ModelError
from mlplatform.stages.evaluation.evaluators import confusion, gain

rows = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8).map(lambda n: n / 8)), min_size=2, max_size=60)


def test_confusion_by_hand() -> None:
    # Called 1: 0.9 (hit), 0.5 (false alarm); called 0: 0.4 (miss), 0.1 and 0.2 (rightly quiet).
    y, p = np.array([1.0, 0.0, 1.0, 0.0, 0.0]), np.array([0.9, 0.5, 0.4, 0.1, 0.2])
    said = confusion.evaluate(y, p)
    assert said.figures == {"accuracy": 0.6, "recall": 0.5, "f1": 0.5, "precision": 0.5}
    assert said.picture is not None
    assert [bar.text for bar in said.picture.bars] == ["1 (20.0%)", "1 (20.0%)", "1 (20.0%)", "2 (40.0%)"]
    assert confusion.evaluate(y, p, threshold=0.3).figures["recall"] == 1.0


def test_nothing_called_positive_has_no_precision() -> None:
    figures = confusion.evaluate(np.array([1.0, 0.0]), np.array([0.1, 0.2])).figures
    assert figures == {"accuracy": 0.5, "recall": 0.0, "f1": 0.0}


@given(rows, st.sampled_from([0.125, 0.3, 0.5, 0.9]))
def test_confusion_agrees_with_scikit_learn(pairs: list[tuple[int, float]], threshold: float) -> None:
    y, p = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    assume(0 < y.sum() < len(y))
    figures, called = confusion.evaluate(y, p, threshold=threshold).figures, p >= threshold
    assert figures["accuracy"] == pytest.approx(metrics.accuracy_score(y, called))
    assert figures["recall"] == pytest.approx(metrics.recall_score(y, called))
    assert figures["f1"] == pytest.approx(metrics.f1_score(y, called))
    assert figures.get("precision", 0.0) == pytest.approx(metrics.precision_score(y, called, zero_division=0))


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, float("nan")])
def test_a_threshold_that_is_none_is_refused(threshold: float) -> None:
    with pytest.raises(ModelError, match="got threshold"):
        confusion.evaluate(np.array([1.0, 0.0]), np.array([0.1, 0.2]), threshold=threshold)


def test_gain_by_hand() -> None:
    # 20 rows, 4 positives; the highest two scores hold two of them: half of them in a tenth of the rows.
    p = np.linspace(0.99, 0.01, 20)
    y = np.zeros(20)
    y[[0, 1, 7, 12]] = 1.0
    assert gain.evaluate(y, p).figures == {"top_decile_gain": 0.5, "top_decile_lift": 5.0}


def test_a_constant_score_has_a_lift_of_one() -> None:
    y = (np.arange(37) % 3 == 0).astype(np.float64)
    figures = gain.evaluate(y, np.full(37, 0.3)).figures
    assert figures["top_decile_lift"] == pytest.approx(1.0, abs=1e-12)


def test_a_perfect_score_has_the_highest_lift_that_there_is() -> None:
    y = (np.arange(1_000) < 200).astype(np.float64)
    assert gain.evaluate(y, y).figures["top_decile_lift"] == pytest.approx(5.0)
