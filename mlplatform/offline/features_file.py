"""A use case's `features.py`: imported with every mistake placed on its line, and its code read for versions.

It must not know what the file declares.
"""

import ast
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from mlplatform.errors import ConfigurationError, MlplatformError


def import_file(file: Path, name: str) -> ModuleType:
    """The module in `file`, imported under `name`.

    Raises
    ------
    ConfigurationError
        if it is missing or fails; the message begins with file and line.
    """
    if not file.exists():
        raise ConfigurationError(f"{file} does not exist.", hint="A use case has defs.yaml and features.py.")
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{file} cannot be imported.", hint="It must be a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except MlplatformError as error:
        raise ConfigurationError(f"{_where(error, file)}: {error}", hint=error.hint) from error
    except Exception as error:
        raise ConfigurationError(
            f"{_where(error, file)}: {type(error).__name__}: {error}",
            hint=f"Correct that line; `python {file.name}` shows the same error.",
        ) from error
    return module


def line_of(file: Path, name: str) -> int | None:
    """The line on which `file` defines or assigns `name` at its top level."""
    for node in ast.parse(file.read_bytes()).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=found)]) | ast.AnnAssign(target=ast.Name(id=found)):
                pass
            case ast.FunctionDef(name=found) | ast.ClassDef(name=found):
                pass
            case _:
                continue
        if found == name:
            return node.lineno
    return None


def code_of(function: Callable[..., Any]) -> str:
    """The source of a function and of everything in its own file that it uses, functions and constants."""
    found: dict[str, str] = {}
    waiting = [function]
    while waiting:
        current = waiting.pop()
        found[current.__qualname__] = inspect.getsource(current)
        for name in sorted(set(_names(current.__code__))):
            value = current.__globals__.get(name)
            if inspect.isfunction(value) and value.__module__ == function.__module__:
                if value.__qualname__ not in found:
                    waiting.append(value)
            elif isinstance(value, str | int | float | bool | tuple | list | dict):
                found[name] = repr(value)
            elif isinstance(value, set | frozenset):
                found[name] = repr(sorted(map(repr, value)))
    return "\n".join(f"{name}: {found[name]}" for name in sorted(found))


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _where(error: BaseException, file: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f"{file}:{error.lineno}"
    lines = []
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == str(file):
            lines.append(traceback.tb_lineno)
        traceback = traceback.tb_next
    return f"{file}:{lines[-1]}" if lines else str(file)
