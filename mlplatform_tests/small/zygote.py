"""Runs the command line in forks of one process that has imported everything.

An import of the platform takes seconds, most commands take less: a fork is a fresh process without that wait.
Run as a program this file is the zygote. It must not change what a command sees but for the imports done.
"""

import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlplatform_tests.small import world


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or minus the signal that killed it."""

    returncode: int
    stdout: str
    stderr: str
    seconds: float


class Zygote:
    """A running zygote; `close` it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlplatform_tests.small.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env=world.environ(Path("/nowhere"), OPENBLAS_NUM_THREADS="1"),
        )
        self._asked = threading.Lock()

    def run(
        self, *arguments: str, home: Path, cwd: Path, kill_after: float | None = None, **environment: str
    ) -> Ended:
        """Run `mlplatform <arguments>`; after `kill_after` seconds it is killed with -9."""
        with tempfile.TemporaryDirectory() as folder, self._asked:
            order = {
                "arguments": arguments,
                "cwd": str(cwd),
                "environment": world.environ(home, OMP_NUM_THREADS="2", **environment),
                "folder": folder,
                "kill_after": kill_after,
            }
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
            stdout, stderr = ((Path(folder) / name).read_text() for name in ("stdout", "stderr"))
        return Ended(answer["returncode"], stdout, stderr, answer["seconds"])

    def close(self) -> None:
        """End the zygote."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


def be_command(order: dict[str, Any]) -> int:
    """Become what a shell would have started."""
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        file = os.open(Path(order["folder"]) / name, os.O_RDWR | os.O_CREAT)
        os.dup2(file, descriptor)
    sys.argv = ["mlplatform", *order["arguments"]]
    from mlplatform.cli import main

    try:
        main()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 0


def obey(order: dict[str, Any]) -> dict[str, Any]:
    """Fork, wait or kill, and tell how it ended."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = be_command(order)
        except BaseException:
            sys.excepthook(*sys.exc_info())  # what the interpreter would print of an uncaught error
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    ended, status = 0, 0
    while order["kill_after"] is not None and not ended and time.monotonic() - began < order["kill_after"]:
        time.sleep(0.005)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        if order["kill_after"] is not None:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return {"returncode": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - began}


def main() -> None:
    """Import what commands import, then obey."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import mlplatform.cli as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    for name in (
        "alembic.command",
        "dagster._core.storage.event_log.sqlite",
        "dagster._core.workspace.context",
        "dagster._daemon.controller",
        "dagster._grpc.impl",
        "httpcore",
        "mlplatform.offline.event_log",
        "mlplatform.offline.run",
        "mlplatform.stages.evaluation.pictures",
        "mlplatform.stages.training.models.decision_tree",
        "mlplatform.stages.training.models.logistic_regression",
        "mlplatform.stages.training.models.rate_table",
        "matplotlib.figure",
        "matplotlib.backends.backend_agg",
        "sklearn.linear_model",
        "sklearn.tree",
        "pyarrow.dataset",
        "pandas",
    ):
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
