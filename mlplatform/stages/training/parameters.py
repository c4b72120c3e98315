"""Reads a model's parameters and its saved JSON into msgspec Structs; must not know any model.

A Struct is the allow-list: its fields, types and bounds are what defs.yaml may say.
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from mlplatform.errors import ConfigurationError, ModelError

_S = TypeVar("_S", bound=msgspec.Struct)


def read(kind: str, given: Mapping[str, object], allowed: type[_S]) -> _S:
    """The parameters `given` as `allowed`; ConfigurationError says what was got and what is allowed."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(allowed)}
    unknown = sorted(set(given) - set(fields))
    if unknown:
        raise ConfigurationError(
            f"{kind}: got parameters {unknown}; allowed: {', '.join(fields)}.",
            hint=f"Remove or correct {unknown[0]!r} in the parameters of {kind}.",
        )
    try:
        return msgspec.convert(dict(given), allowed)
    except msgspec.ValidationError as error:
        name = str(error).rpartition("$.")[2].strip("`").split("[")[0]
        raise ConfigurationError(
            f"{kind}: got {name}: {given.get(name)!r}; allowed: {str(error).split(' - at ')[0]}.",
            hint=f"Correct {name} in the parameters of {kind}.",
        ) from error


def decode(kind: str, files: Mapping[str, bytes], saved: type[_S]) -> _S:
    """The saved model in `files["model.json"]`; ModelError when it is absent or not of this kind."""
    try:
        return msgspec.json.decode(files["model.json"], type=saved)
    except (KeyError, msgspec.DecodeError) as error:
        raise ModelError(
            f"cannot read a {kind} model from the files {sorted(files)}: {error}.",
            hint="The candidate belongs to another kind of model or is damaged; train it again.",
        ) from error
