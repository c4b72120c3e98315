"""Reads the facts of a question: from JSON, from Python values, or column by column, checked by type.

One typed msgspec decoder is made from the spine's declaration, so reading and checking are one pass. Times
become microseconds since 1970 (UTC, int), as the features want them. It must not compute anything.
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from mlplatform.errors import FeatureError, RequestError
from mlplatform.online import strict
from mlplatform.online.replies import shown
from mlplatform.stages.preparation.declarations import FactType, Spine

Facts = dict[str, Any]

_WHOLE = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_MOMENT = Annotated[datetime, msgspec.Meta(tz=True)]
_FINITE = Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
_TYPES: dict[FactType, Any] = {
    "string": str,
    "int": _WHOLE,
    "float": _FINITE,
    "time": _MOMENT,
    "bool": bool,
}
SPELLED: dict[FactType, str] = {
    "string": "text without NUL",
    "int": "a whole number of 64 bits",
    "float": "a finite number",
    "time": "text: ISO 8601 with a time zone, as 2013-12-31T18:05:00Z",
    "bool": "true or false",
}
"""How each type of fact is written in JSON."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REFUSED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_BACKSLASH = ord("\\")
_NUL = rb"\u0000"
"""The only way in which JSON may write a NUL."""
_UNKNOWN, _MISSING = "Object contains unknown field `", "Object missing required field `"


class FactsReader:
    """The facts of one spine: any may be absent or null, except those the time of the question needs."""

    def __init__(self, spine: Spine) -> None:
        self.types = dict(spine.facts)
        self.names = tuple(spine.facts)
        self.required = tuple(sorted(spine.as_of.columns()))
        if strangers := sorted(set(self.required) - set(self.names)):
            raise FeatureError(
                f"as_of reads {', '.join(strangers)}; facts of the spine: {', '.join(self.names)}.",
                hint="The time of a question is computed from its facts; add them to the spine.",
            )
        self._times = tuple(name for name, kind in self.types.items() if kind == "time")
        self._strings = tuple(name for name, kind in self.types.items() if kind == "string")
        self._quotes = strict.QuoteCount([kind in ("string", "time") for kind in self.types.values()]).of
        self._row = _row_type(self.types, self.required)
        self._decode = msgspec.json.Decoder(self._row).decode
        self._columns = {name: list[_type(self.types, self.required, name)] for name in self.names}  # type: ignore[misc]

    def json(self, body: bytes) -> Facts:
        """The facts in a JSON object; absent ones are None.

        Raises
        ------
        RequestError
            400 for what is no JSON, an unknown fact, one given twice, a missing required one, or a value of
            another type.
        """
        try:
            values = msgspec.structs.astuple(self._decode(body))
        except _REFUSED as error:
            raise self._refusal(error) from error
        absent = values.count(UNSET)
        if body.count(b'"') != self._quotes(values, absent):
            strict.check(body)
        facts = self._facts(values, absent)
        if _BACKSLASH in body and _NUL in body:
            self._check_text(facts)
        return facts

    def convert(self, facts: Mapping[str, Any]) -> Facts:
        """The same from plain Python values; a time may be a datetime with a zone."""
        try:
            values = msgspec.structs.astuple(msgspec.convert(dict(facts), self._row))
        except _REFUSED as error:
            raise self._refusal(error) from error
        read = self._facts(values, values.count(UNSET))
        self._check_text(read)
        return read

    def column(self, name: str, values: Sequence[Any]) -> list[Any]:
        """The values of one fact for many rows."""
        try:
            read = msgspec.convert(values, self._columns[name])
        except _REFUSED as error:
            text = str(error).replace(" - at `$[", " in row ").removesuffix("]`")
            raise RequestError(
                f"fact {shown(name)}: {text[:200]}.", hint=f"Write {SPELLED[self.types[name]]}."
            ) from error
        if self.types[name] == "string" and any(value and "\0" in value for value in read):
            raise _nul(name)
        return [_microseconds(value) for value in read] if self.types[name] == "time" else read

    def _facts(self, values: Sequence[Any], absent: int) -> Facts:
        if absent:
            values = [None if value is UNSET else value for value in values]
        facts = dict(zip(self.names, values, strict=True))
        for name in self._times:
            facts[name] = _microseconds(facts[name])
        return facts

    def _check_text(self, facts: Facts) -> None:
        # Some stores of file statistics take no NUL, and every fact that is answered is stored.
        for name in self._strings:
            if facts[name] and "\0" in facts[name]:
                raise _nul(name)

    def _refusal(self, error: Exception) -> RequestError:
        text = str(error)
        if text.startswith(_UNKNOWN):
            name = shown(text[len(_UNKNOWN) : -1])
            return RequestError(f"got a fact {name}; allowed: {', '.join(self.names)}.")
        if text.startswith(_MISSING):
            return RequestError(
                f"{text[len(_MISSING) : -1]} is missing; required: {', '.join(self.required)}."
            )
        if isinstance(error, msgspec.ValidationError):
            what, _, where = text.partition(" - at `$.")
            name = where.rstrip("`")
            if name in self.types:
                return RequestError(f"fact {name}: {what}.", hint=f"Write {SPELLED[self.types[name]]}.")
            return RequestError(f"the facts: {text[:200]}.", hint="Send one JSON object of facts by name.")
        return not_json(error)


def not_json(error: Exception) -> RequestError:
    """The refusal of bytes that are no JSON."""
    if isinstance(error, UnicodeDecodeError):
        return RequestError("the body is not UTF-8.", hint="Send JSON in UTF-8.")
    if isinstance(error, RecursionError):
        return RequestError("the body is nested too deeply.")
    return RequestError(f"the body is not JSON: {str(error)[:200]}.", hint="NaN and Infinity are not JSON.")


def _nul(name: str) -> RequestError:
    return RequestError(f"fact {name}: got text with a NUL.", hint=f"Write {SPELLED['string']}.")


def _row_type(types: Mapping[str, FactType], required: Sequence[str]) -> type[msgspec.Struct]:
    # Facts may have names that Python's fields may not: the fields are numbered and renamed.
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for place, name in enumerate(types):
        kind = _type(types, required, name)
        optional = (f"f{place}", kind | UnsetType, UNSET)  # so that null and absent can be told apart
        fields.append((f"f{place}", kind) if name in required else optional)
    renamed = {f"f{place}": name for place, name in enumerate(types)}
    return msgspec.defstruct("Facts", fields, kw_only=True, forbid_unknown_fields=True, rename=renamed)


def _type(types: Mapping[str, FactType], required: Sequence[str], name: str) -> Any:
    kind = _TYPES[types[name]]
    return kind if name in required else kind | None


def _microseconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
