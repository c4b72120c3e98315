"""What kserve's client can ask, asked of a server of ours; run by the Python that has the client."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import checks
import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, InferResponse
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput

logging.disable(logging.CRITICAL)
TOLD = checks.asked()
NAME, WIDTH, SCORES = TOLD["name"], TOLD["width"], TOLD["scores"]
URL = f"http://{TOLD['address']}"
TYPES = {"BYTES": np.object_, "INT64": np.int64, "FP64": np.float64, "BOOL": np.bool_}
ROWS = np.array(TOLD["rows"], dtype=np.float64)


def ask(question: Callable[[InferenceRESTClient], Awaitable[Any]]) -> Any:
    async def asked() -> Any:
        async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=60)) as client:
            return await question(client)

    return asyncio.run(asked())


def infer(request: InferRequest | dict[str, Any], name: str = NAME) -> InferResponse:
    return ask(lambda client: client.infer(URL, request, name))


def request(rows: Any, *, binary: bool, **more: Any) -> InferRequest:
    tensor = InferInput("features", list(rows.shape), "FP64")
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return InferRequest(model_name=NAME, infer_inputs=[tensor], **more)


def output(answer: InferResponse, name: str) -> list[Any]:
    (found,) = [each for each in answer.outputs if each.name == name]
    values: list[Any] = found.as_numpy().tolist()
    return values


def same(answer: InferResponse) -> None:
    assert output(answer, "probability") == SCORES
    assert output(answer, "class") == [score >= 0.5 for score in SCORES]
    ids = [each if isinstance(each, str) else each.decode() for each in output(answer, "prediction_id")]
    assert ids == TOLD["ids"]


def refusal(question: Callable[[], Any]) -> httpx.HTTPStatusError:
    try:
        question()
    except httpx.HTTPStatusError as error:
        return error
    raise AssertionError("it was not refused")


def refused(question: Callable[[], Any], status: int, text: str) -> None:
    """The server says no, with this status and in words."""
    error = refusal(question)
    assert error.response.status_code == status, error
    assert text in str(error), error


def health() -> None:
    assert ask(lambda client: client.is_server_live(URL)) is True
    assert ask(lambda client: client.is_server_ready(URL)) is True


def model_ready() -> None:
    assert ask(lambda client: client.is_model_ready(URL, NAME)) is True
    assert ask(lambda client: client.is_model_ready(URL, "nothing")) is False


def json_in_json_out() -> None:
    rows = np.where(np.isnan(ROWS[:1]), 0.0, ROWS[:1])
    answer = infer(request(rows, binary=False))
    exact = infer(request(rows, binary=True))
    assert output(answer, "probability") == output(exact, "probability")


def null_is_missing() -> None:
    tensor = {"name": "features", "shape": list(ROWS.shape), "datatype": "FP64", "data": TOLD["rows"]}
    same(infer({"inputs": [tensor]}))


def binary_in_json_out() -> None:
    same(infer(request(ROWS, binary=True)))


def binary_in_binary_out() -> None:
    same(infer(request(ROWS, binary=True, parameters={"binary_data_output": True})))


def chosen_outputs() -> None:
    wanted = [
        RequestedOutput("prediction_id", parameters={"binary_data": True}),
        RequestedOutput("probability", parameters={"binary_data": False}),
    ]
    answer = infer(request(ROWS, binary=True, request_outputs=wanted))
    assert [each.name for each in answer.outputs] == ["prediction_id", "probability"]
    assert output(answer, "probability") == SCORES


def facts() -> None:
    inputs = []
    for place, (name, fact) in enumerate(TOLD["facts"].items()):
        tensor = InferInput(name, [len(fact["data"])], fact["datatype"])
        tensor.set_data_from_numpy(
            np.array(fact["data"], dtype=TYPES[fact["datatype"]]), binary_data=place % 2 == 0
        )
        inputs.append(tensor)
    answer = infer(InferRequest(model_name=NAME, infer_inputs=inputs))
    assert output(answer, "probability") == TOLD["fact_scores"]


def ids_come_back() -> None:
    assert infer(request(ROWS, binary=True, request_id="order 7")).id == "order 7"


def wrong_requests() -> None:
    narrow = request(np.zeros((1, WIDTH - 1)), binary=True)
    refused(lambda: infer(narrow), 400, f"got shape [1, {WIDTH - 1}]; allowed: [rows, {WIDTH}]")
    refused(lambda: infer(request(ROWS, binary=True), "nothing"), 404, "got use case 'nothing'")
    refused(lambda: infer({"inputs": []}), 400, "got 0 inputs")


CHECKS = (
    health,
    model_ready,
    json_in_json_out,
    null_is_missing,
    binary_in_json_out,
    binary_in_binary_out,
    chosen_outputs,
    facts,
    ids_come_back,
    wrong_requests,
)

checks.run({check.__name__: check for check in CHECKS})
