"""Finds a plug-in: a file of a plug-in package by its name, or outside code by a dotted path.

A plug-in package (models, splits, evaluators, sources) is a folder whose files are its plug-ins; adding a
file adds a plug-in. This module must not know what a plug-in does.
"""

import difflib
import importlib
import pkgutil
from types import ModuleType

from mlplatform.errors import ConfigurationError


def names(package: ModuleType) -> list[str]:
    """Names of the plug-ins in `package`, sorted; files that begin with an underscore are not plug-ins."""
    found = pkgutil.iter_modules(package.__path__)
    return sorted(module.name for module in found if not module.name.startswith("_"))


def find(package: ModuleType, name: str) -> ModuleType:
    """The module called `name` in `package`, or the module at the dotted path `name`.

    Raises
    ------
    ConfigurationError
        if there is no such module; the message lists what there is.
    """
    if "." not in name:
        known = names(package)
        if name not in known:
            raise ConfigurationError(unknown(_kind(package), name, known), hint=_hint(name, known))
        return importlib.import_module(f"{package.__name__}.{name}")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"no module {name!r} for {_kind(package)}: {error}.",
            hint="A dotted path names an importable module of your own; check its spelling.",
        ) from error


def unknown(kind: str, name: str, allowed: list[str]) -> str:
    """The sentence that says that `name` is not among `allowed`."""
    return f"got {kind} {name!r}; allowed: {', '.join(allowed)}, or the dotted path of your own module."


def _kind(package: ModuleType) -> str:
    return package.__name__.rsplit(".", 1)[-1].removesuffix("s")


def _hint(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else ""
