"""What `benchmarks.serving` measures: servers, and the requests each is asked, with the right answers.

`mlplatform JSON` has everything on that a service has by default: features computed from facts, router, log
of answers, metrics. It must not measure anything.
"""

import json
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import serving_peers as peers
from benchmarks.load import post, write_requests
from benchmarks.serving_processes import Server, ask, free_port
from benchmarks.serving_world import Questions
from mlplatform.errors import MlplatformError, ServiceError

FASTAPI, MLSERVER, JSON = "FastAPI constant", "MLServer V2", "mlplatform JSON"
_HEADER_LENGTH = "Inference-Header-Content-Length"

Score = Callable[[Mapping[str, str], bytes], float]
"""Reads the score out of an answer: its headers (names in lower case) and its body."""


@dataclass(frozen=True)
class Target:
    """One way to ask one server."""

    name: str
    server: Server
    requests: Path


@dataclass(frozen=True)
class _Way:
    requests: Sequence[bytes]
    score: Score
    """Of an answer."""
    expected: Sequence[float]
    """Scores to the bit; empty: the answer is a constant."""


@contextmanager
def started(
    questions: Questions, home: Path, folder: Path, cache: Path | None, told: Callable[[str], None]
) -> Iterator[list[Target]]:
    """Every server, started, its answers checked; those that cannot be had are told of and left out.

    `cache` is where peers are installed; None leaves them out.
    """
    with ExitStack() as stack:
        targets: list[Target] = []
        for name, start, ways in _servers(questions, home, folder, cache):
            told(f"{name}: starting")
            try:
                server = start()
                stack.callback(server.stop)
                server.await_answer(next(iter(ways.values())).requests[0], seconds=240.0)
            except (MlplatformError, OSError) as error:
                if cache is None or name not in _PEERS:
                    raise
                told(f"{name}: skipped; {error}")
                continue
            targets += _checked(ways, server, folder, told)
        yield targets


def _servers(
    questions: Questions, home: Path, folder: Path, cache: Path | None
) -> Iterator[tuple[str, Callable[[], Server], dict[str, _Way]]]:
    score_path, infer = f"/score/{questions.use_case}", f"/v2/models/{questions.use_case}/infer"
    constant = _Way([post(score_path, body) for body in questions.facts], _constant, [])
    for name, kind in (("ASGI constant", "asgi"), (FASTAPI, "fastapi")):
        yield name, lambda kind=kind: _constant_server(kind, folder), {name: constant}  # type: ignore[misc]
    whole, rows = questions.scores(questions.whole), questions.whole.tolist()
    tensors = [_tensor(row) for row in rows]
    v2 = _Way([post(infer, json.dumps({"inputs": [each]}).encode()) for each in tensors], _v2, whole)
    yield (
        "mlplatform",
        lambda: _ours(home, folder, questions.use_case),
        {
            JSON: _Way(constant.requests, _plain, questions.scores(questions.matrix)),
            "mlplatform V2 JSON": v2,
            "mlplatform V2 binary": _Way([_binary(infer, row) for row in rows], _v2_binary, whole),
        },
    )
    if cache is None:
        return
    mlflow = [post("/invocations", json.dumps({"inputs": [row]}).encode()) for row in rows]
    bentoml = [post("/predict", json.dumps({"rows": [row]}).encode()) for row in rows]
    for peer, way in (
        (peers.MLSERVER, {MLSERVER: v2}),
        (peers.MLFLOW, {"MLflow": _Way(mlflow, lambda _, body: json.loads(body)["predictions"][0], whole)}),
        (peers.BENTOML, {"BentoML": _Way(bentoml, lambda _, body: json.loads(body)[0], whole)}),
    ):
        place = folder / peer.name
        yield peer.name, lambda p=peer, at=place: p.start(cache, questions.model, questions.use_case, at), way  # type: ignore[misc]


_PEERS = {peer.name for peer in (peers.MLSERVER, peers.MLFLOW, peers.BENTOML)}


def _constant_server(kind: str, folder: Path) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.serving_constant", kind, str(port)]
    return Server(command, port, folder / f"{kind}.log", {"PYTHONPATH": str(Path.cwd())})


def _ours(home: Path, folder: Path, use_case: str) -> Server:
    port = free_port()
    chosen = {"MLPLATFORM_HOME": str(home.absolute()), "MLPLATFORM_SCORING_PORT": str(port)}
    command = [sys.executable, "-m", "mlplatform.online.server", use_case]
    paths = {"PYTHONPATH": str(Path.cwd()), "MLPLATFORM_WORKERS": "1"}
    return Server(command, port, folder / "mlplatform.log", {**chosen, **paths})


def _checked(
    ways: Mapping[str, _Way], server: Server, folder: Path, told: Callable[[str], None]
) -> Iterator[Target]:
    """The ways whose every answer is right, to the bit; another is told of and left out."""
    for name, way in ways.items():
        if wrong := _wrong(server, way):
            if name == JSON:
                raise ServiceError(f"{name}: {wrong}.", hint="Nothing is measured before that is right.")
            told(f"{name}: skipped; {wrong}")
            continue
        path = folder / f"{name.replace(' ', '_')}.requests"
        write_requests(path, way.requests)
        yield Target(name, server, path)


def _wrong(server: Server, way: _Way) -> str:
    for place, expected in enumerate(way.expected):
        status, headers, body = ask(server.port, way.requests[place])
        score = way.score(headers, body) if status == 200 else float("nan")
        if score != expected:
            return f"row {place} got {score} instead of {expected} (status {status}: {body[:200]!r})"
    return ""


def _tensor(row: Sequence[float]) -> dict[str, object]:
    return {"name": "features", "shape": [1, len(row)], "datatype": "FP64", "data": list(row)}


def _binary(path: str, row: Sequence[float]) -> bytes:
    """A V2 request whose tensor, and whose answer, are bytes behind the JSON."""
    size = {"binary_data_size": 8 * len(row)}
    tensor = {"name": "features", "shape": [1, len(row)], "datatype": "FP64", "parameters": size}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    raw = struct.pack(f"<{len(row)}d", *row)
    return post(path, head + raw, headers=f"{_HEADER_LENGTH}: {len(head)}\r\n")


def _constant(headers: Mapping[str, str], body: bytes) -> float:
    return float(json.loads(body)["score"])


def _plain(headers: Mapping[str, str], body: bytes) -> float:
    return float(json.loads(body)["score"])


def _v2(headers: Mapping[str, str], body: bytes) -> float:
    return float(json.loads(body)["outputs"][0]["data"][0])


def _v2_binary(headers: Mapping[str, str], body: bytes) -> float:
    """The first output as bytes: the first eight behind the JSON."""
    length = int(headers.get(_HEADER_LENGTH.lower(), len(body)))
    if length == len(body):
        return _v2(headers, body)
    return float(struct.unpack_from("<d", body, length)[0])
