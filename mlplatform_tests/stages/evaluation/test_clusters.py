"""Silhouette and inertia: against hand-computed values and scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics
from sklearn.cluster import KMeans

from mlplatform.stages.evaluation.evaluators import silhouette
from mlplatform.stages.evaluation.values import Floats


def clusters(rows: int, count: int = 4, apart: float = 6.0) -> tuple[Floats, Floats]:
    random = np.random.default_rng(9)
    own = random.integers(0, count, rows)
    return own.astype(np.float64), random.normal(0, 1, (rows, 3)) + apart * own[:, None]


def test_silhouette_by_hand() -> None:
    # Row at 0: a = 1, b = mean of 9 and 10 -> 8.5/9.5; row at 1: a = 1, b = 8.5 -> 7.5/8.5; mirrored.
    X, p = np.array([[0.0], [1.0], [9.0], [10.0]]), np.array([0.0, 0.0, 1.0, 1.0])
    figures = silhouette.evaluate(p, p, X).figures
    assert figures["silhouette"] == pytest.approx((8.5 / 9.5 + 7.5 / 8.5) / 2)
    assert figures["inertia"] == pytest.approx(1.0)
    assert (figures["clusters"], figures["smallest_cluster_share"]) == (2.0, 0.5)


@pytest.mark.parametrize("apart", [0.0, 1.0, 6.0])
def test_agrees_with_scikit_learn(apart: float) -> None:
    p, X = clusters(500, apart=apart)
    assert silhouette.silhouettes(p, X) == pytest.approx(metrics.silhouette_samples(X, p), abs=1e-7)


def test_a_row_alone_in_its_cluster_counts_nothing() -> None:
    X, p = np.array([[0.0], [1.0], [9.0]]), np.array([0.0, 0.0, 5.0])
    assert silhouette.silhouettes(p, X).tolist()[2] == 0.0


def test_rows_that_are_all_alike_are_not_apart() -> None:
    p = np.array([0.0, 0.0, 1.0, 1.0])
    assert silhouette.silhouettes(p, np.ones((4, 2))).tolist() == [0.0] * 4


def test_inertia_is_that_of_k_means() -> None:
    _, X = clusters(800)
    fitted = KMeans(4, n_init=3, random_state=0).fit(X)
    figures = silhouette.evaluate(np.zeros(800), fitted.labels_.astype(np.float64), X).figures
    assert figures["inertia"] == pytest.approx(fitted.inertia_, rel=1e-3)


def test_many_rows_are_sampled_close_to_the_whole() -> None:
    p, X = clusters(6_000, apart=2.0)
    figures = silhouette.evaluate(p, p, X).figures
    assert figures["silhouette"] == pytest.approx(metrics.silhouette_score(X, p), abs=0.03)
