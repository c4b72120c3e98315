"""Biases and factors of users and items by regularised alternating least squares; it must not score.

    rating = mean + b_user + b_item + p_user . q_item

With the items held fixed, the bias and the factors of one user are a ridge regression of the user's ratings,
and the other way round (Koren, Bell & Volinsky 2009, doi:10.1109/MC.2009.263; Hu, Koren & Volinsky 2008).
Sums are taken row after row and not by matrix products, so that the same rows give the same bytes.
"""

from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlplatform.stages.training.contract import Floats
from mlplatform.stages.training.models._numbers import Index


class Penalty(NamedTuple):
    """On the square of each bias and of each factor."""

    bias: float
    factor: float


class Ratings(NamedTuple):
    """`user` and `item` (rows,): the number of each row's user and item; `value` (rows,) less the mean."""

    user: Index
    item: Index
    value: Floats


def fit(
    ratings: Ratings, sizes: tuple[int, int], factors: int, penalty: Penalty, sweeps: int, seed: int
) -> tuple[Floats, Floats]:
    """Users and items, each (size, 1 + factors) of biases and factors, after `sweeps` of solving in turn."""
    items = np.zeros((sizes[1], 1 + factors))
    # RandomState's stream is frozen, that of the newer generators is not: a model can be trained again.
    items[:, 1:] = np.random.RandomState(seed).normal(0.0, 0.1, size=(sizes[1], factors))
    with threadpool_limits(1):
        for _ in range(sweeps):
            users = _solved(ratings.user, sizes[0], items[ratings.item], ratings.value, penalty)
            items = _solved(ratings.item, sizes[1], users[ratings.user], ratings.value, penalty)
    return users, items


def _solved(own: Index, size: int, other: Floats, value: Floats, penalty: Penalty) -> Floats:
    """One side (size, 1 + factors), the other (rows, 1 + factors) held fixed.

    That is a ridge regression each, of what the other's bias leaves over, on 1 and the other's factors.
    """
    columns = np.ascontiguousarray(other.T)
    left_over, columns[0] = value - columns[0], 1.0
    width = len(columns)
    squares, products = np.zeros((size, width, width)), np.zeros((size, width, 1))
    for i in range(width):
        products[:, i, 0] = np.bincount(own, columns[i] * left_over, size)
        for j in range(i, width):
            squares[:, i, j] = squares[:, j, i] = np.bincount(own, columns[i] * columns[j], size)
        squares[:, i, i] += penalty.factor if i else penalty.bias
    return np.ascontiguousarray(np.linalg.solve(squares, products)[:, :, 0])
