"""LightGBM: gradient boosted trees for classes, numbers and rankings, kept as LightGBM's own text file.

It must not be reached through the scikit-learn face or a data frame: those take reordered columns silently.
The text names no thread count: 1 and 2 threads learn the same trees to the byte.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import lightgbm
import msgspec
import numpy as np

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.training import parameters
from mlplatform.stages.training.checkpoints import Checkpoints, Unkept, key_of
from mlplatform.stages.training.contract import (
    Floats,
    Model,
    Task,
    TrainingSet,
    as_batch,
    check_served,
    wrong_width,
)
from mlplatform.stages.training.models import _lightgbm_blocks, _lightgbm_task
from mlplatform.stages.training.models._lightgbm_blocks import Blocks
from mlplatform.stages.training.models._lightgbm_fast import agrees, fast_scorer

TASKS: tuple[Task, ...] = ("classification", "regression", "ranking", "forecasting")

_FEW = 256
"""Rows up to which waking LightGBM's threads costs more than they save."""
_FORBIDDEN = re.compile(r'[\s",:\[\]{}]')
_THREADS = re.compile(r"^\[num_threads: -?\d+\]\n", re.MULTILINE)

_Count = Annotated[int, msgspec.Meta(ge=1)]
_Positive = Annotated[float, msgspec.Meta(gt=0)]
_NotNegative = Annotated[float, msgspec.Meta(ge=0)]
_Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class Parameters(msgspec.Struct, frozen=True):
    """What defs.yaml may say; names and meaning are LightGBM's."""

    objective: Literal["l2", "l1"] = "l2"
    """Loss of numbers: squared or absolute. Classes take `binary`, rankings `lambdarank`."""
    num_iterations: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 150
    learning_rate: _Positive = 0.08
    num_leaves: Annotated[int, msgspec.Meta(ge=2, le=4096)] = 31
    max_depth: Annotated[int, msgspec.Meta(ge=-1, le=64)] = -1
    min_data_in_leaf: _Count = 20
    min_sum_hessian_in_leaf: _NotNegative = 1e-3
    feature_fraction: _Share = 1.0
    feature_fraction_bynode: _Share = 1.0
    bagging_fraction: _Share = 1.0
    bagging_freq: Annotated[int, msgspec.Meta(ge=0)] = 0
    lambda_l1: _NotNegative = 0.0
    lambda_l2: _NotNegative = 0.0
    min_gain_to_split: _NotNegative = 0.0
    path_smooth: _NotNegative = 0.0
    max_bin: Annotated[int, msgspec.Meta(ge=2, le=65_535)] = 255
    cat_smooth: _NotNegative = 10.0
    cat_l2: _NotNegative = 10.0
    max_cat_threshold: _Count = 32
    min_data_per_group: _Count = 100
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    num_threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 2
    """Threads to train with; they decide the time, not the model."""
    checkpoint_every: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    """Rounds after which a training that is killed goes on instead of beginning anew; 0: it begins anew.

    It decides the random draws, and so the model, where there are any; a multiple of `bagging_freq`.
    """


def build(**params: object) -> "LightGBMEstimator":
    """An estimator with these `Parameters`; ConfigurationError for any other."""
    read = parameters.read("lightgbm", params, Parameters)
    if read.checkpoint_every and read.bagging_freq and read.checkpoint_every % read.bagging_freq:
        raise ConfigurationError(
            f"lightgbm: got checkpoint_every: {read.checkpoint_every}; allowed: a multiple of bagging_freq "
            f"({read.bagging_freq}).",
            hint="A bag of rows is not cut by a checkpoint.",
        )
    return LightGBMEstimator(read)


def load(files: Mapping[str, bytes]) -> Model:
    """The model saved in `files`."""
    try:
        return LightGBM(files["model.txt"].decode())
    except (KeyError, UnicodeDecodeError, lightgbm.basic.LightGBMError) as error:
        raise ModelError(
            f"cannot read a LightGBM model from the files {sorted(files)}: {error}.",
            hint="The candidate belongs to another kind of model or is damaged; train it again.",
        ) from error


@dataclass(frozen=True)
class LightGBMEstimator:
    """Trains with `deterministic` and `force_row_wise`, so that the same rows give the same text."""

    params: Parameters

    def fit(self, training: TrainingSet, checkpoints: Checkpoints | None = None) -> Model:
        """The boosted trees of `training`; killed and called again, to the byte those of one go."""
        check_served("lightgbm", TASKS, training)
        _check_names(training.names)
        given = msgspec.structs.asdict(self.params)
        rounds, every = given.pop("num_iterations"), given.pop("checkpoint_every")
        given |= _lightgbm_task.objective(training, given["objective"])
        given |= {"deterministic": True, "force_row_wise": True, "verbosity": -1}
        data = _lightgbm_task.data_set(training, given)
        if every:
            cut = Blocks(rounds, every, _key(self.params, training))
            text = _lightgbm_blocks.train(given, data, cut, checkpoints or Unkept())
        else:
            text = _lightgbm_task.train(given, data, rounds).model_to_string()
        # Reading its own text back makes a fresh model and a loaded one the same object in every respect.
        return LightGBM(_THREADS.sub("", text))


class LightGBM:
    """A fitted model."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._booster = lightgbm.Booster(model_str=text)
        self._names = tuple(self._booster.feature_name())
        fast = fast_scorer(self._booster, self._names)
        self.fast = fast is not None and agrees(fast, self._slow, _probe(len(self._names)))
        """Whether single rows go through the C call; `Booster.predict` otherwise."""

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns."""
        return self._names

    def predict(self, X: Floats) -> Floats:
        """Scores (rows,) for X (rows, features); as many threads as OMP_NUM_THREADS allows."""
        X = as_batch(X, self._names)
        if not len(X):
            return np.empty(0)
        threads = 1 if len(X) <= _FEW else 0
        return np.asarray(self._booster.predict(X, num_threads=threads), dtype=np.float64)

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """`predict` for one row, with buffers of its own: take one scorer per thread."""
        fast = fast_scorer(self._booster, self._names) if self.fast else None
        return fast or self._slow

    def files(self) -> dict[str, bytes]:
        """model.txt."""
        return {"model.txt": self._text.encode()}

    def _slow(self, row: Sequence[float]) -> float:
        if len(row) != len(self._names):
            raise wrong_width(len(row), self._names)
        values = np.array([row], dtype=np.float64)
        return float(self._booster.predict(values, num_threads=1)[0])


def _key(params: Parameters, training: TrainingSet) -> str:
    """What a checkpoint is kept under; threads do not decide a model."""
    decides = {**msgspec.structs.asdict(params), "num_threads": None, "version": lightgbm.__version__}
    return key_of("lightgbm", decides, training)


def _check_names(names: Sequence[str]) -> None:
    wrong = [name for name in names if _FORBIDDEN.search(name) or not name.isascii()]
    if wrong:
        raise ConfigurationError(
            f'lightgbm: got feature names {wrong[:3]}; allowed: ASCII without blanks or any of ",:[]{{}}.',
            hint="Rename the features: letters, digits and underscores.",
        )


def _probe(width: int) -> list[list[float]]:
    """Rows to compare the two ways with: small and large, whole and broken numbers, missing values."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(16, width)) * 10.0 ** random.integers(-2, 4, size=(16, width))
    rows[::2] = np.round(rows[::2])
    rows[random.random(rows.shape) < 0.2] = np.nan
    return [*rows.tolist(), [np.nan] * width, [-1.0] * width, [-2.0] * width, [0.0] * width]
