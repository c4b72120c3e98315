"""A script or notebook of one's own, run in a process of its own when a model is trained, never to open one.

    params: {path: notebooks/train.ipynb, params: {depth: 4}, seconds: 900}

What it is given and must leave is written in `script_contract.py`; what it leaves is a model of one of the
platform's portable kinds. It must not run, nor import, the script to open or to score a model.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from mlplatform import plugins
from mlplatform.errors import ModelError
from mlplatform.stages.training import models, parameters, script_contract
from mlplatform.stages.training.contract import TASKS as TASKS
from mlplatform.stages.training.contract import Floats, Model, Task, TrainingSet, check_served, tasks_of
from mlplatform.stages.training.models import _script_run

_ITSELF = "script"
_PROBED = 50


class Parameters(msgspec.Struct, frozen=True):
    """What defs.yaml may say."""

    path: str
    """A .py, or a .ipynb whose code cells are run in order."""
    params: dict[str, Any] = {}
    """For the script: `script_contract.params()`."""
    seconds: Annotated[float, msgspec.Meta(gt=0, le=604_800)] = 900.0
    """After which the script is killed."""


class _Estimator(msgspec.Struct, frozen=True):
    estimator: str


def build(**params: object) -> "ScriptEstimator":
    """An estimator with these `Parameters`; ConfigurationError for any other, or when there is no script."""
    read = parameters.read("script", params, Parameters)
    _script_run.code(Path(read.path))
    return ScriptEstimator(read)


def load(files: Mapping[str, bytes]) -> Model:
    """The model saved in `files`, opened by the kind it names.

    Raises
    ------
    ModelError
        when that is none of the platform's own kinds, a scikit-learn estimator of another package, or the
        files are damaged.
    """
    try:
        said = msgspec.json.decode(files[script_contract.KIND], type=script_contract.Kind)
    except (KeyError, msgspec.DecodeError) as error:
        raise ModelError(
            f"cannot read a script's model from the files {sorted(files)}: {error}.",
            hint="The candidate belongs to another kind of model or is damaged; train it again.",
        ) from error
    portable = [name for name in plugins.names(models) if name != _ITSELF]
    if said.kind not in portable:
        raise ModelError(f"script: got a model of kind {said.kind!r}; allowed: {', '.join(portable)}.")
    inner = {name: content for name, content in files.items() if name != script_contract.KIND}
    if said.kind == "scikit_learn":
        _check_package(inner)
    return Script(said, plugins.find(models, said.kind).load(inner))


@dataclass(frozen=True)
class ScriptEstimator:
    """Runs the script and opens what it left."""

    params: Parameters

    def fit(self, training: TrainingSet) -> Model:
        """The script's model of `training`.

        Raises
        ------
        ModelError
            when the script fails, takes too long, or leaves no model, a damaged one, or one of other
            features or another task.
        """
        check_served("script", TASKS, training)
        path = Path(self.params.path)
        text = _script_run.code(path)
        with tempfile.TemporaryDirectory(prefix="mlplatform-script-") as temporary:
            folder = Path(temporary) / "training"
            script_contract.write(folder, training, self.params.params)
            _script_run.run(path, text, folder, self.params.seconds)
            files = script_contract.saved(folder)
        model = load(files)
        kind = model.said.kind if isinstance(model, Script) else ""
        _check(kind, model, training)
        said = script_contract.Kind(kind, sha256(text.encode()).hexdigest())
        return load({**files, script_contract.KIND: msgspec.json.encode(said)})


class Script:
    """The model a script left, with the kind it is of."""

    def __init__(self, said: script_contract.Kind, model: Model) -> None:
        self.said, self._model = said, model

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns."""
        return self._model.names

    def predict(self, X: Floats) -> Floats:
        """Scores (rows,) of X (rows, features), by the kind of the model."""
        return self._model.predict(X)

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """`predict` for one row, by the kind of the model."""
        return self._model.row_scorer()

    def files(self) -> dict[str, bytes]:
        """kind.json and the files of the kind."""
        return {script_contract.KIND: msgspec.json.encode(self.said), **self._model.files()}


def _check_package(files: Mapping[str, bytes]) -> None:
    """Opening an estimator imports its package: of a script's, scikit-learn's own only."""
    estimator = parameters.decode("scikit_learn", files, _Estimator).estimator
    if estimator.partition(".")[0] != "sklearn":
        raise ModelError(
            f"script: got an estimator {estimator!r}; allowed: those of scikit-learn.",
            hint="For an estimator of a package of your own, use the model kind scikit_learn itself.",
        )


def _check(kind: str, model: Model, training: TrainingSet) -> None:
    served: tuple[Task, ...] = tasks_of(plugins.find(models, kind))
    if training.task not in served:
        raise ModelError(
            f"script: got a model of kind {kind!r} in {training.task}; it serves {', '.join(served)}."
        )
    if model.names != training.names:
        raise ModelError(
            f"script: got a model of the features {list(model.names)[:5]}…; the training set has "
            f"{list(training.names)[:5]}….",
            hint="Train on the columns of script_contract.read() in their order, with their names.",
        )
    scores = model.predict(training.X[:_PROBED])
    probable = training.task != "classification" or bool(((scores >= 0.0) & (scores <= 1.0)).all())
    if scores.shape != (min(_PROBED, len(training.X)),) or not np.isfinite(scores).all() or not probable:
        raise ModelError(
            f"script: got scores {scores[:3].tolist()}… of shape {scores.shape}; allowed: one finite number "
            "per row, in classification a probability.",
            hint="Save a model of the task that training.task names.",
        )
