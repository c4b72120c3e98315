"""A scikit-learn object as bytes and back, by skops and without pickle; it must not know a task.

skops builds nothing but types it was told to trust. Here these are classes of scikit-learn, numpy and scipy,
and estimators of the one package that a use case names; no function, nor anything of the standard library.
Its import costs 1.6 s, so it waits until a model of this kind is made or opened.
"""

import importlib
import io
import json
import sys
import zipfile
from collections.abc import Iterable
from typing import Any

from mlplatform.errors import ModelError

_LIBRARIES = ("sklearn", "numpy", "scipy")
_RANDOM = ("RandomStateNode", "RandomGeneratorNode")
_NOTHING = {
    "__class__": "str",
    "__module__": "builtins",
    "__loader__": "JsonNode",
    "content": "null",
    "is_json": True,
}


def dump(estimator: Any) -> bytes:
    """The fitted estimator as bytes that depend on nothing but its content; ModelError if skops cannot."""
    import skops.io
    from skops.io.exceptions import UnsupportedTypeException

    try:
        return _canonical(skops.io.dumps(estimator))
    except (UnsupportedTypeException, TypeError, ValueError, NotImplementedError) as error:
        raise ModelError(
            f"{type(estimator).__name__} cannot be saved without code: {str(error).rstrip('.')}.",
            hint="Choose an estimator that skops supports, or write a model file of your own.",
        ) from error


def types_of(data: bytes, package: str) -> tuple[str, ...]:
    """The types in `data` beyond those skops trusts by itself; ModelError if one may not be allowed."""
    import skops.io

    return _allowed(skops.io.get_untrusted_types(data=data), package)


def load(data: bytes, types: Iterable[str], package: str) -> Any:
    """The estimator in `data`, which may hold the `types` and no others; `package` is its own top package.

    Raises
    ------
    ModelError
        for damaged bytes, a type that is not among `types`, one that may not be, or a random generator.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    trusted = _allowed(types, package)
    try:
        _refuse_generators(data)
        return skops.io.loads(data, trusted=list(trusted))
    except (
        UntrustedTypesFoundException,
        zipfile.BadZipFile,
        ImportError,
        AttributeError,
        KeyError,
        OSError,
        TypeError,
        ValueError,
    ) as error:
        raise ModelError(
            f"cannot read a scikit-learn estimator: {error}.",
            hint="The candidate is damaged or belongs to another version of scikit-learn; train it again.",
        ) from error


def _allowed(types: Iterable[str], package: str) -> tuple[str, ...]:
    """These types, sorted, after each was looked up; ModelError for the first that may not be built."""
    found = tuple(sorted(types))
    for name in found:
        if not _may_be_built(name, package):
            raise ModelError(
                f"got type {name!r}; allowed: classes of {', '.join(_LIBRARIES)}, estimators of {package}.",
                hint="Choose an estimator whose parts are scikit-learn's, or write a model file of your own.",
            )
    return found


def _may_be_built(name: str, package: str) -> bool:
    from sklearn.base import BaseEstimator

    top = name.partition(".")[0]
    if top not in (*_LIBRARIES, package) or top in sys.stdlib_module_names:
        return False
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return False
    return isinstance(found, type) and (top in _LIBRARIES or issubclass(found, BaseEstimator))


def _refuse_generators(data: bytes) -> None:
    """skops trusts a random generator whose state it does not check; numpy reads out of bounds by it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = archive.read("schema.json").decode()
    if any(loader in schema for loader in _RANDOM):
        raise ValueError("it holds a random generator, which no prediction needs")


def _canonical(data: bytes) -> bytes:
    """The same archive without what chance put there: memory addresses, times of day, random generators."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    renamed: dict[str, bytes] = {}
    schema = _renumbered(json.loads(members["schema.json"]), members, {}, renamed)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (*renamed.items(), ("schema.json", json.dumps(schema).encode())):
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def _renumbered(
    node: Any, members: dict[str, bytes], numbers: dict[int, int], renamed: dict[str, bytes]
) -> Any:
    """The node with ids 1, 2, … in order of appearance; fills `renamed` with the files named after them."""
    if isinstance(node, list):
        return [_renumbered(each, members, numbers, renamed) for each in node]
    if not isinstance(node, dict):
        return node
    if node.get("__loader__") in _RANDOM:
        return dict(_NOTHING)
    clean = {key: _renumbered(each, members, numbers, renamed) for key, each in node.items()}
    if isinstance(node.get("__id__"), int):
        clean["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
    if isinstance(node.get("file"), str):
        clean["file"] = f"{clean['__id__']}.{node['file'].rpartition('.')[2]}"
        renamed[clean["file"]] = members[node["file"]]
    return clean
