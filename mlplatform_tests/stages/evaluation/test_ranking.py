"""Ranking figures: against hand-computed values and scikit-learn, ties included."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from mlplatform.errors import ModelError
from mlplatform.stages.evaluation.evaluators import ranking

groups = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=2, max_size=9), min_size=1, max_size=5
)


def test_by_hand() -> None:
    # Group a puts its best first; group b puts its best (3) second after a 1, and loses 2.
    y = np.array([2.0, 0.0, 1.0, 3.0])
    p = np.array([0.9, 0.1, 0.8, 0.7])
    figures = ranking.evaluate(y, p, np.array(["a", "a", "b", "b"])).figures
    second = (1 + 3 / np.log2(3)) / (3 + 1 / np.log2(3))
    assert figures["ndcg_at_5"] == pytest.approx((1 + second) / 2)
    assert (figures["hit_rate_at_1"], figures["hit_rate_at_5"], figures["groups"]) == (0.5, 1.0, 2.0)
    assert figures["top1_regret"] == pytest.approx((0 + 2) / 2)


def test_ties_are_not_broken_in_favour_of_the_model() -> None:
    y, p = np.array([4.0, 0.0, 0.0, 0.0]), np.full(4, 0.5)
    figures = ranking.evaluate(y, p, np.zeros(4)).figures
    assert figures["hit_rate_at_1"] == 0.0
    assert figures["top1_regret"] == pytest.approx(3.0)


@given(groups)
def test_ndcg_agrees_with_scikit_learn(made: list[list[tuple[int, int]]]) -> None:
    held = [group for group in made if any(y for y, _ in group)]
    assume(held)
    expected = [
        ndcg_score([[y for y, _ in group]], [[p for _, p in group]], k=ranking.K, ignore_ties=False)
        for group in held
    ]
    y, p = (
        np.array(c, dtype=np.float64) for c in zip(*(row for group in made for row in group), strict=True)
    )
    ids = np.repeat(np.arange(len(made)), [len(group) for group in made])
    figures = ranking.evaluate(y, p, ids).figures
    assert figures[f"ndcg_at_{ranking.K}"] == pytest.approx(float(np.mean(expected)), abs=1e-9)


def test_groups_without_a_relevance_have_no_ndcg() -> None:
    figures = ranking.evaluate(np.zeros(4), np.arange(4.0), np.array([0, 0, 1, 1])).figures
    assert "ndcg_at_5" not in figures
    assert figures["top1_regret"] == 0.0


def test_what_the_first_place_is_worth_is_the_mean_over_ties_of_what_is_known() -> None:
    y, p = np.array([2.0, 0.0, 1.0, 3.0]), np.array([0.9, 0.9, 0.8, 0.7])
    ids = np.array([0, 0, 1, 1])
    assert ranking.evaluate(y, p, ids).figures["top1_mean"] == pytest.approx((1.0 + 1.0) / 2)
    minutes = np.array([-5.0, 7.0, 30.0, -2.0])
    assert ranking.evaluate(y, p, ids, minutes).figures["top1_mean"] == pytest.approx((1.0 + 30.0) / 2)
    minutes[0] = np.nan
    assert ranking.evaluate(y, p, ids, minutes).figures["top1_mean"] == pytest.approx((7.0 + 30.0) / 2)
    minutes[2] = np.nan
    assert ranking.evaluate(y, p, ids, minutes).figures["top1_mean"] == pytest.approx(7.0)
    assert "top1_mean" not in ranking.evaluate(y, p, ids, np.full(4, np.nan)).figures


def test_a_worth_of_other_rows_is_refused() -> None:
    with pytest.raises(ModelError, match=r"worths of shape \(3,\)"):
        ranking.evaluate(np.ones(4), np.ones(4), np.zeros(4), np.ones(3))
