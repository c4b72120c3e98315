"""Recommender: matrix factorisation with biases, for what a user (a route, an airport) prefers among items.

    score = mean + b_user + b_item + p_user . q_item

Koren, Bell & Volinsky 2009, "Matrix Factorization Techniques for Recommender Systems",
doi:10.1109/MC.2009.263. It must not look at any other feature; an unknown or missing user or item adds 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np

from mlplatform.errors import ModelError
from mlplatform.stages.training import parameters
from mlplatform.stages.training.contract import (
    Floats,
    Model,
    Task,
    TrainingSet,
    as_batch,
    check_served,
    wrong_width,
)
from mlplatform.stages.training.models import _arrays, _crossed, _factors

TASKS: tuple[Task, ...] = ("regression", "ranking")


class Parameters(msgspec.Struct, frozen=True):
    """What defs.yaml may say."""

    user: tuple[str, ...]
    """Category features that tell the user; several are crossed."""
    item: tuple[str, ...]
    """Category features that tell the item; several are crossed."""
    factors: Annotated[int, msgspec.Meta(ge=0, le=200)] = 8
    """Numbers that describe each user and each item beside its bias; 0 for biases only."""
    l2_bias: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    """Penalty on the square of a bias: as if this many more rows had the mean."""
    l2_factors: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """Penalty on the square of each factor."""
    sweeps: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 15
    """How often users and items are solved in turn."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    """Of the factors that the first sweep begins with."""


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="recommender", tag_field="kind"):
    """The content of model.json; users.npy and items.npy (keys, 1 + factors) hold biases, then factors."""

    names: tuple[str, ...]
    mean: float
    factors: int
    user: _crossed.Crossed
    item: _crossed.Crossed

    def __post_init__(self) -> None:
        for side in (self.user, self.item):
            if not side.keys or max(side.columns) >= len(self.names):
                raise ValueError("a column is outside of the features, or there are no keys")


def build(**params: object) -> "RecommenderEstimator":
    """An estimator with these `Parameters`; ConfigurationError for any other."""
    return RecommenderEstimator(parameters.read("recommender", params, Parameters))


def load(files: Mapping[str, bytes]) -> Model:
    """The model saved in `files`."""
    saved = parameters.decode("recommender", files, Saved)
    users, items = (
        _arrays.read("recommender", files, name, (len(side.keys), 1 + saved.factors))
        for name, side in (("users.npy", saved.user), ("items.npy", saved.item))
    )
    return Recommender(saved, users, items)


@dataclass(frozen=True)
class RecommenderEstimator:
    """Alternating least squares on the rows whose user and item are known."""

    params: Parameters

    def fit(self, training: TrainingSet) -> Model:
        """The biases and factors of `training`, its labels being the ratings (the relevance in a ranking).

        Raises
        ------
        ConfigurationError
            for a feature that is not there or is no category.
        ModelError
            when no row has both a known user and a known item.
        """
        check_served("recommender", TASKS, training)
        params = self.params
        user = _crossed.seen("recommender", "user", params.user, training)
        item = _crossed.seen("recommender", "item", params.item, training)
        rows = np.flatnonzero((user.codes(training.X) >= 0) & (item.codes(training.X) >= 0))
        if not len(rows):
            raise ModelError(
                f"recommender: got {len(training.y)} rows, none with a known user and a known item.",
                hint="Check the features of user and item: their codes are all missing or unknown.",
            )
        mean = float(training.y.mean())
        X, left_over = training.X[rows], training.y[rows] - mean
        ratings = _factors.Ratings(user.places(X), item.places(X), left_over)
        penalty = _factors.Penalty(params.l2_bias, params.l2_factors)
        sizes = len(user.keys), len(item.keys)
        users, items = _factors.fit(ratings, sizes, params.factors, penalty, params.sweeps, params.seed)
        return Recommender(Saved(training.names, mean, params.factors, user, item), users, items)


class Recommender:
    """Fitted biases and factors: `users` and `items` (keys, 1 + factors)."""

    def __init__(self, saved: Saved, users: Floats, items: Floats) -> None:
        self._saved, self._users, self._items = saved, users, items

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns."""
        return self._saved.names

    def predict(self, X: Floats) -> Floats:
        """Ratings (rows,) of X (rows, features), summed in the order of the factors."""
        X = as_batch(X, self.names)
        users = _with_nobody(self._users).T[:, self._saved.user.places(X)]
        items = _with_nobody(self._items).T[:, self._saved.item.places(X)]
        totals: Floats = self._saved.mean + users[0] + items[0]
        for of_user, of_item in zip(users[1:], items[1:], strict=True):
            totals += of_user * of_item
        return totals

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """`predict` for one row."""
        names, mean = self.names, self._saved.mean
        user_of, item_of = self._saved.user.placer(), self._saved.item.placer()
        users, items = _with_nobody(self._users).tolist(), _with_nobody(self._items).tolist()

        def score(row: Sequence[float]) -> float:
            if len(row) != len(names):
                raise wrong_width(len(row), names)
            (b_user, *p), (b_item, *q) = users[user_of(row)], items[item_of(row)]
            total: float = mean + b_user + b_item
            for of_user, of_item in zip(p, q, strict=True):
                total += of_user * of_item
            return total

        return score

    def files(self) -> dict[str, bytes]:
        """model.json, users.npy and items.npy."""
        arrays = {"users.npy": _arrays.write(self._users), "items.npy": _arrays.write(self._items)}
        return {"model.json": msgspec.json.encode(self._saved), **arrays}


def _with_nobody(table: Floats) -> Floats:
    """The table with a last row of zeros, for whom nothing is known of."""
    return np.vstack([table, np.zeros(table.shape[1])])
