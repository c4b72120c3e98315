"""Linear and ridge regression by blocks of columns: a worker has some features and their equations.

A worker makes the design columns of its features and the products with the other blocks; here only the matrix
of columns × columns is solved. It must not decide what a column is: `_design` does, as in local training.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlplatform.offline.distributed import tasks
from mlplatform.stages.training.contract import Floats, Model, TrainingSet, check_served
from mlplatform.stages.training.models import _design, _least_squares, linear_regression, ridge_regression
from mlplatform.stages.training.models._numbers import spaced

_PARTS = 2
"""Blocks per worker."""
_KINDS = {"linear_regression": linear_regression, "ridge_regression": ridge_regression}

Block = tuple[list[_design.Column], Floats, Floats]
"""Columns per feature, centred design (rows, columns), the means that were taken away (columns,)."""


def fit(
    client: Any,
    kind: str,
    params: Mapping[str, object],
    training: TrainingSet,
    workers: int = 2,
    limit: float = tasks.LIMIT,
) -> Model:
    """The model that the file `kind` makes; predictions differ from its own by rounding only (1e-9).

    Errors are those of `train_each`.
    """
    module = _KINDS[kind]
    given = module.build(**params).params
    check_served(kind, module.TASKS, training)
    rows = spaced(len(training.y), given.max_rows)
    y = training.y[rows]
    centre = float(y.mean())
    blocks = _blocks(client, training, rows, given.max_levels, workers)
    target = tasks.submit(client, tasks.held, y - centre)
    places = list(combinations_with_replacement(range(len(blocks)), 2))
    described = [tasks.submit(client, description, block) for block in blocks]
    moments = [tasks.submit(client, moment, block, target) for block in blocks]
    products = [
        tasks.submit(client, square, blocks[i])
        if i == j
        else tasks.submit(client, product, blocks[i], blocks[j])
        for i, j in places
    ]
    found = tasks.results(client, [*described, *moments, *products], limit)
    count = len(blocks)
    gram = assembled(dict(zip(places, found[2 * count :], strict=True)), count)
    weights = solved(gram, np.concatenate(found[count : 2 * count]), getattr(given, "alpha", None))
    columns = [column for part, _ in found[:count] for column in part]
    means = np.concatenate([mean for _, mean in found[:count]])
    saved = module.Saved(training.names, centre - float(means @ weights), _design.terms(columns, weights))
    return _least_squares.LinearModel(saved)


def _blocks(
    client: Any, training: TrainingSet, rows: _design.Rows, max_levels: int, workers: int
) -> list[Any]:
    """Futures of `Block`, of neighbouring features each."""
    count = min(len(training.names), workers * _PARTS)
    made = []
    for places in np.array_split(np.arange(len(training.names)), count):
        names = tuple(training.names[i] for i in places)
        X = np.ascontiguousarray(training.X[rows][:, places])
        known = {name: training.categories[name] for name in names if name in training.categories}
        made.append(tasks.submit(client, block, X, names, known, max_levels))
    return made


def block(X: Floats, names: Sequence[str], categories: Mapping[str, int], max_levels: int) -> Block:
    """The design of these features (rows, features), centred."""
    part = TrainingSet(X, np.zeros(len(X)), tuple(names), categories, "regression")
    columns = _design.columns(part, slice(None), max_levels)
    design = _design.matrix(X, columns)
    means = design.mean(axis=0)
    design -= means
    return columns, design, means


def description(made: Block) -> tuple[list[_design.Column], Floats]:
    """A block without its rows."""
    return made[0], made[2]


def moment(made: Block, target: Floats) -> Floats:
    """Products of the block's columns with the centred labels (columns,)."""
    with threadpool_limits(1, user_api="blas"):
        found: Floats = plain(made[1]).T @ plain(target)
    return found


def product(left: Block, right: Block) -> Floats:
    """Products of two blocks' columns: their place in the Gram matrix."""
    with threadpool_limits(1, user_api="blas"):
        found: Floats = plain(left[1]).T @ plain(right[1])
    return found


def square(made: Block) -> Floats:
    """Products of a block's columns with each other; numpy multiplies an array by itself in its own way."""
    design = plain(made[1])
    with threadpool_limits(1, user_api="blas"):
        found: Floats = design.T @ design
    return found


def plain(values: Floats) -> Floats:
    """The array as the worker that made it has it.

    One that came from another worker may begin at an odd address of the message; numpy multiplies such an
    array by other code, whose last bits differ.
    """
    return np.require(values, requirements=["F_CONTIGUOUS", "ALIGNED"])


def assembled(products: Mapping[tuple[int, int], Floats], count: int) -> Floats:
    """The Gram matrix of `count` blocks from its upper half."""
    return np.block(
        [[products[i, j] if i <= j else products[j, i].T for j in range(count)] for i in range(count)]
    )


def solved(gram: Floats, moments: Floats, alpha: float | None) -> Floats:
    """Weights (columns,) with the penalty `alpha`, or without one the shortest of those that fit best.

    Without a penalty, directions are left out as `sklearn.linear_model.LinearRegression` does: where the
    singular value is below `tol` times the largest. Eigenvalues of the Gram matrix are squares of those.
    """
    from scipy import linalg
    from sklearn.linear_model import LinearRegression

    with threadpool_limits(1, user_api="blas"):
        if alpha is not None:
            penalised = gram + alpha * np.eye(len(gram))
            found: Floats = linalg.solve(penalised, moments, assume_a="pos")
            return found
        values, vectors = linalg.eigh(gram)
        kept = values > LinearRegression().tol ** 2 * values[-1]
        weights: Floats = vectors[:, kept] @ ((vectors[:, kept].T @ moments) / values[kept])
    return weights
