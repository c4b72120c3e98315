"""The datatypes of the Open Inference Protocol: which of them facts take, and which scores are given in.

It must not know a request.
"""

from mlplatform.stages.preparation.declarations import FactType
from mlplatform.stages.training.output import Kind

_INTEGERS = tuple(f"{sign}INT{bits}" for sign in ("", "U") for bits in (64, 32, 16, 8))
FLOATS = ("FP64", "FP32", "FP16")
DATATYPES: dict[FactType, tuple[str, ...]] = {
    "string": ("BYTES",),
    "time": ("BYTES",),
    "bool": ("BOOL",),
    "int": _INTEGERS,
    "float": (*FLOATS, *_INTEGERS),
}
"""Datatypes allowed for each type of fact; metadata names the first."""
OUTPUTS: dict[Kind, dict[str, str]] = {
    "probability": {"probability": "FP64", "class": "BOOL", "prediction_id": "BYTES"},
    "number": {"number": "FP64", "prediction_id": "BYTES"},
    "cluster": {"cluster": "INT64", "prediction_id": "BYTES"},
    "ranked_list": {"relevance": "FP64", "rank": "INT64", "prediction_id": "BYTES"},
    "forecast": {"forecast": "FP64", "prediction_id": "BYTES"},
}
"""Names and datatypes of the outputs by kind of score; `rank` is among the request's rows of one list."""
