"""A model file of one's own: found by its dotted path outside this package, trained, opened again."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mlplatform import plugins
from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.training import models
from mlplatform.stages.training.candidate import Metadata, assemble, open_model
from mlplatform.stages.training.contract import TrainingSet, tasks_of
from mlplatform.stages.training.models import scikit_learn

FILE = """
import json
import numpy as np
from mlplatform.errors import ConfigurationError
from mlplatform.stages.training.contract import as_batch, check_learnable, wrong_width

def build(**params):
    if params:
        raise ConfigurationError(f"got parameters {sorted(params)}; allowed: none.")
    return Estimator()

def load(files):
    return Model(**json.loads(files["model.json"]))

class Estimator:
    def fit(self, training):
        check_learnable(training)
        return Model(list(training.names), float(np.nanmedian(training.X[:, 0])))

class Model:
    def __init__(self, names, border):
        self.names, self.border = tuple(names), border

    def predict(self, X):
        return np.where(as_batch(X, self.names)[:, 0] > self.border, 0.75, 0.25)

    def row_scorer(self):
        def score(row):
            if len(row) != len(self.names):
                raise wrong_width(len(row), self.names)
            return 0.75 if row[0] > self.border else 0.25
        return score

    def files(self):
        return {"model.json": json.dumps({"names": self.names, "border": self.border}).encode()}
"""
ESTIMATOR = '''
import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

class Nearest(RegressorMixin, BaseEstimator):
    """Answers with the label of the nearest row."""

    def __init__(self, power=2.0):
        self.power = power

    def fit(self, X, y):
        self.X_, self.y_ = X, y
        return self

    def predict(self, X):
        apart = (np.abs(X[:, None, :] - self.X_[None, :, :]) ** self.power).sum(axis=2)
        return self.y_[apart.argmin(axis=1)]

class Helper:
    """Not an estimator."""

class WithHelper(Nearest):
    """Keeps a part that is no estimator."""

    def fit(self, X, y):
        self.helper_ = Helper()
        return super().fit(X, y)
'''


@pytest.fixture(scope="module")
def own_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("outside")
    package = folder / "bureau"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "border.py").write_text(FILE)
    (package / "nearest.py").write_text(ESTIMATOR)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield "bureau"


def training_set(regression: bool = False) -> TrainingSet:
    X = np.random.default_rng(0).normal(size=(300, 2))
    if regression:
        return TrainingSet(X, X[:, 0] * 3, ("a", "b"), task="regression")
    return TrainingSet(X, (X[:, 0] > 0).astype(np.float64), ("a", "b"))


def test_a_file_of_ones_own_is_found_trained_and_opened_again(own_package: str) -> None:
    kind, training = f"{own_package}.border", training_set()
    model = plugins.find(models, kind).build().fit(training)
    made = assemble("delays", kind, {}, model, training, b"{}", Metadata(rows=300, label_rate=0.5))
    assert open_model(made).predict(training.X).tolist() == model.predict(training.X).tolist()


def test_a_file_that_names_no_tasks_is_a_classifier(own_package: str) -> None:
    assert tasks_of(plugins.find(models, f"{own_package}.border")) == ("classification",)


def test_an_estimator_of_ones_own_goes_through_the_facade(own_package: str) -> None:
    training = training_set(regression=True)
    estimator = scikit_learn.build(estimator=f"{own_package}.nearest.Nearest", params={"power": 1.0})
    model = estimator.fit(training)
    loaded = scikit_learn.load(model.files())
    assert loaded.predict(training.X).tolist() == training.y.tolist()
    assert loaded.row_scorer()(training.X[5].tolist()) == training.y[5]


def test_parts_of_ones_own_that_are_no_estimators_are_refused(own_package: str) -> None:
    estimator = scikit_learn.build(estimator=f"{own_package}.nearest.WithHelper")
    with pytest.raises(ModelError, match=r"bureau.nearest.Helper.*allowed") as caught:
        estimator.fit(training_set(regression=True))
    assert caught.value.hint


def test_a_class_that_is_no_estimator_is_refused(own_package: str) -> None:
    with pytest.raises(ConfigurationError, match="BaseEstimator"):
        scikit_learn.build(estimator=f"{own_package}.nearest.Helper")
