"""LightGBM in blocks: ended anywhere and continued, it is to the byte the model of one go."""

from typing import Any

import numpy as np
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.stages.training.checkpoints import Checkpoint, Unkept, fit, key_of, takes_checkpoints
from mlplatform.stages.training.contract import Task, TrainingSet
from mlplatform.stages.training.models import lightgbm, logistic_regression

NAMES = ("carrier", "delay", "wind", "hour", "load", "noise")
SAMPLED: dict[str, dict[str, Any]] = {
    "nothing drawn": {},
    "bags": {"bagging_fraction": 0.7, "bagging_freq": 1},
    "bags of five rounds": {"bagging_fraction": 0.6, "bagging_freq": 5},
    "features of a tree": {"feature_fraction": 0.4},
    "features of a node": {"feature_fraction_bynode": 0.5},
    "all of it": {
        "bagging_fraction": 0.6,
        "bagging_freq": 5,
        "feature_fraction": 0.5,
        "feature_fraction_bynode": 0.5,
        "path_smooth": 1.0,
        "lambda_l2": 5.0,
    },
}
ROUNDS, EVERY = 60, 10


class Ended(Exception):
    """What stands for the end of a process: nothing of it is left but what was saved."""


class Kept:
    """Checkpoints in memory, which end the training once that many were saved."""

    def __init__(self, end_after: int | None = None) -> None:
        self.saved: list[Checkpoint] = []
        self.keys: set[str] = set()
        self._by_key: dict[str, Checkpoint] = {}
        self._end_after = end_after

    def load(self, key: str) -> Checkpoint | None:
        return self._by_key.get(key)

    def save(self, key: str, checkpoint: Checkpoint) -> None:
        self._by_key[key] = checkpoint
        self.keys.add(key)
        self.saved.append(checkpoint)
        if len(self.saved) == self._end_after:
            raise Ended

    def drop(self, key: str) -> None:
        self._by_key.pop(key, None)

    def again(self, end_after: int | None = None) -> "Kept":
        """What the next process finds."""
        after = Kept(end_after)
        after._by_key = dict(self._by_key)
        return after


def training_set(task: Task = "classification", rows: int = 2000, seed: int = 0) -> TrainingSet:
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, len(NAMES)))
    X[:, 0] = random.integers(-2, 12, rows)
    X[:, 1:][random.random((rows, len(NAMES) - 1)) < 0.1] = np.nan
    signal = np.nansum(X[:, 1:4], axis=1) + np.isin(X[:, 0], [1, 4, 7]) * 2
    labels = {
        "classification": (random.random(rows) < 1 / (1 + np.exp(-signal))).astype(np.float64),
        "regression": signal + random.normal(size=rows),
        "ranking": np.clip(np.round(signal + 2), 0, 4),
    }
    groups = random.integers(0, rows // 10, rows) if task == "ranking" else None
    return TrainingSet(X, labels[task], NAMES, {"carrier": 12}, task, groups)


def build(**more: Any) -> lightgbm.LightGBMEstimator:
    told = {
        "num_iterations": ROUNDS,
        "checkpoint_every": EVERY,
        "num_leaves": 15,
        "seed": 3,
        "num_threads": 1,
    }
    return lightgbm.build(**(told | more))


def text(estimator: lightgbm.LightGBMEstimator, training: TrainingSet, kept: Any = None) -> bytes:
    return estimator.fit(training, checkpoints=kept).files()["model.txt"]


@pytest.mark.parametrize("sampled", SAMPLED)
@pytest.mark.parametrize("task", ["classification", "regression", "ranking"])
def test_ended_after_any_block_and_continued_it_is_the_model_of_one_go(task: Task, sampled: str) -> None:
    training, estimator = training_set(task), build(**SAMPLED[sampled])
    whole = text(estimator, training)
    for end_after in (1, 3, 6):
        first = Kept(end_after)
        with pytest.raises(Ended):
            text(estimator, training, first)
        second = first.again()
        assert text(estimator, training, second) == whole
        assert [each.steps for each in second.saved] == list(
            range(EVERY * (end_after + 1), ROUNDS + 1, EVERY)
        )


def test_ended_again_and_again_it_is_the_model_of_one_go() -> None:
    training, estimator = training_set(), build(**SAMPLED["all of it"], num_iterations=57)
    kept, steps = Kept(end_after=1), []
    while True:
        try:
            found = text(estimator, training, kept)
        except Ended:
            steps.append(kept.saved[-1].steps)
            kept = kept.again(end_after=1)
        else:
            break
    assert found == text(estimator, training)
    assert steps == [10, 20, 30, 40, 50, 57]
    assert kept.saved == []


def test_the_absolute_loss_too() -> None:
    training, estimator = training_set("regression"), build(objective="l1", **SAMPLED["all of it"])
    first = Kept(2)
    with pytest.raises(Ended):
        text(estimator, training, first)
    assert text(estimator, training, first.again()) == text(estimator, training)


@pytest.mark.parametrize("frequency", [1, 5])
def test_rounds_that_find_nothing_to_split_do_not_make_another_model(frequency: int) -> None:
    """Trees of few rows run dry; LightGBM then counts its rounds otherwise than this process does."""
    told = {"feature_fraction": 0.4, "bagging_fraction": 0.7, "bagging_freq": frequency, "learning_rate": 0.1}
    training = training_set(rows=150)
    estimator = build(min_gain_to_split=2.0, min_data_in_leaf=10, **told)
    whole = text(estimator, training)
    assert whole.count(b"\nTree=") < ROUNDS
    saved = Kept()
    text(estimator, training, saved)
    assert saved.saved
    for end_after in range(1, len(saved.saved) + 1):
        first = Kept(end_after)
        with pytest.raises(Ended):
            text(estimator, training, first)
        assert text(estimator, training, first.again()) == whole


def test_without_draws_blocks_are_the_trees_of_no_blocks() -> None:
    training = training_set()
    plain, cut = text(build(checkpoint_every=0), training), text(build(), training)
    assert plain.split(b"\nparameters:")[0] == cut.split(b"\nparameters:")[0]


def test_without_blocks_nothing_is_kept() -> None:
    kept = Kept()
    text(build(checkpoint_every=0), training_set(), kept)
    assert kept.saved == []


def test_blocks_draw_other_bags_and_other_seeds_other_ones() -> None:
    training, told = training_set(), SAMPLED["bags"]
    trees = [text(build(seed=seed, **told), training).split(b"\nparameters:")[0] for seed in (3, 4, 3)]
    assert trees[0] == trees[2] != trees[1]


def test_the_number_of_threads_is_no_property_of_the_model() -> None:
    training, told = (
        training_set(rows=300),
        SAMPLED["all of it"] | {"num_iterations": 10, "checkpoint_every": 5},
    )
    first = Kept(1)
    with pytest.raises(Ended):
        text(build(num_threads=2, **told), training, first)
    assert text(build(num_threads=1, **told), training, first.again()) == text(build(**told), training)


def test_every_thing_that_decides_a_model_has_a_key_of_its_own() -> None:
    base = training_set()
    other_X, other_y = base.X.copy(), base.y.copy()
    other_X[:, 2] = np.nextafter(base.X[:, 2], np.inf)
    other_y[7] = 1 - other_y[7]
    others: list[tuple[TrainingSet, dict[str, Any]]] = [
        (base, {"learning_rate": 0.2}),
        (base, {"seed": 4}),
        (base, {"checkpoint_every": 20}),
        (TrainingSet(base.X, other_y, NAMES, base.categories), {}),
        (TrainingSet(other_X, base.y, NAMES, base.categories), {}),
        (TrainingSet(base.X, base.y, (*NAMES[:-1], "other"), base.categories), {}),
        (TrainingSet(base.X, base.y, NAMES, {"carrier": 13}), {}),
        (TrainingSet(base.X, base.y, NAMES, base.categories, "regression"), {}),
    ]
    kept = Kept()
    for training, told in [(base, {}), *others, (base, {"num_threads": 2})]:
        text(build(num_iterations=20, **told), training, kept)
    assert len(kept.keys) == len(others) + 1
    assert key_of("a", {}, base) != key_of("b", {}, base)


def test_a_bag_is_not_cut() -> None:
    with pytest.raises(ConfigurationError, match="checkpoint_every: 10; allowed: a multiple of bagging_freq"):
        build(bagging_freq=4, bagging_fraction=0.5)


def test_only_what_can_be_continued_is_given_checkpoints() -> None:
    training, kept = training_set(), Kept()
    simple = logistic_regression.build()
    assert takes_checkpoints(build())
    assert not takes_checkpoints(simple)
    assert fit(simple, training, kept).files() == simple.fit(training).files()
    assert kept.saved == []
    assert fit(build(), training, kept).files() == fit(build(), training, Unkept()).files()
    assert [each.steps for each in kept.saved] == [10, 20, 30, 40, 50, 60]
