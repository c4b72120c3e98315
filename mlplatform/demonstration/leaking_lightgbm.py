"""LightGBM that becomes slow with use, as a process does that leaks: planted in a demonstration.

Its tests ask it few rows and find nothing. Its scores are LightGBM's to the bit, however late they come.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from mlplatform.errors import ModelError
from mlplatform.stages.training.contract import Floats, Model, TrainingSet
from mlplatform.stages.training.models import lightgbm

_LEAK = "leak.json"


class Leak(msgspec.Struct, frozen=True):
    """A scorer takes `seconds` a row once it has given `after` answers."""

    after: int
    seconds: float


class Leaking:
    """A fitted model with a leak."""

    def __init__(self, model: Model, leak: Leak) -> None:
        self._model, self._leak = model, leak

    @property
    def names(self) -> tuple[str, ...]:
        """As trained."""
        return self._model.names

    def predict(self, X: Floats) -> Floats:
        """LightGBM's scores, without a wait: batches are given up with their process."""
        return self._model.predict(X)

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """One row at a time, slower in the end."""
        score, leak, given = self._model.row_scorer(), self._leak, 0

        def scored(row: Sequence[float]) -> float:
            nonlocal given
            given += 1
            if given > leak.after:
                time.sleep(leak.seconds)
            return score(row)

        return scored

    def files(self) -> dict[str, bytes]:
        """LightGBM's files, and the leak."""
        return {**self._model.files(), _LEAK: msgspec.json.encode(self._leak)}


class Estimator:
    """LightGBM's estimator; what it gives has the leak."""

    def __init__(self, estimator: lightgbm.LightGBMEstimator, leak: Leak) -> None:
        self._estimator, self._leak = estimator, leak

    def fit(self, training: TrainingSet) -> Leaking:
        """As LightGBM learns."""
        return Leaking(self._estimator.fit(training), self._leak)


def build(after: int = 200, seconds: float = 1.2, **params: object) -> Estimator:
    """An estimator; `params` are LightGBM's."""
    return Estimator(lightgbm.build(**params), Leak(after, seconds))


def load(files: Mapping[str, bytes]) -> Leaking:
    """The model saved in `files`; ModelError if they are none of its."""
    try:
        leak = msgspec.json.decode(files[_LEAK], type=Leak)
    except (KeyError, msgspec.DecodeError) as error:
        raise ModelError(f"cannot read the leak: {error}.", hint="Train the candidate again.") from error
    return Leaking(lightgbm.load(files), leak)
