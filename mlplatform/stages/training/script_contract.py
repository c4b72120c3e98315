"""What a script or notebook that trains a model is given, and what it must leave; imported by the script.

    from mlplatform.stages.training import script_contract

    training = script_contract.read()            # X, y, names, categories, task, groups, times
    …                                            # script_contract.params() has the params of defs.yaml
    script_contract.save(model)                  # a model of the platform, a lightgbm.Booster, a scikit-learn
                                                 # estimator fitted on X

Without this module: the environment variable MLPLATFORM_TRAINING and the first argument name a folder with
`training.npz` (arrays X, y and, where the task has them, groups and times; no objects) and `training.json`
(names, categories, task, params). The script writes into its folder `model` the files of a model kind of the
platform, and `kind.json`, such as {"kind": "lightgbm"} beside `model.txt`. It must not leave code: the model
is opened by its kind, and the script runs only when a model is trained.
"""

import os
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.training.training_set import Task, TrainingSet

VARIABLE = "MLPLATFORM_TRAINING"
KIND = "kind.json"
_MODEL = "model"
_COLUMNS = ("groups", "times")


class Described(msgspec.Struct, frozen=True):
    """The content of training.json."""

    names: tuple[str, ...]
    categories: dict[str, int]
    task: Task
    params: dict[str, Any]


class Kind(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of kind.json: a model file of the platform, and the SHA-256 of the script's code."""

    kind: str
    script: str = ""


def write(folder: Path, training: TrainingSet, params: Mapping[str, Any]) -> None:
    """Put what a script is given into a new folder; also to try a script by hand."""
    folder.mkdir(parents=True)
    described = Described(training.names, dict(training.categories), training.task, dict(params))
    (folder / "training.json").write_bytes(msgspec.json.encode(described))
    there = {name: value for name in _COLUMNS if (value := getattr(training, name)) is not None}
    np.savez(folder / "training.npz", allow_pickle=False, X=training.X, y=training.y, **there)


def read(folder: Path | None = None) -> TrainingSet:
    """The rows to learn from; ConfigurationError where there are none."""
    place = folder or _given()
    described = _described(place)
    try:
        with np.load(place / "training.npz", allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"cannot read training.npz in {place}: {error}.") from error
    columns = (found.get(name) for name in _COLUMNS)
    return TrainingSet(
        found["X"], found["y"], described.names, described.categories, described.task, *columns
    )


def params(folder: Path | None = None) -> dict[str, Any]:
    """`params.params` of the candidate in defs.yaml."""
    return _described(folder or _given()).params


def save(model: Any, folder: Path | None = None) -> None:
    """Leave the model for the platform.

    Parameters
    ----------
    model : a fitted model of the platform, a lightgbm.Booster with the names of the features, or a fitted
        scikit-learn estimator that takes X as it is, missing values and codes of categories included

    Raises
    ------
    ModelError
        for anything else, and for an estimator that cannot be saved without code.
    """
    place = folder or _given()
    kind, files = _portable(model, _described(place))
    target = place / _MODEL
    target.mkdir(exist_ok=True)
    for name, content in files.items():
        (target / name).write_bytes(content)
    (target / KIND).write_bytes(msgspec.json.encode(Kind(kind)))


def saved(folder: Path) -> dict[str, bytes]:
    """The files a script left, by name; ModelError when there are none."""
    target = folder / _MODEL
    found = sorted(target.iterdir()) if target.is_dir() else []
    if not any(path.name == KIND for path in found):
        raise ModelError(
            f"script: got {[path.name for path in found] or 'no files'} in its folder {_MODEL!r}; allowed: "
            f"{KIND} and the files of the kind it names.",
            hint="Let the script end with script_contract.save(model).",
        )
    strange = [path.name for path in found if path.is_symlink() or not path.is_file()]
    if strange:
        raise ModelError(f"script: got {strange[0]!r} in its folder {_MODEL!r}; allowed: plain files.")
    return {path.name: path.read_bytes() for path in found}


def _given() -> Path:
    place = os.environ.get(VARIABLE) or (sys.argv[1] if len(sys.argv) > 1 else "")
    if not place:
        raise ConfigurationError(
            f"got no {VARIABLE}; it names the folder with training.npz and training.json.",
            hint="The platform sets it. To try a script by hand, write a folder with script_contract.write.",
        )
    return Path(place)


def _described(folder: Path) -> Described:
    try:
        return msgspec.json.decode((folder / "training.json").read_bytes(), type=Described)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"cannot read training.json in {folder}: {error}.") from error


def _portable(model: Any, described: Described) -> tuple[str, dict[str, bytes]]:
    """The kind and the files of a model."""
    if hasattr(model, "files"):
        files: dict[str, bytes] = model.files()
        return _kind_of(files), files
    if type(model).__module__.startswith("lightgbm.") and hasattr(model, "model_to_string"):
        return "lightgbm", {"model.txt": model.model_to_string().encode()}
    if hasattr(model, "get_params"):
        from mlplatform.stages.training.models import scikit_learn

        return "scikit_learn", scikit_learn.fitted(model, described.names, described.task).files()
    raise ModelError(
        f"got a {type(model).__name__}; allowed: a model of the platform, a lightgbm.Booster, a scikit-learn "
        "estimator.",
        hint="Other models: write a model file of your own, or its numbers as one of the platform's kinds.",
    )


def _kind_of(files: Mapping[str, bytes]) -> str:
    """The kind that the files say; LightGBM's text says none."""
    if "model.txt" in files:
        return "lightgbm"
    return msgspec.json.decode(files["model.json"], type=Kind).kind
