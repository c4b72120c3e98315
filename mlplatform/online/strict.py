"""Refuses JSON in which one object has a key twice: parsers differ in which of the two counts.

msgspec takes the last one silently, and a parser that notices costs several times as much. So bodies are only
counted: a key more is two quotes more. Where the count is not what the decoded values explain, the body is
read again by a parser that notices. It must not know what the facts or tensors mean.
"""

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from msgspec import UNSET

from mlplatform.errors import RequestError
from mlplatform.online.replies import shown


class QuoteCount:
    """How many quotes the text of a flat JSON object has that gave certain values.

    Keys and texts have two each, and an escaped quote adds one: so a body without a doubled key has exactly
    as many as expected, or more because of escapes, and a doubled key always adds two.

    Parameters
    ----------
    texts : per field whether its value, if it is not null, is text in JSON.
    """

    def __init__(self, texts: Sequence[bool]) -> None:
        self._fields = len(texts)
        self._texts = tuple(place for place, is_text in enumerate(texts) if is_text)

    def of(self, values: Sequence[Any], absent: int) -> int:
        """Quotes that these values explain, of which so many are UNSET, as their keys were absent."""
        found = self._fields - absent
        for place in self._texts:
            value = values[place]
            if value is not None and value is not UNSET:
                found += 1
        return 2 * found


def check(body: bytes) -> None:
    """Read a body that was decoded already once more, and slowly.

    Raises
    ------
    RequestError
        400 if an object in it has a key twice.
    """
    try:
        json.loads(
            body.decode(), object_pairs_hook=_once, parse_int=_number, parse_float=_number, parse_constant=_no
        )
    except RecursionError as error:
        raise RequestError("the body is nested too deeply.") from error
    except ValueError as error:
        raise RequestError("the body is not JSON.", hint="Send JSON in UTF-8.") from error


def check_infer(body: bytes, _request: object) -> None:
    """`check` of the JSON of an infer request whose quotes are not those that its values explain."""
    check(body)


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise RequestError(f"got the key {shown(name)} twice; allowed: once.", hint="Leave one out.")
        seen.add(name)


def _number(_: str) -> None:
    """No number is made: a long one would take long, and its value is not looked at."""


def _no(name: str) -> NoReturn:
    raise ValueError(name)
