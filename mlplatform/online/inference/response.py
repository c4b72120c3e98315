"""The answer to an infer request: scores as tensors, in JSON or as bytes behind it.

It must not know HTTP, nor compute a score.
"""

from random import getrandbits
from typing import Any

import msgspec

from mlplatform.errors import RequestError
from mlplatform.online.bundle import Bundle
from mlplatform.online.inference.binary import packed
from mlplatform.online.inference.datatypes import OUTPUTS
from mlplatform.online.inference.request import InferRequest, binary_outputs
from mlplatform.online.inference.tensors import fact_values
from mlplatform.online.replies import encode, shown
from mlplatform.stages.scoring.score import Answer, places

Parameters = dict[str, str | float | bool]


class OutputTensor(msgspec.Struct, frozen=True):
    """An output: one value per row."""

    name: str
    shape: tuple[int]
    datatype: str
    data: list[Any] | msgspec.UnsetType
    parameters: dict[str, int] | msgspec.UnsetType = msgspec.UNSET


class InferResponse(msgspec.Struct, frozen=True):
    """The answer to an infer request."""

    model_name: str
    model_version: str
    id: str
    parameters: Parameters
    outputs: list[OutputTensor]


def wanted_outputs(bundle: Bundle, request: InferRequest) -> list[str]:
    """Names of the outputs to give: those asked for, or all; RequestError 400 for others."""
    known = OUTPUTS[bundle.output.kind]
    if not request.outputs:
        return list(known)
    names = [output.name for output in request.outputs]
    if unknown := [name for name in names if name not in known]:
        raise RequestError(f"got output {shown(unknown[0])}; allowed: {', '.join(known)}.")
    for output in request.outputs:
        told = output.parameters
        if told and (told.classification is not None or told.shared_memory_region is not None):
            raise RequestError(
                f"output {output.name!r}: classification and shared memory are not supported.",
                hint="Ask for the values, as JSON or as bytes.",
            )
    return list(dict.fromkeys(names))


def response(
    bundle: Bundle, request: InferRequest, answers: list[Answer], wanted: list[str]
) -> InferResponse:
    """The answers as tensors, and which version and link gave them; a caller's id comes back."""
    known, first, shape = OUTPUTS[bundle.output.kind], answers[0], (len(answers),)
    outputs = [
        OutputTensor(name, shape, known[name], _output(bundle, request, answers, name)) for name in wanted
    ]
    # A made-up id is no secret: any 128 bits that nobody else has will do.
    made = request.id if request.id is not None else f"{getrandbits(128):032x}"
    return InferResponse(first.use_case, str(first.version), made, _told(answers), outputs)


def _told(answers: list[Answer]) -> Parameters:
    """Where the answers come from; the age is that of the row with the oldest features."""
    first = answers[0]
    told: Parameters = {
        "feature_set": first.feature_set,
        "model": first.model,
        "digest": first.digest,
        "link": first.link,
    }
    ages = [answer.features_age_s for answer in answers if answer.features_age_s is not None]
    if ages:
        told["features_age_s"] = max(ages)
    if first.late is True:
        told["late"] = True
    return told


def written(request: InferRequest, answer: InferResponse) -> tuple[bytes, int | None]:
    """The body of an answer, and how many bytes of it are JSON; None if all are.

    The outputs that were asked for as bytes come behind the JSON, in their order.
    """
    names = binary_outputs(request, [output.name for output in answer.outputs])
    if not names:
        return encode(answer), None
    outputs, raws = [], []
    for output in answer.outputs:
        if output.name in names and output.data is not msgspec.UNSET:
            raw = packed(output.datatype, output.data)
            size = {"binary_data_size": len(raw)}
            output = OutputTensor(output.name, output.shape, output.datatype, msgspec.UNSET, size)
            raws.append(raw)
        outputs.append(output)
    header = encode(msgspec.structs.replace(answer, outputs=outputs))
    return b"".join((header, *raws)), len(header)


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
    columns = [fact_values(tensor, bundle.facts.types[name]) for name, tensor in told.items()]
    lists: dict[Any, list[int]] = {}
    for row, of in enumerate(zip(*columns, strict=True) if columns else [()] * len(answers)):
        lists.setdefault(of, []).append(row)
    ranks = [0] * len(answers)
    for rows in lists.values():
        for row, rank in zip(rows, places([answers[row].score for row in rows]), strict=True):
            ranks[row] = rank
    return ranks
