"""Figures against hand-computed values and against scikit-learn, ties included."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics

from mlplatform.errors import ModelError
from mlplatform.stages.evaluation.evaluators import calibration, log_loss, precision_recall, roc
from mlplatform.stages.evaluation.values import Floats

rows = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8).map(lambda n: n / 8)), min_size=2, max_size=60)


def columns(pairs: list[tuple[int, float]]) -> tuple[Floats, Floats]:
    y = np.array([label for label, _ in pairs], dtype=np.float64)
    p = np.array([score for _, score in pairs], dtype=np.float64)
    assume(0 < y.sum() < len(y))
    return y, p


def test_auc_counts_a_tie_as_half() -> None:
    # Of the 4 pairs (positive, negative): 0.8>0.5, 0.8>0.1, 0.5=0.5, 0.5>0.1 -> 3.5 of 4.
    y, p = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.8, 0.5, 0.5, 0.1])
    assert roc.evaluate(y, p).figures == {"roc_auc": 3.5 / 4}


def test_auc_of_a_constant_is_one_half() -> None:
    assert roc.evaluate(np.array([1.0, 0.0, 0.0]), np.full(3, 0.3)).figures == {"roc_auc": 0.5}


def test_average_precision_by_hand() -> None:
    # Positives at ranks 1 and 3: 1/2 * 1/1 + 1/2 * 2/3.
    y, p = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.8, 0.7, 0.1])
    assert precision_recall.evaluate(y, p).figures["average_precision"] == pytest.approx(5 / 6, abs=1e-15)


def test_ece_by_hand() -> None:
    # Bin [0, 1/15) has 0.02 and 0.04, one of two comes true: |0.5 - 0.03|; bin [13/15, 14/15) is 0.9 off.
    y, p = np.array([0.0, 1.0, 0.0]), np.array([0.02, 0.04, 0.9])
    figures = calibration.evaluate(y, p).figures
    assert figures["ece"] == pytest.approx(2 / 3 * 0.47 + 1 / 3 * 0.9, abs=1e-15)
    assert figures["mean_score"] == pytest.approx(0.32, abs=1e-15)


@pytest.mark.parametrize("edge", [k / 15 for k in range(1, 15)])
def test_a_score_on_an_edge_belongs_to_the_upper_bin(edge: float) -> None:
    below = np.nextafter(edge, 0.0)
    counts, _, _ = calibration.reliability(np.array([0.0, 1.0]), np.array([below, edge]))
    assert counts.tolist() == [1.0, 1.0]


def test_one_and_zero_fall_into_the_last_and_first_bin() -> None:
    assert calibration.evaluate(np.array([0.0, 1.0]), np.array([0.0, 1.0])).figures["ece"] == 0.0


def test_log_loss_and_brier_by_hand() -> None:
    figures = log_loss.evaluate(np.array([1.0, 0.0]), np.array([0.8, 0.4])).figures
    assert figures["log_loss"] == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2, abs=1e-15)
    assert figures["brier"] == pytest.approx((0.04 + 0.16) / 2, abs=1e-15)


def test_a_certain_and_wrong_score_stays_finite() -> None:
    assert 0 < log_loss.evaluate(np.array([1.0, 0.0]), np.array([0.0, 1.0])).figures["log_loss"] < 40


@given(rows)
def test_figures_agree_with_scikit_learn(pairs: list[tuple[int, float]]) -> None:
    y, p = columns(pairs)
    loss = log_loss.evaluate(y, p).figures
    assert roc.evaluate(y, p).figures["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, p), abs=1e-12)
    assert precision_recall.evaluate(y, p).figures["average_precision"] == pytest.approx(
        metrics.average_precision_score(y, p), abs=1e-12
    )
    assert loss["log_loss"] == pytest.approx(metrics.log_loss(y, p), rel=1e-9, abs=1e-12)
    assert loss["brier"] == pytest.approx(metrics.brier_score_loss(y, p), abs=1e-12)


@given(rows, st.randoms(use_true_random=False))
def test_ranking_figures_do_not_depend_on_the_order_of_rows(pairs: list[tuple[int, float]], random) -> None:
    y, p = columns(pairs)
    order = list(range(len(y)))
    random.shuffle(order)
    for evaluator in (roc, precision_recall):
        assert evaluator.evaluate(y, p).figures == evaluator.evaluate(y[order], p[order]).figures


@given(rows)
def test_auc_of_the_opposite_score_is_the_rest(pairs: list[tuple[int, float]]) -> None:
    y, p = columns(pairs)
    both = roc.evaluate(y, p).figures["roc_auc"] + roc.evaluate(y, 1.0 - p).figures["roc_auc"]
    assert both == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("y", "p", "said"),
    [
        ([0.0, 1.0], [0.5], r"shape \(2,\) and scores of shape \(1,\)"),
        ([0.0, 1.0], [0.5, math.nan], "1 of 2 scores outside .* first nan in row 1"),
        ([0.0, 1.0], [1.5, math.inf], "2 of 2 scores outside .* first 1.5 in row 0"),
        ([0.0, math.nan], [0.5, 0.5], "neither 0 nor 1, the first nan in row 1"),
        ([0.0, 0.5], [0.5, 0.5], "neither 0 nor 1, the first 0.5 in row 1"),
        ([1.0, 1.0], [0.5, 0.5], "2 rows, 2 of them labelled 1"),
        ([], [], "0 rows, 0 of them"),
    ],
)
def test_what_cannot_be_judged_is_refused(y: list[float], p: list[float], said: str) -> None:
    with pytest.raises(ModelError, match=said) as refusal:
        roc.evaluate(np.array(y), np.array(p))
    assert refusal.value.hint
