"""What every model file must hold in every task it serves, run over each one that is found."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from mlplatform import plugins
from mlplatform.errors import ConfigurationError, FeatureSetMismatch, ModelError
from mlplatform.stages.training import models
from mlplatform.stages.training.candidate import check_golden, golden_rows, make_golden
from mlplatform.stages.training.contract import TASKS, Floats, Model, Task, TrainingSet, tasks_of
from mlplatform_tests.conformance import taught
from mlplatform_tests.conformance.taught import SEASON, names_of, training_set

SKLEARN: dict[Task, dict[str, Any]] = {
    "classification": {"estimator": "sklearn.linear_model.LogisticRegression"},
    "regression": {"estimator": "sklearn.ensemble.ExtraTreesRegressor", "params": {"n_estimators": 10}},
    "clustering": {"estimator": "sklearn.cluster.KMeans", "params": {"n_clusters": 3}},
    "forecasting": {"estimator": "sklearn.linear_model.Ridge"},
}
"""The facade needs an estimator: one that is asked row by row, one that is given batches."""
QUICK: dict[str, dict[str, Any]] = {
    "lightgbm": {"num_threads": 1},  # two threads that wait for a busy processor spin for seconds
    "histogram_gradient_boosting": {"max_iter": 30},
    "random_forest": {"n_estimators": 30, "n_jobs": 1},
    "seasonal_naive": {"season": SEASON},
    "arima": {"seasonal_order": [0, 1, 1, SEASON], "series": "origin", "fit_steps": 300},
    "recommender": {"user": ["carrier"], "item": ["origin"], "factors": 2, "sweeps": 4},
}
"""What else differs from the defaults: for the sake of time, or because it names features."""


OF_TASK: dict[tuple[str, Task], dict[str, Any]] = {
    ("rate_table", "forecasting"): {"by": ["origin", "step"]},
}
SCRIPT = Path(__file__).parent / "train_by_script.py"
"""A script of one's own. It may serve every task; as each fit starts a process, two stand for all."""


class Case(NamedTuple):
    """A model file in one of its tasks."""

    kind: str
    task: Task

    @property
    def file(self) -> ModuleType:
        return plugins.find(models, self.kind)

    @property
    def params(self) -> dict[str, Any]:
        if self.kind == "scikit_learn":
            return SKLEARN.get(self.task, SKLEARN["classification"])
        if self.kind == "script":
            return {"path": str(SCRIPT)}
        return OF_TASK.get((self.kind, self.task), QUICK.get(self.kind, {}))

    def fit(self, training: TrainingSet) -> Model:
        fitted: Model = self.file.build(**self.params).fit(training)
        return fitted


CASES = [
    Case(kind, task)
    for kind in plugins.names(models)
    for task in tasks_of(plugins.find(models, kind))
    if kind != "script" or task in ("classification", "forecasting")
]
REFUSED = [
    Case(kind, task)
    for kind in plugins.names(models)
    for task in TASKS
    if task not in tasks_of(plugins.find(models, kind))
]


def relabelled(training: TrainingSet, y: Floats) -> TrainingSet:
    return replace(training, y=y)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case.kind}-{case.task}")
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(scope="module")
def training(case: Case) -> TrainingSet:
    return training_set(task=case.task)


@pytest.fixture(scope="module")
def model(case: Case, training: TrainingSet) -> Model:
    return case.fit(training)


def bits(scores: Floats | list[float]) -> bytes:
    return np.asarray(scores, dtype=np.float64).tobytes()


@pytest.fixture(scope="module")
def unseen(case: Case) -> Floats:
    return taught.unseen(case.task)


def test_a_row_alone_scores_as_in_a_batch_to_the_bit(model: Model, unseen: Floats) -> None:
    score = model.row_scorer()
    alone = np.array([score(row) for row in unseen.tolist()])
    assert bits(alone) == bits(model.predict(unseen))


def test_the_size_of_the_batch_changes_no_bit(case: Case, model: Model, unseen: Floats) -> None:
    """Over the borders of every block a model may work in; the facade has none, and 1 ms a row."""
    many = np.tile(unseen, (1 if case.kind == "scikit_learn" else 12, 1))
    whole = model.predict(many)
    borders = sorted({0, 1, 3, 300, min(8193, len(many)), len(many)})
    parts = [model.predict(many[a:b]) for a, b in pairwise(borders)]
    assert bits(np.concatenate(parts)) == bits(whole)


def test_two_scorers_do_not_disturb_each_other(model: Model, unseen: Floats) -> None:
    first, second = model.row_scorer(), model.row_scorer()
    lines = unseen[:200].tolist()
    mixed = [(first(a), second(b)) for a, b in zip(lines, reversed(lines), strict=True)]
    expected = model.predict(unseen[:200])
    assert bits([a for a, _ in mixed]) == bits(expected)
    assert bits([b for _, b in mixed]) == bits(expected[::-1])


def test_scores_are_what_the_task_calls_for(case: Case, model: Model, unseen: Floats) -> None:
    scores = model.predict(unseen)
    assert scores.dtype == np.float64
    assert scores.shape == (len(unseen),)
    assert np.isfinite(scores).all()
    if case.task == "classification":
        assert ((scores >= 0) & (scores <= 1)).all()
    if case.task == "clustering":
        assert (scores == np.floor(scores)).all()
        assert ((scores >= 0) & (scores < 8)).all()


def log_loss(y: Floats, p: Floats) -> float:
    return float(-np.log(np.where(y == 1, p, 1 - p)).mean())


def squared_error(y: Floats, p: Floats) -> float:
    return float(((y - p) ** 2).mean())


def beats_the_constant(case: Case, model: Model, training: TrainingSet) -> None:
    loss: Callable[[Floats, Floats], float] = log_loss if case.task == "classification" else squared_error
    fresh = training_set(seed=7, task=case.task)
    constant = loss(fresh.y, np.full(len(fresh.y), training.y.mean()))
    if case.kind == "constant":
        assert loss(fresh.y, model.predict(fresh.X)) == pytest.approx(constant)
    else:
        assert loss(fresh.y, model.predict(fresh.X)) < 0.95 * constant


def puts_the_relevant_first(case: Case, model: Model, training: TrainingSet) -> None:
    """Of two rows of a group, the better one has the higher score; of equal scores half would be right."""
    fresh = training_set(seed=7, task=case.task)
    same_group = fresh.queries[:, None] == fresh.queries[None, :]
    better = same_group & (fresh.y[:, None] > fresh.y[None, :])
    scores = model.predict(fresh.X)
    right = (scores[:, None] > scores[None, :])[better].mean()
    assert right == 0.0 if case.kind == "constant" else right > 0.7


def finds_separated_blobs(case: Case, model: Model, training: TrainingSet) -> None:
    random = np.random.default_rng(3)
    truth = random.integers(0, 3, 600)
    X = np.array([[0.0, 0.0], [9.0, 1.0], [3.0, 8.0]])[truth] * 100 + random.normal(size=(600, 2))
    params = {"n_clusters": 3} if case.kind == "k_means" else case.params
    found = case.file.build(**params).fit(TrainingSet(X, np.zeros(600), ("a", "b"), task="clustering"))
    pairs = set(zip(truth.tolist(), found.predict(X).tolist(), strict=True))
    assert sorted(number for _, number in pairs) == [0.0, 1.0, 2.0]


JUDGES = {
    "classification": beats_the_constant,
    "regression": beats_the_constant,
    "forecasting": beats_the_constant,
    "ranking": puts_the_relevant_first,
    "clustering": finds_separated_blobs,
}


def test_a_model_learns_what_is_there(case: Case, model: Model, training: TrainingSet) -> None:
    JUDGES[case.task](case, model, training)


def test_a_loaded_model_scores_and_saves_as_the_fitted_one(case: Case, model: Model, unseen: Floats) -> None:
    loaded = case.file.load(model.files())
    assert bits(loaded.predict(unseen)) == bits(model.predict(unseen))
    score, original = loaded.row_scorer(), model.row_scorer()
    lines = unseen[-200:].tolist()
    assert bits([score(row) for row in lines]) == bits([original(row) for row in lines])
    assert loaded.names == model.names
    assert loaded.files() == model.files()


def test_golden_rows_replay_and_refuse_another_order(model: Model, training: TrainingSet) -> None:
    golden = make_golden(model, golden_rows(training))
    check_golden(model, msgspec.json.decode(msgspec.json.encode(golden), type=type(golden)))
    with pytest.raises(ModelError, match="another order"):
        check_golden(model, msgspec.structs.replace(golden, names=golden.names[::-1]))


def test_training_twice_gives_the_same_bytes(case: Case, training: TrainingSet, model: Model) -> None:
    assert case.fit(training).files() == model.files()
    assert case.fit(training_set(seed=9, task=case.task)).files() != model.files()


def test_the_input_is_left_as_it_was(case: Case, unseen: Floats) -> None:
    data = training_set(count=1000, task=case.task)
    before = bits(data.X), bits(data.y), bits(unseen)
    case.fit(data).predict(unseen)
    assert (bits(data.X), bits(data.y), bits(unseen)) == before


def test_names_keep_their_order(case: Case, model: Model) -> None:
    assert model.names == names_of(case.task)


def test_the_layout_of_the_input_in_memory_does_not_matter(model: Model, unseen: Floats) -> None:
    assert bits(model.predict(np.asfortranarray(unseen))) == bits(model.predict(unseen))
    assert bits(model.predict(np.repeat(unseen, 2, axis=0)[::2])) == bits(model.predict(unseen))


def test_no_rows_give_no_scores(model: Model) -> None:
    scores = model.predict(np.empty((0, len(model.names))))
    assert scores.shape == (0,)
    assert scores.dtype == np.float64


@pytest.mark.parametrize("apart", [-3, -1, 1])
def test_another_width_is_refused(model: Model, apart: int) -> None:
    width = len(model.names) + apart
    with pytest.raises(FeatureSetMismatch, match=f"{len(model.names)} features"):
        model.predict(np.zeros((4, width)))
    with pytest.raises(FeatureSetMismatch, match=f"{width} values"):
        model.row_scorer()([0.0] * width)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_label_that_is_the_same_everywhere_is_refused_with_a_hint(
    case: Case, training: TrainingSet, model: Model, label: float
) -> None:
    constant = relabelled(training, np.full_like(training.y, label))
    if case.task == "clustering":  # reads no label
        assert case.fit(constant).files() == model.files()
        return
    with pytest.raises(ModelError, match=r"both 0 and 1|different") as caught:
        case.fit(constant)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "value"), [("wind", np.inf), ("origin", 12.0), ("origin", 0.5), ("origin", -3.0)]
)
def test_values_outside_the_contract_are_refused(case: Case, name: str, value: float) -> None:
    data = training_set(count=500, task=case.task)
    data.X[17, data.names.index(name)] = value
    with pytest.raises(ModelError, match=name):
        case.fit(data)


@pytest.mark.parametrize("refused", REFUSED, ids=lambda case: f"{case.kind}-{case.task}")
def test_a_task_that_is_not_served_is_refused(refused: Case) -> None:
    served = tasks_of(refused.file)
    with pytest.raises(ConfigurationError, match=f"allowed: {', '.join(served)}") as caught:
        refused.file.build(**refused.params).fit(training_set(200, task=refused.task))
    assert caught.value.hint


def test_an_unknown_parameter_is_refused(case: Case) -> None:
    with pytest.raises(ConfigurationError, match=r"got parameters \['colour'\]; allowed: \w+") as caught:
        case.file.build(**case.params, colour="red")
    assert caught.value.hint


def test_files_of_something_else_are_refused(case: Case, model: Model) -> None:
    for name in model.files():
        for content in (b"", b"{}", b'{"kind":"other"}', b"\x80\x04K\x01."):
            with pytest.raises(ModelError):
                case.file.load(model.files() | {name: content})
    with pytest.raises(ModelError):
        case.file.load({})
