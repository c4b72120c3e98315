"""What an infer request is made of, as the protocol has it in JSON.

It must not know a use case, nor how a request is read.

Protocol: https://github.com/kserve/open-inference-protocol (inference_rest.md), and Triton's extension
`binary_tensor_data`.
"""

from typing import Annotated, Any

import msgspec

FEATURES = "features"
"""Name of the tensor of ready-made features, unless a fact is called so."""

_Size = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Dimension = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class TensorParameters(msgspec.Struct):
    """What may be said of an input; other parameters are left aside, as the protocol has it."""

    binary_data_size: _Size | None = None
    """Bytes of this tensor behind the JSON."""
    shared_memory_region: str | None = None


class Tensor(msgspec.Struct):
    """An input: values by row."""

    name: str
    shape: list[_Dimension]
    datatype: str
    data: Any = msgspec.UNSET
    """From JSON a list, flat or nested; from bytes flat: float64 in an array, other values in a list."""
    parameters: TensorParameters | None = None


class OutputParameters(msgspec.Struct):
    """What may be said of an output."""

    binary_data: bool | None = None
    classification: int | None = None
    shared_memory_region: str | None = None


class RequestedOutput(msgspec.Struct):
    """An output the caller wants."""

    name: str
    parameters: OutputParameters | None = None


class RequestParameters(msgspec.Struct):
    """What may be said of a request."""

    binary_data_output: bool | None = None
    """Whether outputs are given as bytes that do not say so themselves."""


class InferRequest(msgspec.Struct):
    """The body of an infer request."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[RequestedOutput] | None = None
    parameters: RequestParameters | None = None


class FlatTensor(Tensor):
    """An input of numbers and nulls in one flat list."""

    data: list[float | None] = msgspec.field()


class NestedTensor(Tensor):
    """An input of numbers and nulls in one list per row."""

    data: list[list[float | None]] = msgspec.field()


class FlatRequest(InferRequest):
    """One whose inputs are all flat numbers, as ready-made features mostly are."""

    inputs: list[FlatTensor]  # type: ignore[assignment]


class NestedRequest(InferRequest):
    """One whose inputs are all rows of numbers."""

    inputs: list[NestedTensor]  # type: ignore[assignment]


def binary_outputs(request: InferRequest, names: list[str]) -> list[str]:
    """Those of the outputs that the caller wants as bytes; the last word on one counts."""
    wanted = request.parameters is not None and bool(request.parameters.binary_data_output)
    if not wanted and not request.outputs:
        return []
    told = {
        output.name: output.parameters.binary_data
        for output in request.outputs or ()
        if output.parameters is not None and output.parameters.binary_data is not None
    }
    return [name for name in names if told.get(name, wanted)]


def quotes(request: InferRequest) -> int:
    """How many quotes the JSON has that is this request; it has more if a key is unknown, null or twice.

    Texts where numbers belong are not counted, as they are refused later.
    """
    found = 1 + _told(request.parameters) + (0 if request.id is None else 2)
    for tensor in request.inputs:
        found += 5 + _told(tensor.parameters)
        if tensor.data is not msgspec.UNSET:
            found += 1
            found += _texts(tensor)
    if request.outputs is not None:
        found += 1
        for output in request.outputs:
            found += 2 + _told(output.parameters)
    return 2 * found


def _texts(tensor: Tensor) -> int:
    """Texts in flat data; those in nested data are not counted, and so its keys are looked at one by one."""
    data = tensor.data
    if tensor.datatype != "BYTES" or not isinstance(data, list) or any(type(v) is list for v in data):
        return 0
    return len(data) - data.count(None)


def _told(parameters: msgspec.Struct | None) -> int:
    """Keys of an object of parameters, and its own."""
    if parameters is None:
        return 0
    values = msgspec.structs.astuple(parameters)
    return 1 + len(values) - values.count(None)
