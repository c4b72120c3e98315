"""k-means: the centres are scikit-learn's, their numbers are not chance, ties go to the lowest."""

import msgspec
import numpy as np
import pytest
from sklearn.cluster import KMeans as SklearnKMeans

from mlplatform.errors import ModelError
from mlplatform.stages.training.contract import UNKNOWN, TrainingSet
from mlplatform.stages.training.models import k_means


def blobs(rows: int = 900, seed: int = 0) -> TrainingSet:
    """Three blobs in two numbers; the blob decides a category, too."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, rows)
    X = np.array([[0.0, 0.0], [90.0, 10.0], [30.0, 80.0]])[truth] + random.normal(size=(rows, 2))
    X[::50, 0] = np.nan
    return TrainingSet(
        np.column_stack([truth.astype(np.float64), X]),
        np.full(rows, np.nan),
        ("blob", "a", "b"),
        {"blob": 4},
        "clustering",
    )


def test_rows_go_where_scikit_learn_puts_them() -> None:
    data = blobs()
    columns = [(data.X[:, 0] == code).astype(float) for code in range(3)]
    for x in data.X[:, 1:].T:
        filled = np.where(np.isnan(x), np.nanmedian(x), x)
        columns.append((filled - filled.mean()) / filled.std())
    theirs = SklearnKMeans(3, n_init=10, random_state=0).fit_predict(np.column_stack(columns))
    ours = k_means.build(n_clusters=3).fit(data).predict(data.X)
    assert len(set(zip(ours.tolist(), theirs.tolist(), strict=True))) == 3


def test_another_seed_finds_the_same_blobs_under_the_same_numbers() -> None:
    data = blobs()
    numbers = [k_means.build(n_clusters=3, seed=s).fit(data).predict(data.X).tolist() for s in (0, 1, 2)]
    assert numbers[0] == numbers[1] == numbers[2]


def test_of_two_centres_equally_near_the_lower_number_wins() -> None:
    X = np.array([[-1.0], [-1.0], [1.0], [1.0]])
    model = k_means.build(n_clusters=2).fit(TrainingSet(X, np.zeros(4), ("a",), task="clustering"))
    assert model.predict(np.array([[-1.0], [0.0], [1.0], [np.nan]])).tolist() == [0.0, 0.0, 1.0, 0.0]
    score = model.row_scorer()
    assert [score([x]) for x in (-1.0, 0.0, 1.0, np.nan)] == [0.0, 0.0, 1.0, 0.0]


def test_an_unknown_category_leaves_the_numbers_to_decide() -> None:
    data = blobs()
    model = k_means.build(n_clusters=3).fit(data)
    unknown = data.X.copy()
    unknown[:, 0] = UNKNOWN
    assert model.predict(unknown).tolist() == model.predict(data.X).tolist()


def test_more_clusters_than_different_rows_are_refused() -> None:
    X = np.array([[1.0], [2.0], [2.0], [1.0]])
    with pytest.raises(ModelError, match="2 different rows for 3 clusters") as caught:
        k_means.build(n_clusters=3).fit(TrainingSet(X, np.zeros(4), ("a",), task="clustering"))
    assert caught.value.hint


@pytest.mark.parametrize("change", [{"centres": []}, {"centres": [[0.0]]}, {"columns": []}])
def test_centres_of_another_space_are_refused(change: dict[str, object]) -> None:
    saved = msgspec.json.decode(k_means.build(n_clusters=3).fit(blobs()).files()["model.json"]) | change
    with pytest.raises(ModelError, match="cannot read"):
        k_means.load({"model.json": msgspec.json.encode(saved)})
