"""Trees as arrays and the walk down them, for one row in plain Python and for many in numpy.

A row goes left where x <= threshold, or where the code is one of those listed, and where x is missing as the
node learned. It must not cast to float32: thresholds are values of training rows, compared in float64.
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from mlplatform.stages.training.contract import Floats, as_batch, wrong_width
from mlplatform.stages.training.models._numbers import Index, slot, slots

_BLOCK = 4096
"""Rows that walk together: they stay in the processor's cache from tree to tree."""


class Codes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a node parts a category; a code in neither list goes where a missing one goes."""

    left: list[int]
    right: list[int]


class Tree(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Arrays over nodes; node 0 is the root, a leaf is its own child. `codes` holds nodes of categories."""

    feature: list[int]
    threshold: list[float]
    missing_left: list[bool]
    left: list[int]
    right: list[int]
    value: list[float]
    codes: dict[int, Codes] = {}


def check(tree: Tree, features: int) -> None:
    """ValueError unless a walk ends: children come after their parent, an array has one entry per node."""
    nodes = len(tree.value)
    arrays = (tree.feature, tree.threshold, tree.missing_left, tree.left, tree.right)
    if not nodes or any(len(array) != nodes for array in arrays):
        raise ValueError("the arrays of the tree differ in length")
    for node, (left, right, feature) in enumerate(zip(tree.left, tree.right, tree.feature, strict=True)):
        leaf = left == right == node
        down = node < left < nodes and node < right < nodes
        if not (leaf or down) or not 0 <= feature < features:
            raise ValueError(f"node {node} of the tree points nowhere")
    if any(not 0 <= node < nodes for node in tree.codes):
        raise ValueError("codes belong to no node of the tree")
    if any(code < 0 for codes in tree.codes.values() for code in (*codes.left, *codes.right)):
        raise ValueError("a code of the tree is negative")


class Walker:
    """One tree, ready to be walked by many rows."""

    def __init__(self, tree: Tree) -> None:
        self._feature, self._threshold = np.array(tree.feature), np.array(tree.threshold)
        self._left, self._right = np.array(tree.left), np.array(tree.right)
        self._missing, self._value = np.array(tree.missing_left), np.array(tree.value)
        self._known = max((_known(codes) for codes in tree.codes.values()), default=0)
        self._table = np.zeros((len(tree.codes), self._known + 2), dtype=bool)
        self._table_of = np.full(len(tree.value), -1)
        for place, (node, codes) in enumerate(tree.codes.items()):
            self._table_of[node] = place
            self._table[place] = _table(codes, tree.missing_left[node], self._known)

    def values(self, X: Floats) -> Floats:
        """Values (rows,) of the leaves of X (rows, features); all rows take one step down at a time."""
        node = np.zeros(len(X), dtype=np.intp)
        rows = np.arange(len(X))
        while True:
            x = X[rows, self._feature[node]]
            below = np.where(self._goes_left(node, x), self._left[node], self._right[node])
            if np.array_equal(below, node):
                return self._value[node]
            node = below

    def _goes_left(self, node: Index, x: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        left = np.where(np.isnan(x), self._missing[node], x <= self._threshold[node])
        if len(self._table):
            table = self._table_of[node]
            of_codes = np.flatnonzero(table >= 0)
            left[of_codes] = self._table[table[of_codes], slots(x[of_codes], self._known)]
        return left


def sums(trees: Sequence[Walker], start: float, X: Floats, names: Sequence[str]) -> Floats:
    """`start` plus the values (rows,) of all trees for X (rows, features), added in their order."""
    X = as_batch(X, names)
    totals = np.full(len(X), start)
    for first in range(0, len(X), _BLOCK):
        place = slice(first, first + _BLOCK)
        for tree in trees:
            totals[place] += tree.values(X[place])
    return totals


_Inner = tuple[int, float, bool, "_Node", "_Node", list[bool] | None]
_Node = _Inner | float
"""A node that points at its children, or the value of a leaf: faster to walk in Python than arrays are."""


def summer(trees: Sequence[Tree], start: float, names: Sequence[str]) -> Callable[[Sequence[float]], float]:
    """`sums` for one row: the same additions in the same order."""
    roots = [_root(tree) for tree in trees]

    def total_of(row: Sequence[float]) -> float:
        if len(row) != len(names):
            raise wrong_width(len(row), names)
        total = start
        for node in roots:
            while isinstance(node, tuple):
                feature, threshold, missing_left, left, right, table = node
                x = row[feature]
                if table is not None:
                    node = left if table[slot(x, len(table) - 2)] else right
                else:
                    node = left if (x <= threshold or (missing_left and x != x)) else right
            total += node
        return total

    return total_of


def _root(tree: Tree) -> _Node:
    """The tree as nodes that hold nodes; built from the end, since children come after their parent."""
    nodes: list[_Node] = list(tree.value)
    for node in range(len(nodes) - 1, -1, -1):
        left, right = tree.left[node], tree.right[node]
        if left != node:
            codes, missing = tree.codes.get(node), tree.missing_left[node]
            table = None if codes is None else _table(codes, missing, _known(codes))
            nodes[node] = (
                tree.feature[node],
                tree.threshold[node],
                missing,
                nodes[left],
                nodes[right],
                table,
            )
    return nodes[0]


def _known(codes: Codes) -> int:
    return 1 + max(codes.left + codes.right, default=-1)


def _table(codes: Codes, missing_left: bool, known: int) -> list[bool]:
    """Whether each code goes left, then MISSING and UNKNOWN; `slot` finds the place."""
    table = [missing_left] * (known + 2)
    for code in codes.left:
        table[code] = True
    for code in codes.right:
        table[code] = False
    return table
