"""The peers of `benchmarks.serving`: MLServer, MLflow and BentoML, each in a virtual environment of its own.

An environment is made once in a cache folder and kept. Each peer serves the same LightGBM text file with one
worker and without access log. It must not measure anything.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving_processes import HOST, Server, free_port
from mlplatform.errors import ServiceError

_SERVICE = """
import bentoml
import lightgbm
import numpy


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Bench:
    def __init__(self) -> None:
        self.booster = lightgbm.Booster(model_file="model.txt")

    @bentoml.api
    def predict(self, rows: list[list[float]]) -> list[float]:
        return self.booster.predict(numpy.array(rows), num_threads=1).tolist()
"""
_SAVE = """
import lightgbm, mlflow.lightgbm
mlflow.lightgbm.save_model(lightgbm.Booster(model_file="model.txt"), "mlflow_model", pip_requirements=[])
"""


@dataclass(frozen=True)
class Peer:
    """How to install and to start a server that is not ours."""

    name: str
    requirements: tuple[str, ...]
    prepare: Callable[[Path, Path, str, int], Sequence[str]]
    """Gets the environment's Python, a folder with model.txt, the model's name and a port; the command."""
    environment: Mapping[str, str] = field(default_factory=dict)

    def start(self, cache: Path, model: bytes, use_case: str, folder: Path) -> Server:
        """A server with this model; its folder is `folder`.

        Raises
        ------
        ServiceError
            if it cannot be installed or prepared; the message ends with what the tool said.
        """
        python, port = self._python(cache), free_port()
        folder.mkdir(parents=True)
        (folder / "model.txt").write_bytes(model)
        command = self.prepare(python, folder, use_case, port)
        path = f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"
        quiet = {"DO_NOT_TRACK": "1", "PATH": path, "VIRTUAL_ENV": str(python.parent.parent)}
        return Server(command, port, folder / "server.log", {**quiet, **self.environment})

    def _python(self, cache: Path) -> Path:
        """The Python of its environment, which is made unless it is there; interrupted ones are made anew."""
        key = hashlib.sha256("\n".join(self.requirements).encode()).hexdigest()[:8]
        folder = cache / f"{self.name.lower()}-{key}"
        python, whole = folder / "bin" / "python", folder / "installed"
        if not whole.exists():
            uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
            if uv is None:
                raise ServiceError("uv is not installed.", hint="`pip install uv`, or pass --no-peers.")
            cache.mkdir(parents=True, exist_ok=True)
            _run([uv, "venv", "--clear", "--python", sys.executable, str(folder)], cache)
            _run([uv, "pip", "install", "--python", str(python), *self.requirements], cache)
            whole.write_text("\n".join(self.requirements))
        return python


def _mlserver(python: Path, folder: Path, use_case: str, port: int) -> Sequence[str]:
    settings = {"host": HOST, "http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    quiet = {"parallel_workers": 0, "debug": False, "metrics_rest_server_prefix": "rest_server"}
    (folder / "settings.json").write_text(json.dumps({**settings, **quiet}))
    model = {"name": use_case, "implementation": "mlserver_lightgbm.LightGBMModel"}
    (folder / "model-settings.json").write_text(json.dumps({**model, "parameters": {"uri": "./model.txt"}}))
    return [str(python.parent / "mlserver"), "start", str(folder)]


def _mlflow(python: Path, folder: Path, use_case: str, port: int) -> Sequence[str]:
    _run([str(python), "-c", _SAVE], folder)
    serve = [str(python), "-m", "mlflow", "models", "serve", "-m", "mlflow_model", "--env-manager", "local"]
    return [*serve, "--host", HOST, "--port", str(port), "--workers", "1"]


def _bentoml(python: Path, folder: Path, use_case: str, port: int) -> Sequence[str]:
    (folder / "service.py").write_text(_SERVICE)
    return [str(python), "-m", "bentoml", "serve", "service:Bench", "--host", HOST, "--port", str(port)]


def _run(command: Sequence[str], folder: Path) -> None:
    quiet = {**os.environ, "DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(command, cwd=folder, env=quiet, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise ServiceError(f"{' '.join(command[:4])} … failed: {(done.stderr or done.stdout)[-500:]}")


MLSERVER = Peer(
    "MLServer",
    ("mlserver==1.7.1", "mlserver-lightgbm==1.7.1", "uvloop<0.22", "lightgbm==4.7.0"),
    _mlserver,
)
MLFLOW = Peer(
    "MLflow",
    ("mlflow==3.17.2", "lightgbm==4.7.0"),
    _mlflow,
    {"MLFLOW_DISABLE_TELEMETRY": "true", "UVICORN_ACCESS_LOG": "false"},
)
BENTOML = Peer(
    "BentoML",
    ("bentoml==1.4.39", "lightgbm==4.7.0"),
    _bentoml,
    {"BENTOML_DO_NOT_TRACK": "True"},
)
