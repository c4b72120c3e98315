"""A model of one's own that fails as a file says, and is a rate otherwise; each attempt to fit it is counted.

The file holds the name of an exception of `mlplatform.errors` or of Python, and how often it is raised.
"""

import builtins
from collections.abc import Mapping
from pathlib import Path

from mlplatform import errors
from mlplatform.stages.training.contract import Model, TrainingSet
from mlplatform.stages.training.models import constant


def build(file: str) -> "FailingEstimator":
    """An estimator that looks into this file."""
    return FailingEstimator(Path(file))


def load(files: Mapping[str, bytes]) -> Model:
    """The model saved in `files`."""
    return constant.load(files)


class FailingEstimator:
    """Fails, or learns the mean label."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def fit(self, training: TrainingSet) -> Model:
        """The mean label, unless the file has a failure left."""
        attempts = self._file.with_suffix(".attempts")
        attempts.write_text((attempts.read_text() if attempts.exists() else "") + "x")
        name, times = self._file.read_text().split() if self._file.exists() else ("", "0")
        if int(times):
            self._file.write_text(f"{name} {int(times) - 1}")
            raise (getattr(errors, name, None) or getattr(builtins, name))("as the file says")
        return constant.build().fit(training)


def fail(file: Path, error: str, times: int) -> None:
    """Let the next fits fail with this error."""
    file.write_text(f"{error} {times}")


def attempts(file: Path) -> int:
    """How often the model was to be fitted."""
    counted = file.with_suffix(".attempts")
    return len(counted.read_text()) if counted.exists() else 0
