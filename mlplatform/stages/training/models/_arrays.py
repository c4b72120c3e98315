"""Arrays of a model as bytes of numpy's own format, without pickle; must not know a model."""

import io
from collections.abc import Mapping

import numpy as np

from mlplatform.errors import ModelError
from mlplatform.stages.training.contract import Floats


def write(values: Floats) -> bytes:
    """The array, float64 and C-contiguous: equal arrays are equal bytes."""
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(values, dtype=np.float64), allow_pickle=False)
    return out.getvalue()


def read(kind: str, files: Mapping[str, bytes], name: str, shape: tuple[int, ...]) -> Floats:
    """The array of `files[name]`; ModelError unless it is one of finite numbers of this shape."""
    try:
        values = np.load(io.BytesIO(files[name]), allow_pickle=False)
    except (KeyError, ValueError, EOFError, OSError) as error:
        raise ModelError(
            f"cannot read a {kind} model from the files {sorted(files)}: {error}.",
            hint="The candidate belongs to another kind of model or is damaged; train it again.",
        ) from error
    if not isinstance(values, np.ndarray) or values.dtype != np.float64 or values.shape != shape:
        raise ModelError(f"{name} of a {kind} model is no float64 array of shape {shape}.")
    if not np.isfinite(values).all():
        raise ModelError(f"{name} of a {kind} model holds values that are not finite.")
    return np.ascontiguousarray(values)
