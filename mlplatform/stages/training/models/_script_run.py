"""Runs a script or notebook in a process of its own, with a limit of time; must not know a model."""

import ast
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.training.script_contract import VARIABLE

_ROOT = Path(__file__).parents[4]
"""What the package is imported from."""
_LINES = 12
"""Last lines of what a script said that an error repeats."""
_ONE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""One thread each, because the number of threads decides the last bits of a sum."""


class _Cell(msgspec.Struct, frozen=True):
    cell_type: str
    source: str | list[str] = ""


class _Notebook(msgspec.Struct, frozen=True):
    cells: list[_Cell]


def code(path: Path) -> str:
    """The code of a .py, or of a notebook's code cells in order.

    In a cell that is no Python, lines that begin with % or ! are left out: they are for the notebook.

    Raises
    ------
    ConfigurationError
        when there is no such file, or it is neither.
    ModelError
        when a notebook cannot be read.
    """
    if path.suffix not in (".py", ".ipynb") or not path.is_file():
        raise ConfigurationError(
            f"script: got path: {str(path)!r}; allowed: a .py or .ipynb that is there.",
            hint="Give the path from the folder the platform is started in, or an absolute one.",
        )
    text = path.read_text(encoding="utf-8")
    return text if path.suffix == ".py" else _cells(path.name, text)


def run(path: Path, text: str, training: Path, seconds: float) -> None:
    """Run the code of `path` in an empty folder beside `training`, the folder it is given.

    Raises
    ------
    ModelError
        when it fails or takes longer than `seconds`; it is killed then, with the processes it started.
    """
    empty = training.parent / "work"
    empty.mkdir()
    script = path.resolve()
    if path.suffix == ".ipynb":
        script = training.parent / f"{path.stem}.py"
        script.write_text(text, encoding="utf-8")
    output = training.parent / "output.txt"
    with output.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(script), str(training)],
            cwd=empty,
            env=_environment(path, training),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        ended = _ended(process, seconds)
    if ended != 0:
        what = f"ran longer than {seconds:g} seconds" if ended is None else f"ended with code {ended}"
        raise ModelError(
            f"script: {path.name} {what}; its last lines:\n{_last(output)}",
            hint="Raise `seconds`, or let it learn from fewer rows."
            if ended is None
            else "Correct the script.",
        )


def _ended(process: "subprocess.Popen[bytes]", seconds: float) -> int | None:
    """The code it ended with, None when it was killed; nothing that it started is left running."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _kill(process)
        process.wait()


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End the process and its session; where there are no sessions (Windows), the process."""
    if not hasattr(os, "killpg"):
        process.kill()
        return
    with suppress(ProcessLookupError):  # nobody of the session may be left
        os.killpg(process.pid, signal.SIGKILL)


def _environment(path: Path, training: Path) -> dict[str, str]:
    """That of this process, with the folder, imports from beside the script, and what makes it repeat."""
    beside = [str(path.resolve().parent), str(_ROOT)]
    if os.environ.get("PYTHONPATH"):
        beside.append(os.environ["PYTHONPATH"])
    fixed = {"PYTHONHASHSEED": "0", "MPLBACKEND": "Agg"} | dict.fromkeys(_ONE, "1")
    return {**os.environ, **fixed, "PYTHONPATH": os.pathsep.join(beside), VARIABLE: str(training)}


def _last(output: Path) -> str:
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "\n".join(lines[-_LINES:]) or "(it said nothing)"


def _cells(name: str, text: str) -> str:
    try:
        notebook = msgspec.json.decode(text, type=_Notebook)
    except msgspec.DecodeError as error:
        raise ModelError(
            f"script: cannot read the notebook {name}: {error}.", hint="Save it in format 4 or newer."
        ) from error
    sources = ("".join(cell.source) for cell in notebook.cells if cell.cell_type == "code")
    return "\n\n".join(_python(name, number, source) for number, source in enumerate(sources, start=1))


def _python(name: str, number: int, source: str) -> str:
    """The cell as it is, or without its lines for the notebook."""
    if _parses(source):
        return f"# cell {number}\n{source}"
    lines = [f"# {line}" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines()]
    without = "\n".join(lines)
    if source.lstrip().startswith("%%") or not _parses(without):
        raise ModelError(
            f"script: code cell {number} of {name} is no Python.",
            hint="Cells for another language or with a syntax error cannot be trained from.",
        )
    return f"# cell {number}\n{without}"


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True
