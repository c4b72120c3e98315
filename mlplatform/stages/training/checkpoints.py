"""Checkpoints: what a training that takes long leaves behind so that another process can go on from there.

An estimator that can be continued has a parameter `checkpoints` in its `fit`; all others know nothing of
them. It must not store anything: `stores/checkpoints.py` does.
"""

import inspect
from collections.abc import Mapping
from hashlib import sha256
from typing import Protocol

import msgspec
import numpy as np

from mlplatform.stages.training.contract import Estimator, Model, TrainingSet


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a training stood."""

    steps: int
    """Steps that are done, such as rounds of boosting."""
    state: bytes
    """What the estimator needs to go on; only it knows what that is."""


class Checkpoints(Protocol):
    """A place for checkpoints, by key; two trainings that would not be the same have different keys."""

    def load(self, key: str) -> Checkpoint | None:
        """The newest checkpoint of this key; None if there is none that can be read."""

    def save(self, key: str, checkpoint: Checkpoint) -> None:
        """Replace the key's checkpoint; it is on disk when this returns, and never there in part."""

    def drop(self, key: str) -> None:
        """Forget the key's checkpoint, if there is one."""


class Unkept:
    """No place at all: nothing is kept, nothing is found."""

    def load(self, key: str) -> Checkpoint | None:
        """None."""
        return None

    def save(self, key: str, checkpoint: Checkpoint) -> None:
        """Forget it."""

    def drop(self, key: str) -> None:
        """Nothing is there."""


def takes_checkpoints(estimator: Estimator) -> bool:
    """Whether a training with this estimator can be continued."""
    return "checkpoints" in inspect.signature(estimator.fit).parameters


def fit(estimator: Estimator, training: TrainingSet, checkpoints: Checkpoints) -> Model:
    """The fitted model, the same whether or not an earlier process left a checkpoint to go on from."""
    if not takes_checkpoints(estimator):
        return estimator.fit(training)
    continued: Model = estimator.fit(training, checkpoints=checkpoints)  # type: ignore[call-arg]
    return continued


def key_of(kind: str, decides: Mapping[str, object], training: TrainingSet) -> str:
    """SHA-256 of all that decides a model, 64 hexadecimal digits.

    Parameters
    ----------
    kind: the model file. decides: its parameters, the seed among them, and the library's version.
    """
    told = [kind, sorted(decides.items()), training.names, sorted(training.categories.items()), training.task]
    whole = sha256(msgspec.json.encode(told))
    for values in (training.X, training.y, training.groups, training.times):
        # The shape tells where one array ends and the next begins.
        whole.update(repr(None if values is None else (values.shape, str(values.dtype))).encode())
        if values is not None:
            whole.update(np.ascontiguousarray(values).data)
    return whole.hexdigest()
