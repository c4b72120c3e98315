"""The file `MLmodel` of a package: what MLflow's tools read of a model.

The flavor `mlplatform` names what our own loader needs; a LightGBM model has MLflow's flavors `lightgbm` and
`python_function`, too, for its file is LightGBM's own text. The signature is of the encoded row: every
feature is a double, categories are their codes. It must not name anything that would run code from the file.
Format: https://mlflow.org/docs/latest/ml/model/#storage-format
"""

from typing import Any

import msgspec
import yaml

from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.candidate import Candidate

NAME = "MLmodel"
_SCORES = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]


def mlmodel(candidate: Candidate, fitted: FittedFeatureSet) -> bytes:
    """The file of a candidate, as YAML."""
    digest = candidate.digest
    told = {
        "flavors": _flavors(candidate, fitted),
        # What MLflow counts as the model's name; a model trained twice alike is one.
        "model_uuid": digest[:32],
        "utc_time_created": candidate.metadata.created_at,
        "signature": {
            "inputs": _json([{"type": "double", "name": name, "required": True} for name in fitted.names]),
            "outputs": _json(_SCORES),
        },
        "metadata": {"use_case": candidate.use_case, "digest": digest},
    }
    return yaml.safe_dump(told, sort_keys=False, allow_unicode=True).encode()


def inputs(file: bytes) -> list[str]:
    """Names of the signature's inputs in their order; ValueError if it is no such file."""
    try:
        signature = yaml.safe_load(file)["signature"]["inputs"]
        return [str(column["name"]) for column in msgspec.json.decode(signature)]
    except (yaml.YAMLError, KeyError, TypeError, msgspec.DecodeError) as error:
        raise ValueError(f"{NAME} has no signature: {error}") from error


def _flavors(candidate: Candidate, fitted: FittedFeatureSet) -> dict[str, Any]:
    versions = candidate.metadata.versions
    own = {
        "kind": candidate.kind,
        "score": candidate.output.kind,
        "feature_set": fitted.id,
        "candidate": "candidate.json",
        "features": "feature_set.json",
        "version": versions.get("mlplatform", ""),
    }
    if candidate.kind != "lightgbm":
        return {"mlplatform": own}
    booster = {
        "data": "model.txt",
        "model_class": "lightgbm.basic.Booster",
        "lgb_version": versions.get("lightgbm", ""),
    }
    function = {
        "loader_module": "mlflow.lightgbm",
        "data": "model.txt",
        "python_version": versions.get("python", ""),
    }
    return {"mlplatform": own, "lightgbm": booster, "python_function": function}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
