"""A model whose mood a file decides: well, slow (seconds a row), or failing; for tests of who answers for it.

Its score is a constant of its own, so that an answer tells who gave it.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from mlplatform.stages.training.contract import Floats, TrainingSet

MOOD = "MLPLATFORM_TESTS_MOOD"
"""Environment variable with the file: `slow 0.3`, `failing`, or nothing."""


def set_mood(mood: str) -> None:
    """From now on, in every process."""
    Path(os.environ[MOOD]).write_text(mood)


class Moody:
    """Scores every row alike."""

    def __init__(self, names: Sequence[str], score: float) -> None:
        self._names, self._score = tuple(names), score

    @property
    def names(self) -> tuple[str, ...]:
        """As trained."""
        return self._names

    def predict(self, X: Floats) -> Floats:
        """The constant for every row, in whatever mood."""
        return np.full(len(X), self._score)

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """One row, by mood."""
        file = Path(os.environ.get(MOOD, "/nonexistent"))

        def score(row: Sequence[float]) -> float:
            mood = file.read_text() if file.exists() else ""
            if mood.startswith("slow"):
                time.sleep(float(mood.split()[1]))
            if mood == "failing":
                raise RuntimeError("in a bad mood: secret")
            if mood == "dying":
                os._exit(9)
            return self._score

        return score

    def files(self) -> dict[str, bytes]:
        """Names and score."""
        return {"moody.json": msgspec.json.encode((self._names, self._score))}


class Estimator:
    """Learns nothing."""

    def __init__(self, score: float) -> None:
        self._score = score

    def fit(self, training: TrainingSet) -> Moody:
        """A model of the training's features."""
        return Moody(training.names, self._score)


def build(score: float = 0.5) -> Estimator:
    """An estimator whose model gives `score`."""
    return Estimator(score)


def load(files: Mapping[str, bytes]) -> Moody:
    """The model of these files."""
    return Moody(*msgspec.json.decode(files["moody.json"], type=tuple[list[str], float]))
