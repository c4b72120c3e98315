"""What tritonclient[http] can ask, asked of a server of ours; run by the Python that has the client."""

import math
from collections.abc import Callable
from typing import Any

import checks
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

TOLD = checks.asked()
NAME, WIDTH, SCORES = TOLD["name"], TOLD["width"], TOLD["scores"]
ROWS = np.array(TOLD["rows"], dtype=np.float64)
CLIENT = triton.InferenceServerClient(TOLD["address"])
TYPES = {"BYTES": np.object_, "INT64": np.int64, "FP64": np.float64, "BOOL": np.bool_}
OUTPUTS = ("probability", "class", "prediction_id")


def features(rows: Any, *, binary: bool, datatype: str = "FP64") -> triton.InferInput:
    tensor = triton.InferInput("features", list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return tensor


def outputs(*, binary: bool) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in OUTPUTS]


def same(result: triton.InferResult, scores: list[float]) -> None:
    """The scores are these to the bit, and the other outputs fit them."""
    got = result.as_numpy("probability")
    assert got.dtype == np.float64
    assert got.tolist() == scores, (got.tolist(), scores)
    assert result.as_numpy("class").tolist() == [score >= 0.5 for score in scores]
    ids = [each if isinstance(each, str) else each.decode() for each in result.as_numpy("prediction_id")]
    assert ids == TOLD["ids"][: len(ids)], ids


def refusal(ask: Callable[[], Any]) -> InferenceServerException:
    try:
        ask()
    except InferenceServerException as error:
        return error
    raise AssertionError("it was not refused")


def refused(ask: Callable[[], Any], status: str, text: str) -> None:
    """The server says no, with this status and in words."""
    error = refusal(ask)
    assert error.status() == status, (error.status(), error.message())
    assert text in error.message(), error.message()


def health() -> None:
    assert CLIENT.is_server_live()
    assert CLIENT.is_server_ready()


def model_ready() -> None:
    assert CLIENT.is_model_ready(NAME)
    assert CLIENT.is_model_ready(NAME, TOLD["version"])
    assert not CLIENT.is_model_ready("nothing")
    assert not CLIENT.is_model_ready(NAME, "999")


def server_metadata() -> None:
    told = CLIENT.get_server_metadata()
    assert told["name"] == "mlplatform"
    assert {"binary_tensor_data", "model_repository", "statistics"} <= set(told["extensions"])


def model_metadata() -> None:
    for version in ("", TOLD["version"]):
        told = CLIENT.get_model_metadata(NAME, version)
        assert told["name"] == NAME
        assert TOLD["version"] in told["versions"]
        kinds = {each["name"]: each["datatype"] for each in told["inputs"]}
        assert kinds == TOLD["kinds"]
        assert [each["name"] for each in told["outputs"]] == list(OUTPUTS)
        assert len(told["parameters"]["features"]) == WIDTH
    refused(lambda: CLIENT.get_model_metadata("nothing"), "404", "got use case 'nothing'")


def complete() -> tuple[Any, list[float]]:
    """Rows without a missing value: JSON, as this client writes it, has none."""
    places = [at for at, row in enumerate(ROWS.tolist()) if not any(math.isnan(each) for each in row)]
    return ROWS[places[:1]], [SCORES[places[0]]]


def json_in_json_out() -> None:
    rows, scores = complete()
    result = CLIENT.infer(NAME, [features(rows, binary=False)], outputs=outputs(binary=False))
    assert result.as_numpy("probability").tolist() == scores


def json_in_binary_out() -> None:
    rows, scores = complete()
    result = CLIENT.infer(NAME, [features(rows, binary=False)])
    assert "binary_data_size" in result.get_output("probability")["parameters"]
    assert result.as_numpy("probability").tolist() == scores


def binary_in_json_out() -> None:
    same(CLIENT.infer(NAME, [features(ROWS[:3], binary=True)], outputs=outputs(binary=False)), SCORES[:3])


def binary_in_binary_out() -> None:
    """The client's defaults."""
    same(CLIENT.infer(NAME, [features(ROWS[:1], binary=True)]), SCORES[:1])
    same(CLIENT.infer(NAME, [features(ROWS, binary=True)], outputs=outputs(binary=True)), SCORES)


def both_kinds_of_output() -> None:
    wanted = [outputs(binary=True)[0], *outputs(binary=False)[1:]]
    result = CLIENT.infer(NAME, [features(ROWS, binary=True)], outputs=wanted)
    assert "data" in result.get_output("class")
    assert "data" not in result.get_output("probability")
    same(result, SCORES)


def narrow_floats() -> None:
    narrow = ROWS.astype(np.float32)
    wide = CLIENT.infer(NAME, [features(narrow.astype(np.float64), binary=True)])
    exact = CLIENT.infer(NAME, [features(narrow, binary=True, datatype="FP32")])
    assert exact.as_numpy("probability").tolist() == wide.as_numpy("probability").tolist()
    assert exact.as_numpy("prediction_id").tolist() == wide.as_numpy("prediction_id").tolist()


def facts() -> None:
    """One tensor per fact, in turn as bytes and as JSON."""
    inputs = []
    for place, (name, fact) in enumerate(TOLD["facts"].items()):
        values = np.array(fact["data"], dtype=TYPES[fact["datatype"]])
        tensor = triton.InferInput(name, [len(values)], fact["datatype"])
        tensor.set_data_from_numpy(values, binary_data=place % 2 == 0)
        inputs.append(tensor)
    for order in (inputs, inputs[::-1]):
        result = CLIENT.infer(NAME, order)
        assert result.as_numpy("probability").tolist() == TOLD["fact_scores"]


def by_version_and_id() -> None:
    result = CLIENT.infer(
        NAME, [features(ROWS, binary=True)], model_version=TOLD["version"], request_id="order 7"
    )
    assert result.get_response()["id"] == "order 7"
    assert result.get_response()["model_version"] == TOLD["version"]
    same(result, SCORES)
    refused(
        lambda: CLIENT.infer(NAME, [features(ROWS, binary=True)], model_version="999"),
        "404",
        "got version '999'",
    )


def asynchronous() -> None:
    waiting = [CLIENT.async_infer(NAME, [features(ROWS, binary=True)]) for _ in range(2)]
    for each in waiting:
        same(each.get_result(), SCORES)


def compressed() -> None:
    for algorithm in ("gzip", "deflate"):
        result = CLIENT.infer(
            NAME,
            [features(ROWS, binary=True)],
            request_compression_algorithm=algorithm,
            response_compression_algorithm=algorithm,
        )
        same(result, SCORES)


def wrong_requests() -> None:
    def ask(tensor: triton.InferInput, **more: Any) -> Callable[[], Any]:
        return lambda: CLIENT.infer(NAME, [tensor], **more)

    for binary in (True, False):
        narrow = features(np.zeros((2, WIDTH - 1)), binary=binary)
        refused(ask(narrow), "400", f"got shape [2, {WIDTH - 1}]; allowed: [rows, {WIDTH}]")
    refused(
        ask(features(np.zeros((1, WIDTH), np.int64), binary=True, datatype="INT64")),
        "400",
        "datatype 'INT64'",
    )
    refused(ask(features(np.full((1, WIDTH), np.inf), binary=True)), "400", "infinite")
    refused(
        ask(features(ROWS, binary=True), outputs=[triton.InferRequestedOutput("logit")]), "400", "'logit'"
    )
    top = triton.InferRequestedOutput("probability", class_count=1)
    refused(ask(features(ROWS, binary=True), outputs=[top]), "400", "not supported")
    shared = triton.InferInput("features", [1, WIDTH], "FP64")
    shared.set_shared_memory("region", 8 * WIDTH)
    refused(ask(shared), "400", "shared memory is not supported")
    refused(lambda: CLIENT.infer("nothing", [features(ROWS, binary=True)]), "404", "got use case 'nothing'")


def repository() -> None:
    other = TOLD["other_version"]

    def ready() -> set[str]:
        index = CLIENT.get_model_repository_index()
        return {each["version"] for each in index if each["name"] == NAME and each["state"] == "READY"}

    CLIENT.load_model(NAME)
    assert TOLD["version"] in ready()
    assert other not in ready()
    CLIENT.load_model(NAME, query_params={"version": other})
    assert {other, TOLD["version"]} <= ready()
    assert CLIENT.is_model_ready(NAME, other)
    result = CLIENT.infer(NAME, [features(ROWS, binary=True)], model_version=other)
    assert result.as_numpy("probability").tolist() == TOLD["other_scores"]
    CLIENT.unload_model(NAME, query_params={"version": other})
    assert other not in ready()
    assert not CLIENT.is_model_ready(NAME, other)
    refused(lambda: CLIENT.unload_model(NAME), "409", "champion")
    version = {"version": TOLD["version"]}
    refused(lambda: CLIENT.unload_model(NAME, query_params=version), "409", "role")
    refused(lambda: CLIENT.load_model("nothing"), "404", "got model 'nothing'")
    refused(lambda: CLIENT.load_model(NAME, config="{}"), "400", "got a config")


def statistics() -> None:
    def told() -> dict[str, Any]:
        (found,) = CLIENT.get_inference_statistics(NAME, TOLD["version"])["model_stats"]
        return dict(found)

    before = told()
    CLIENT.infer(NAME, [features(ROWS, binary=True)])
    refused(lambda: CLIENT.infer(NAME, [features(ROWS[:, 1:], binary=True)]), "400", "got shape")
    after = told()
    assert after["inference_count"] - before["inference_count"] == len(ROWS)
    assert after["execution_count"] - before["execution_count"] == 1
    assert after["inference_stats"]["success"]["ns"] > before["inference_stats"]["success"]["ns"]
    assert after["inference_stats"]["fail"]["count"] == before["inference_stats"]["fail"]["count"] + 1
    names = {each["name"] for each in CLIENT.get_inference_statistics()["model_stats"]}
    assert NAME in names


def what_is_not_there() -> None:
    """Extensions that are not named are refused in words, not by a crash of either side."""
    refused(lambda: CLIENT.get_model_config(NAME), "404", "not supported")
    for ask in (
        CLIENT.get_trace_settings,
        CLIENT.get_log_settings,
        CLIENT.get_system_shared_memory_status,
        CLIENT.get_cuda_shared_memory_status,
    ):
        refused(ask, "404", "routes are described at /docs")


CHECKS = (
    health,
    model_ready,
    server_metadata,
    model_metadata,
    json_in_json_out,
    json_in_binary_out,
    binary_in_json_out,
    binary_in_binary_out,
    both_kinds_of_output,
    narrow_floats,
    facts,
    by_version_and_id,
    asynchronous,
    compressed,
    wrong_requests,
    repository,
    statistics,
    what_is_not_there,
)

checks.run({check.__name__: check for check in CHECKS})
CLIENT.close()
