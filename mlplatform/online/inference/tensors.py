"""The values of one input tensor, checked against its shape: a fact by row, or rows of features.

A missing value is null in JSON; in bytes it is NaN, and other types have none: send those as JSON, or leave
the input out. It must not know HTTP, nor ask for an answer.
"""

import math
from typing import Any

import msgspec
import numpy as np

from mlplatform.errors import RequestError
from mlplatform.online.inference.datatypes import DATATYPES, FLOATS
from mlplatform.online.inference.request import FlatTensor, NestedTensor, Tensor
from mlplatform.online.replies import shown
from mlplatform.stages.preparation.declarations import FactType

MOST_ROWS = 1000


def row_count(tensor: Tensor) -> int:
    """Rows of a tensor; RequestError 400 for none or too many."""
    n = tensor.shape[0] if tensor.shape else 0
    if not 1 <= n <= MOST_ROWS:
        raise RequestError(
            f"input {shown(tensor.name)}: got shape {shown(tensor.shape)}; allowed: 1 to {MOST_ROWS} rows."
        )
    return n


def fact_values(tensor: Tensor, kind: FactType) -> list[Any]:
    """The value of a fact for each row; RequestError 400 for another datatype or shape."""
    allowed = DATATYPES[kind]
    if tensor.datatype not in allowed:
        raise RequestError(
            f"input {tensor.name!r}: got datatype {shown(tensor.datatype)}; allowed: {', '.join(allowed)}."
        )
    if tensor.shape[1:] not in ([], [1]):
        raise RequestError(
            f"input {tensor.name!r}: got shape {shown(tensor.shape)}; allowed: [rows] or [rows, 1]."
        )
    data = tensor.data
    if isinstance(data, np.ndarray):
        _refuse_infinite(tensor)
        return [None if math.isnan(value) else value for value in data.tolist()]
    return _flat(tensor, tensor.shape[0], 1)


def feature_rows(tensor: Tensor, width: int) -> list[list[float]]:
    """Rows of `width` features; NaN is missing.

    Raises
    ------
    RequestError
        400 for another datatype, width or number of values, and for values that are no finite numbers.
    """
    if tensor.datatype not in FLOATS:
        raise RequestError(f"input {tensor.name!r}: got datatype {shown(tensor.datatype)}; allowed: FP64.")
    n = row_count(tensor)
    if tensor.shape[1:] != [width]:
        raise RequestError(
            f"input {tensor.name!r}: got shape {shown(tensor.shape)}; allowed: [rows, {width}].",
            hint="GET the model's metadata: `features` lists them in order.",
        )
    if isinstance(tensor.data, np.ndarray):
        _refuse_infinite(tensor)
        rows: list[list[float]] = tensor.data.reshape(n, width).tolist()
        return rows
    row = [math.nan if number is None else number for number in _numbers(tensor, n, width)]
    return [row] if n == 1 else [row[at : at + width] for at in range(0, n * width, width)]


def _numbers(tensor: Tensor, n: int, width: int) -> list[float | None]:
    if isinstance(tensor, NestedTensor):
        if [len(row) for row in tensor.data] != [width] * n:
            raise _unfilled(tensor)
        return tensor.data[0] if n == 1 else [value for row in tensor.data for value in row]
    if isinstance(tensor, FlatTensor):
        if len(tensor.data) != n * width:
            raise _unfilled(tensor)
        return tensor.data
    try:
        return msgspec.convert(_flat(tensor, n, width), list[float | None])
    except msgspec.ValidationError as error:
        raise RequestError(f"input {tensor.name!r}: {str(error)[:200]}.", hint="Missing is null.") from error


def _flat(tensor: Tensor, rows: int, width: int) -> list[Any]:
    """The values row after row, however they were nested."""
    data = tensor.data if isinstance(tensor.data, list) else []
    nested = [row for row in data if isinstance(row, list)]
    if not nested and len(data) == rows * width:
        return data
    if len(nested) == len(data) == rows and all(len(row) == width for row in nested):
        return [value for row in nested for value in row]
    raise _unfilled(tensor)


def _unfilled(tensor: Tensor) -> RequestError:
    return RequestError(
        f"input {shown(tensor.name)}: its data does not fill the shape {shown(tensor.shape)}.",
        hint="Send the values flat or as one list per row.",
    )


def _refuse_infinite(tensor: Tensor) -> None:
    if np.count_nonzero(np.isinf(tensor.data)):
        raise RequestError(
            f"input {shown(tensor.name)}: got an infinite value.",
            hint="Send finite numbers; NaN is a missing value.",
        )
