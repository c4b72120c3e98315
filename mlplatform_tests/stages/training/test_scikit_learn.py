"""The facade for scikit-learn: any estimator by path and bytes without chance."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.training.contract import MISSING, Task, TrainingSet
from mlplatform.stages.training.models import scikit_learn

FOREST = {"estimator": "sklearn.ensemble.RandomForestClassifier", "params": {"n_estimators": 5}}
NEIGHBOURS = {"estimator": "sklearn.neighbors.KNeighborsClassifier", "params": {"n_neighbors": 5}}

PCA = {"estimator": "sklearn.decomposition.PCA"}


def training_set(task: Task = "classification", rows: int = 400, seed: int = 0) -> TrainingSet:
    random = np.random.default_rng(seed)
    X = np.column_stack([random.integers(MISSING, 4, rows), random.normal(size=(rows, 3))])
    y = X[:, 1] + X[:, 2]
    X[::9, 3] = np.nan
    return TrainingSet(
        X, (y > 0).astype(np.float64) if task == "classification" else y, ("c", "a", "b", "d"), {"c": 4}, task
    )


def fitted(task: Task = "classification", **params: Any) -> scikit_learn.ScikitLearn:
    model = scikit_learn.build(**params).fit(training_set(task))
    assert isinstance(model, scikit_learn.ScikitLearn)
    return model


@pytest.mark.parametrize(
    ("task", "estimator", "params"),
    [
        ("classification", "sklearn.neighbors.KNeighborsClassifier", {"weights": "distance"}),
        ("classification", "sklearn.naive_bayes.GaussianNB", {}),
        ("classification", "sklearn.neural_network.MLPClassifier", {"max_iter": 5}),
        ("classification", "sklearn.ensemble.GradientBoostingClassifier", {"n_estimators": 5}),
        ("regression", "sklearn.svm.SVR", {}),
        ("regression", "sklearn.linear_model.HuberRegressor", {}),
        ("clustering", "sklearn.mixture.GaussianMixture", {"n_components": 3}),
        (
            "classification",
            "sklearn.calibration.CalibratedClassifierCV",
            {"estimator": {"estimator": "sklearn.svm.LinearSVC", "params": {"C": 0.5}}},
        ),
        (
            "regression",
            "sklearn.pipeline.Pipeline",
            {"steps": [["pca", PCA], ["ridge", {"estimator": "sklearn.linear_model.Ridge"}]]},
        ),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_estimators_keep_the_contract(task: Task, estimator: str, params: dict[str, Any]) -> None:
    model = fitted(task, estimator=estimator, params=params)
    X = training_set(seed=5, rows=60).X
    X[-1], X[-2, 1:] = np.nan, 1e300
    scores, score = model.predict(X), model.row_scorer()
    assert np.array([score(row) for row in X.tolist()]).tobytes() == scores.tobytes()
    assert fitted(task, estimator=estimator, params=params).files() == model.files()
    assert scikit_learn.load(model.files()).predict(X).tobytes() == scores.tobytes()


def test_neighbours_are_those_of_scikit_learn() -> None:
    data = training_set()
    columns = [(data.X[:, 0] == code).astype(float) for code in (*range(4), MISSING, -1)]
    for x in data.X[:, 1:].T:
        filled = np.where(np.isnan(x), np.nanmedian(x), x)
        columns.append((filled - filled.mean()) / filled.std())
    design = np.column_stack([*columns, np.isnan(data.X[:, 3])])
    theirs = KNeighborsClassifier(5).fit(design, data.y).predict_proba(design)[:, 1]
    np.testing.assert_allclose(fitted(**NEIGHBOURS).predict(data.X), theirs, atol=1e-12)


def test_only_trees_are_given_batches() -> None:
    assert fitted(**FOREST).in_batches
    assert not fitted(**NEIGHBOURS).in_batches


def test_features_as_they_are_reach_an_estimator_that_takes_missing_values() -> None:
    model = fitted(**FOREST, columns="as_is")
    X = training_set(seed=3).X
    X[0] = 1e300
    score = model.row_scorer()
    assert np.array([score(row) for row in X.tolist()]).tobytes() == model.predict(X).tobytes()
    with pytest.raises(ModelError, match="NaN") as caught:
        fitted(**NEIGHBOURS, columns="as_is")
    assert "standardised" in caught.value.hint


def test_threads_to_fit_with_do_not_stay_to_predict() -> None:
    params = {"n_estimators": 5, "n_jobs": 2}
    assert (
        fitted(**FOREST | {"params": params}).files()
        == fitted(**FOREST | {"params": params | {"n_jobs": 1}}).files()
    )


def test_the_bytes_are_the_same_in_another_process() -> None:
    code = (
        "import sys; from mlplatform_tests.stages.training.test_scikit_learn import NEIGHBOURS, fitted; "
        "sys.stdout.buffer.write(fitted(**NEIGHBOURS).files()['estimator.skops'])"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert other == fitted(**NEIGHBOURS).files()["estimator.skops"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"estimator": "os.system"}, "dotted path"),
        ({"estimator": "KNeighborsClassifier"}, "dotted path"),
        ({"estimator": "sklearn.neighbors.Nothing"}, "BaseEstimator"),
        ({"estimator": "no_such_package.Model"}, "no estimator"),
        ({"estimator": "sklearn.utils.Bunch"}, "BaseEstimator"),
        ({"estimator": "sklearn.svm.SVC", "params": {"colour": 1}}, r"got params \['colour'\].*kernel"),
        ({"estimator": "sklearn.ensemble.VotingClassifier"}, "refuses its params"),
        ({}, "estimator"),
    ],
)  # fmt: skip
def test_declarations_are_refused_before_training(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        scikit_learn.build(**params)


@pytest.mark.parametrize(
    ("task", "estimator"),
    [
        ("classification", "sklearn.svm.LinearSVC"),
        ("classification", "sklearn.linear_model.Ridge"),
        ("regression", "sklearn.neighbors.KNeighborsClassifier"),
        ("clustering", "sklearn.cluster.DBSCAN"),
        ("clustering", "sklearn.linear_model.Ridge"),
    ],
)
def test_an_estimator_of_another_task_is_refused(task: Task, estimator: str) -> None:
    with pytest.raises(ConfigurationError, match=f"in {task}; allowed") as caught:
        fitted(task, estimator=estimator)
    assert caught.value.hint


def test_what_skops_cannot_save_is_refused() -> None:
    with pytest.raises(ModelError, match="without code"):
        fitted("clustering", estimator="sklearn.cluster.Birch")


def test_values_scikit_learn_refuses_are_told_in_its_words() -> None:
    with pytest.raises(ModelError, match="n_neighbors"):
        fitted(estimator="sklearn.neighbors.KNeighborsClassifier", params={"n_neighbors": -3})
