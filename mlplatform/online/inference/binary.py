"""Tensors as bytes, little-endian: what the extension `binary_tensor_data` puts behind the JSON.

It must not know a use case, nor which tensors a request has.
"""

import struct
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from mlplatform.errors import RequestError
from mlplatform.online.replies import shown

MOST_DIMENSIONS = 8
"""Of a shape: the product of many numbers takes long."""
_TYPES = {
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (64, 32, 16)},
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (64, 32, 16, 8)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (64, 32, 16, 8)},
    "BOOL": np.dtype(np.uint8),
}
_FLOAT64 = _TYPES["FP64"]
_PACKED = {"FP64": "d", "INT64": "q", "BOOL": "?"}
_LENGTH = struct.Struct("<I")


def values(name: str, datatype: str, shape: Sequence[int], raw: bytes) -> Any:
    """The values of one tensor, flat: an array of float64 for FP64, FP32, FP16, a list for the others.

    A narrower float becomes the float64 that is exactly it. BYTES are UTF-8, each after its length in 4
    bytes.

    Raises
    ------
    RequestError
        400 if the bytes are not as many as the shape says, or no values of the datatype.
    """
    if len(shape) > MOST_DIMENSIONS:
        raise RequestError(f"input {shown(name)}: got {len(shape)} dimensions; allowed: {MOST_DIMENSIONS}.")
    if datatype == "BYTES":
        return _texts(name, shape, raw)
    kind = _TYPES.get(datatype)
    if kind is None:
        raise RequestError(
            f"input {shown(name)}: got datatype {shown(datatype)}; allowed as bytes: BYTES, "
            f"{', '.join(_TYPES)}."
        )
    if prod(shape) * kind.itemsize != len(raw):
        raise RequestError(
            f"input {shown(name)}: got binary_data_size {len(raw)}; {shown(shape)} of {datatype} are "
            f"{shown(prod(shape) * kind.itemsize)} bytes."
        )
    array = np.frombuffer(raw, kind)
    if kind is _FLOAT64:
        return array
    if kind.kind == "f":
        return array.astype(np.float64)
    return _truths(name, array) if datatype == "BOOL" else array.tolist()


def packed(datatype: str, data: Sequence[Any]) -> bytes:
    """The bytes of an output's values: FP64, INT64, BOOL or BYTES."""
    if datatype == "BYTES":
        return b"".join([_LENGTH.pack(len(text)) + text for text in map(str.encode, data)])
    return struct.pack(f"<{len(data)}{_PACKED[datatype]}", *data)


def _truths(name: str, array: "np.ndarray[Any, np.dtype[Any]]") -> list[bool]:
    if array.size and array.max() > 1:
        raise RequestError(f"input {shown(name)}: got {array.max()} as a BOOL; allowed: a byte 0 or 1.")
    truths: list[bool] = array.astype(np.bool_).tolist()
    return truths


def _texts(name: str, shape: Sequence[int], raw: bytes) -> list[str]:
    texts, at = [], 0
    try:
        while at < len(raw):
            (length,) = _LENGTH.unpack_from(raw, at)
            at += _LENGTH.size + length
            texts.append(raw[at - length : at].decode())
    except (struct.error, UnicodeDecodeError) as error:
        raise RequestError(
            f"input {shown(name)}: text {len(texts)} is no UTF-8 after its length in 4 bytes."
        ) from error
    if at != len(raw) or len(texts) != prod(shape):
        raise RequestError(
            f"input {shown(name)}: got {len(texts)} texts in {at} bytes; binary_data_size is {len(raw)}, the "
            f"shape {shown(shape)}.",
            hint="Each text of BYTES comes after its length: 4 bytes, little-endian.",
        )
    return texts
