"""What every model file must hold, run over each one that is found."""

from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest

from mlplatform import plugins
from mlplatform.errors import ConfigurationError, FeatureSetMismatch, ModelError
from mlplatform.stages.training import models
from mlplatform.stages.training.contract import MISSING, UNKNOWN, Floats, Model, TrainingSet

NAMES = ("carrier", "origin", "hour", "delay", "wind", "constant", "absent", "count", "distance")
CATEGORIES = {"carrier": 12, "origin": 3}


def rows(count: int, seed: int) -> Floats:
    """Rows with missing values, unseen and missing categories, large and constant columns."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(count, len(NAMES)))
    X[:, 0] = random.integers(MISSING, 12, count)
    X[:, 1] = random.integers(UNKNOWN, 3, count)
    X[:, 2] = random.integers(6, 12, count)
    X[:, 3] = np.round(X[:, 3] * 40)
    X[:, 4] = np.exp(X[:, 4] * 3)
    X[:, 5] = 7.25
    X[:, 7] = random.poisson(5, count)
    X[:, 8] = 1e9 + X[:, 8]
    X[:, 2:][random.random((count, len(NAMES) - 2)) < 0.1] = np.nan
    X[:, 6] = np.nan
    return X


def training_set(count: int = 3000, seed: int = 1) -> TrainingSet:
    X = rows(count, seed)
    logit = 0.03 * np.nan_to_num(X[:, 3]) + 0.3 * (X[:, 0] - 5) + 0.1 * (np.nan_to_num(X[:, 2]) - 9)
    y = (np.random.default_rng(seed + 1).random(count) < 1 / (1 + np.exp(-logit))).astype(np.float64)
    return TrainingSet(X, y, NAMES, CATEGORIES)


@pytest.fixture(scope="module", params=plugins.names(models))
def kind(request: pytest.FixtureRequest) -> ModuleType:
    return plugins.find(models, request.param)


@pytest.fixture(scope="module")
def training() -> TrainingSet:
    return training_set()


@pytest.fixture(scope="module")
def model(kind: ModuleType, training: TrainingSet) -> Model:
    fitted: Model = kind.build().fit(training)
    return fitted


def bits(scores: Floats | list[float]) -> bytes:
    return np.asarray(scores, dtype=np.float64).tobytes()


@pytest.fixture(scope="module")
def unseen() -> Floats:
    """2,000 rows the model was not trained on, the last ones of extreme kinds."""
    X = rows(2000, seed=2)
    X[-1] = np.nan
    X[-2, :2] = UNKNOWN
    X[-3, :2] = MISSING
    X[-4, :2] = 1000
    X[-5, 2:] = 1e300
    X[-6, 2:] = -1e300
    X[-7] = -0.0
    return X


def test_a_row_alone_scores_as_in_a_batch_to_the_bit(model: Model, unseen: Floats) -> None:
    score = model.row_scorer()
    alone = np.array([score(row) for row in unseen.tolist()])
    assert bits(alone) == bits(model.predict(unseen))


def test_the_size_of_the_batch_changes_no_bit(model: Model, unseen: Floats) -> None:
    many = np.tile(unseen, (5, 1))
    whole = model.predict(many)
    borders = [0, 1, 3, 300, 8193, len(many)]
    parts = [model.predict(many[a:b]) for a, b in pairwise(borders)]
    assert bits(np.concatenate(parts)) == bits(whole)


def test_two_scorers_do_not_disturb_each_other(model: Model, unseen: Floats) -> None:
    first, second = model.row_scorer(), model.row_scorer()
    lines = unseen[:200].tolist()
    mixed = [(first(a), second(b)) for a, b in zip(lines, reversed(lines), strict=True)]
    expected = model.predict(unseen[:200])
    assert bits([a for a, _ in mixed]) == bits(expected)
    assert bits([b for _, b in mixed]) == bits(expected[::-1])


def test_scores_are_probabilities_that_know_something(model: Model, unseen: Floats) -> None:
    scores = model.predict(unseen)
    assert scores.dtype == np.float64
    assert scores.shape == (len(unseen),)
    assert ((scores >= 0) & (scores <= 1)).all()
    fresh = training_set(seed=7)
    late, early = model.predict(fresh.X)[fresh.y == 1], model.predict(fresh.X)[fresh.y == 0]
    assert late.mean() > early.mean() + 0.03


def test_a_loaded_model_scores_and_saves_as_the_fitted_one(
    kind: ModuleType, model: Model, unseen: Floats
) -> None:
    loaded = kind.load(model.files())
    assert bits(loaded.predict(unseen)) == bits(model.predict(unseen))
    score, original = loaded.row_scorer(), model.row_scorer()
    assert bits([score(row) for row in unseen.tolist()]) == bits([original(row) for row in unseen.tolist()])
    assert loaded.names == model.names
    assert loaded.files() == model.files()


def test_training_twice_gives_the_same_bytes(kind: ModuleType, training: TrainingSet, model: Model) -> None:
    assert kind.build().fit(training).files() == model.files()
    assert kind.build().fit(training_set(seed=9)).files() != model.files()


def test_the_input_is_left_as_it_was(kind: ModuleType, unseen: Floats) -> None:
    data = training_set(count=1000)
    before = bits(data.X), bits(data.y), bits(unseen)
    kind.build().fit(data).predict(unseen)
    assert (bits(data.X), bits(data.y), bits(unseen)) == before


def test_names_keep_their_order(model: Model) -> None:
    assert model.names == NAMES


def test_the_layout_of_the_input_in_memory_does_not_matter(model: Model, unseen: Floats) -> None:
    assert bits(model.predict(np.asfortranarray(unseen))) == bits(model.predict(unseen))
    assert bits(model.predict(np.repeat(unseen, 2, axis=0)[::2])) == bits(model.predict(unseen))


def test_no_rows_give_no_scores(model: Model) -> None:
    scores = model.predict(np.empty((0, len(NAMES))))
    assert scores.shape == (0,)
    assert scores.dtype == np.float64


@pytest.mark.parametrize("width", [0, len(NAMES) - 1, len(NAMES) + 1])
def test_another_width_is_refused(model: Model, width: int) -> None:
    with pytest.raises(FeatureSetMismatch, match=f"{len(NAMES)} features"):
        model.predict(np.zeros((4, width)))
    with pytest.raises(FeatureSetMismatch, match=f"{width} values"):
        model.row_scorer()([0.0] * width)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_is_refused_with_a_hint(kind: ModuleType, training: TrainingSet, label: float) -> None:
    constant = TrainingSet(training.X, np.full_like(training.y, label), NAMES, CATEGORIES)
    with pytest.raises(ModelError, match="both 0 and 1") as caught:
        kind.build().fit(constant)
    assert caught.value.hint


@pytest.mark.parametrize(("column", "value"), [(3, np.inf), (0, 12.0), (0, 0.5), (1, -3.0)])
def test_values_outside_the_contract_are_refused(kind: ModuleType, column: int, value: float) -> None:
    data = training_set(count=500)
    data.X[17, column] = value
    with pytest.raises(ModelError, match=NAMES[column]):
        kind.build().fit(data)


def test_an_unknown_parameter_is_refused(kind: ModuleType) -> None:
    with pytest.raises(ConfigurationError, match=r"got parameters \['colour'\]; allowed: \w+") as caught:
        kind.build(colour="red")
    assert caught.value.hint


def test_files_of_something_else_are_refused(kind: ModuleType, model: Model) -> None:
    (name,) = model.files()
    for content in (b"", b"{}", b'{"kind":"other"}', b"\x80\x04K\x01."):
        with pytest.raises(ModelError):
            kind.load({name: content})
    with pytest.raises(ModelError):
        kind.load({})
