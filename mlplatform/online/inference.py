"""The Open Inference Protocol V2 (REST, JSON): its requests as rows of facts or features, its answers.

Inputs are either one tensor per fact, or one tensor `features` of ready-made features. The protocol's JSON
has no null; here null is a missing value. It must not know HTTP, nor which release answers.

Protocol: https://github.com/kserve/open-inference-protocol (inference_rest.md).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import msgspec

from mlplatform.errors import RequestError
from mlplatform.online.bundle import Bundle, OnServed
from mlplatform.online.facts import not_json
from mlplatform.online.replies import shown
from mlplatform.stages.preparation.declarations import FactType
from mlplatform.stages.scoring.score import Answer, places
from mlplatform.stages.training.output import Kind

MOST_ROWS = 1000
LONGEST_ID = 1000
FEATURES = "features"
"""Name of the tensor of ready-made features, unless a fact is called so."""

Scalar = str | int | float | bool | None
Ask = Callable[[], Answer]

_INTEGERS = tuple(f"{sign}INT{bits}" for sign in ("", "U") for bits in (64, 32, 16, 8))
_FLOATS = ("FP64", "FP32", "FP16")
DATATYPES: dict[FactType, tuple[str, ...]] = {
    "string": ("BYTES",),
    "time": ("BYTES",),
    "bool": ("BOOL",),
    "int": _INTEGERS,
    "float": (*_FLOATS, *_INTEGERS),
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


class Tensor(msgspec.Struct):
    """An input: values by row, flat or nested."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Scalar | list[Scalar]]


class RequestedOutput(msgspec.Struct):
    """An output the caller wants."""

    name: str


class InferRequest(msgspec.Struct):
    """The body of an infer request; `parameters` ask for extensions, of which there are none yet."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[RequestedOutput] | None = None


class OutputTensor(msgspec.Struct, frozen=True):
    """An output: one value per row."""

    name: str
    shape: tuple[int]
    datatype: str
    data: list[Any]


class InferResponse(msgspec.Struct, frozen=True):
    """The answer to an infer request."""

    model_name: str
    model_version: str
    id: str
    parameters: dict[str, str]
    outputs: list[OutputTensor]


_decode = msgspec.json.Decoder(InferRequest).decode


def read_request(body: bytes) -> InferRequest:
    """The request in a JSON body; RequestError 400 for what is none."""
    try:
        request = _decode(body)
    except msgspec.ValidationError as error:
        raise RequestError(f"not an infer request: {str(error)[:300]}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from error
    if request.id is not None and len(request.id) > LONGEST_ID:
        raise RequestError(f"got an id of {len(request.id)} characters; allowed: {LONGEST_ID}.")
    return request


def read_rows(bundle: Bundle, request: InferRequest, served: OnServed | None = None) -> list[Ask]:
    """One function per row that answers it; RequestError 400 for tensors that do not fit the use case."""
    tensors = {tensor.name: tensor for tensor in request.inputs}
    if len(tensors) < len(request.inputs) or not tensors:
        raise RequestError(
            f"got {len(request.inputs)} inputs of {len(tensors)} names; allowed: one or more, each name once."
        )
    if FEATURES in tensors and FEATURES not in bundle.facts.types:
        return _feature_rows(bundle, tensors)
    return _fact_rows(bundle, tensors, served)


def wanted_outputs(bundle: Bundle, request: InferRequest) -> list[str]:
    """Names of the outputs to give: those asked for, or all."""
    known = OUTPUTS[bundle.output.kind]
    if not request.outputs:
        return list(known)
    names = [output.name for output in request.outputs]
    if unknown := [name for name in names if name not in known]:
        raise RequestError(f"got output {shown(unknown[0])}; allowed: {', '.join(known)}.")
    return list(dict.fromkeys(names))


def response(
    bundle: Bundle, request: InferRequest, answers: list[Answer], wanted: list[str]
) -> InferResponse:
    """The answers as tensors; the caller's id comes back, or gets made up."""
    known, release = OUTPUTS[bundle.output.kind], bundle.release
    return InferResponse(
        model_name=release.use_case,
        model_version=str(release.version),
        id=str(uuid4()) if request.id is None else request.id,
        parameters={"feature_set": bundle.feature_set_id, "model": release.model, "digest": release.digest},
        outputs=[
            OutputTensor(name, (len(answers),), known[name], _output(bundle, request, answers, name))
            for name in wanted
        ],
    )


def _output(bundle: Bundle, request: InferRequest, answers: list[Answer], name: str) -> list[Any]:
    match name:
        case "prediction_id":
            return [answer.prediction_id for answer in answers]
        case "class":
            return [answer.predicted for answer in answers]
        case "cluster":
            return [answer.cluster for answer in answers]
        case "rank":
            return _ranks(bundle, request, answers)
        case _:
            return [answer.score for answer in answers]


def _ranks(bundle: Bundle, request: InferRequest, answers: list[Answer]) -> list[int]:
    """The rank of each row among those of its list; rows of ready-made features are one list."""
    told = {tensor.name: tensor for tensor in request.inputs if tensor.name in bundle.output.by}
    columns = [_flat(tensor, len(answers), 1) for tensor in told.values()]
    lists: dict[Any, list[int]] = {}
    for row, of in enumerate(zip(*columns, strict=True) if columns else [()] * len(answers)):
        lists.setdefault(of, []).append(row)
    ranks = [0] * len(answers)
    for rows in lists.values():
        for row, rank in zip(rows, places([answers[row].score for row in rows]), strict=True):
            ranks[row] = rank
    return ranks


def metadata(bundle: Bundle) -> dict[str, Any]:
    """The model metadata object of the protocol, from the release's own schema."""
    facts = bundle.facts
    return {
        "name": bundle.release.use_case,
        "versions": [str(bundle.release.version)],
        "platform": f"mlplatform_{bundle.release.model.rpartition('.')[2]}",
        "inputs": [
            {"name": name, "datatype": DATATYPES[kind][0], "shape": [-1]}
            for name, kind in facts.types.items()
        ],
        "outputs": [
            {"name": name, "datatype": kind, "shape": [-1]}
            for name, kind in OUTPUTS[bundle.output.kind].items()
        ],
        "parameters": {
            "feature_set": bundle.feature_set_id,
            "digest": bundle.release.digest,
            "required": list(facts.required),
            "features": list(bundle.names),
            "categories": {name: list(levels) for name, levels in bundle.fitted.levels.items()},
        },
    }


def _fact_rows(bundle: Bundle, tensors: dict[str, Tensor], served: OnServed | None) -> list[Ask]:
    facts = bundle.facts
    if unknown := [name for name in tensors if name not in facts.types]:
        raise RequestError(
            f"got input {shown(unknown[0])}; allowed: {', '.join(facts.names)}, or one tensor {FEATURES!r}."
        )
    if missing := [name for name in facts.required if name not in tensors]:
        raise RequestError(f"input {missing[0]!r} is missing; required: {', '.join(facts.required)}.")
    rows = {_rows(tensor) for tensor in tensors.values()}
    if len(rows) > 1:
        raise RequestError(
            f"got inputs of {' and '.join(map(str, sorted(rows)))} rows; all must be the same."
        )
    (n,) = rows
    columns = [
        facts.column(name, _fact_values(tensors[name], kind)) if name in tensors else [None] * n
        for name, kind in facts.types.items()
    ]
    return [
        partial(bundle.answer, dict(zip(facts.names, row, strict=True)), served)
        for row in zip(*columns, strict=True)
    ]


def _feature_rows(bundle: Bundle, tensors: dict[str, Tensor]) -> list[Ask]:
    tensor, width = tensors[FEATURES], len(bundle.names)
    if len(tensors) > 1:
        raise RequestError(f"got {FEATURES!r} and {len(tensors) - 1} more inputs; it must be the only one.")
    if tensor.datatype not in _FLOATS:
        raise RequestError(f"input {FEATURES!r}: got datatype {shown(tensor.datatype)}; allowed: FP64.")
    n = _rows(tensor)
    if tensor.shape[1:] != [width]:
        raise RequestError(
            f"input {FEATURES!r}: got shape {shown(tensor.shape)}; allowed: [rows, {width}].",
            hint="GET the model's metadata: `features` lists them in order.",
        )
    values = _flat(tensor, n, width)
    try:
        numbers = msgspec.convert(values, list[float | None])
    except msgspec.ValidationError as error:
        raise RequestError(f"input {FEATURES!r}: {str(error)[:200]}.", hint="Missing is null.") from error
    row = [math.nan if number is None else number for number in numbers]
    return [partial(bundle.answer_features, row[at : at + width]) for at in range(0, n * width, width)]


def _fact_values(tensor: Tensor, kind: FactType) -> list[Any]:
    allowed = DATATYPES[kind]
    if tensor.datatype not in allowed:
        raise RequestError(
            f"input {tensor.name!r}: got datatype {shown(tensor.datatype)}; allowed: {', '.join(allowed)}."
        )
    if tensor.shape[1:] not in ([], [1]):
        raise RequestError(
            f"input {tensor.name!r}: got shape {shown(tensor.shape)}; allowed: [rows] or [rows, 1]."
        )
    return _flat(tensor, tensor.shape[0], 1)


def _rows(tensor: Tensor) -> int:
    n = tensor.shape[0] if tensor.shape else 0
    if not 1 <= n <= MOST_ROWS:
        raise RequestError(
            f"input {shown(tensor.name)}: got shape {shown(tensor.shape)}; allowed: 1 to {MOST_ROWS} rows."
        )
    return n


def _flat(tensor: Tensor, rows: int, width: int) -> list[Any]:
    """The values row after row, however they were nested."""
    nested = [row for row in tensor.data if isinstance(row, list)]
    if not nested and len(tensor.data) == rows * width:
        return tensor.data
    if len(nested) == len(tensor.data) == rows and all(len(row) == width for row in nested):
        return [value for row in nested for value in row]
    raise RequestError(
        f"input {shown(tensor.name)}: its data does not fill the shape {shown(tensor.shape)}.",
        hint="Send the values flat or as one list per row.",
    )
