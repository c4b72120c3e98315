"""The library a model file trains with, as Dagster shows it: read from the file's own imports."""

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from mlplatform.stages.training import models

_SHOWN = {"lightgbm": "lightgbm", "sklearn": "scikitlearn", "xgboost": "xgboost", "torch": "pytorch"}
"""Library -> the name Dagster has a picture for; all others are Python."""


def kind_of(model: str) -> str:
    """Dagster's kind for a model file of this name or dotted path; nothing is imported for it."""
    name = model if "." in model else f"{models.__name__}.{model}"
    try:
        found = find_spec(name)
    except (ImportError, ValueError):
        return "python"
    if found is None or found.origin is None:
        return "python"
    libraries = _imports(Path(found.origin), inner=True)
    return next((shown for library, shown in _SHOWN.items() if library in libraries), "python")


@cache
def _imports(file: Path, inner: bool) -> frozenset[str]:
    """Top-level packages that a file imports anywhere; with `inner` also those of its own helper files."""
    try:
        tree = ast.parse(file.read_text())
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
            if inner:
                for helper in _helpers(file, node):
                    found |= _imports(helper, inner=False)
    return frozenset(found)


def _helpers(file: Path, node: ast.ImportFrom) -> list[Path]:
    """Files beside a model file that it imports and that begin with an underscore."""
    names = {(node.module or "").split(".")[-1], *(alias.name for alias in node.names)}
    return [
        place for name in names if name.startswith("_") and (place := file.with_name(f"{name}.py")).is_file()
    ]
