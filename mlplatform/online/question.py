"""What is asked, as the chain of responsibility asks it of one version after the other: rows in, a shape out.

Each face has its own questions: one row, several, a ranked list, a forecast, tensors. It must not score.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from mlplatform.errors import RequestError
from mlplatform.online.bundle import Asked, Bundle
from mlplatform.online.facts import Facts, not_json
from mlplatform.stages.scoring.score import Answer

MOST_ROWS = 1000
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_rows_of = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Question(Protocol[T_co]):
    """Something to be answered by one version as a whole."""

    def facts(self, bundle: Bundle) -> list[Facts]:
        """The facts of every row as this version reads them; none where there are none.

        RequestError for what this version cannot be asked.
        """

    def asked(self, bundle: Bundle) -> list[Asked]:
        """What the version's model sees, row by row; RequestError as `Bundle.asked`."""

    def shape(self, bundle: Bundle, answers: list[Answer]) -> T_co:
        """The answers in the form of the face."""


class Rows(Generic[T]):
    """A question of facts: `read` gives them in the order in which they are answered, `form` the answer.

    Errors name the row, unless there is but one by the nature of the question (`alone`).
    """

    def __init__(
        self,
        read: Callable[[Bundle], list[Facts]],
        form: Callable[[Bundle, list[Facts], list[Answer]], T],
        *,
        alone: bool = False,
    ) -> None:
        self._read, self._form, self._alone = read, form, alone
        self._types: Mapping[str, Any] = {}
        self._facts: list[Facts] = []

    def facts(self, bundle: Bundle) -> list[Facts]:
        """Read once for all versions that have the same facts."""
        types = bundle.facts.types
        if types is not self._types and (not self._facts or types != self._types):
            self._types, self._facts = types, self._read(bundle)
        return self._facts

    def asked(self, bundle: Bundle) -> list[Asked]:
        """The features of every row."""
        facts = self.facts(bundle)
        if self._alone:
            return [bundle.asked(facts[0])]
        return [_row(bundle, place, each) for place, each in enumerate(facts)]

    def shape(self, bundle: Bundle, answers: list[Answer]) -> T:
        """As `form` makes it."""
        return self._form(bundle, self.facts(bundle), answers)


def one(read: Callable[[Bundle], Facts]) -> Rows[Answer]:
    """A question of one row."""
    return Rows(lambda bundle: [read(bundle)], lambda bundle, facts, answers: answers[0], alone=True)


def several(body: bytes) -> Rows[list[Answer]]:
    """The rows of a JSON array of facts, answered in their order."""
    return Rows(lambda bundle: rows_of(bundle, body), lambda bundle, facts, answers: answers)


def is_list(body: bytes) -> bool:
    """Whether a JSON body is an array."""
    return body[:1] == b"[" or (body[:1].isspace() and body.lstrip()[:1] == b"[")


def rows_of(bundle: Bundle, body: bytes) -> list[Facts]:
    """The facts in a JSON array; RequestError 400 for none, too many, or such as are wrong."""
    try:
        items = _rows_of(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from error
    if not 1 <= len(items) <= MOST_ROWS:
        raise RequestError(f"got {len(items)} rows; allowed: 1 to {MOST_ROWS}.")
    return [_read_row(bundle, place, item) for place, item in enumerate(items)]


def _read_row(bundle: Bundle, place: int, item: msgspec.Raw) -> Facts:
    try:
        return bundle.facts.json(bytes(item))
    except RequestError as error:
        raise _of_row(place, error) from error


def _row(bundle: Bundle, place: int, facts: Facts) -> Asked:
    try:
        return bundle.asked(facts)
    except RequestError as error:
        raise _of_row(place, error) from error


def _of_row(place: int, error: RequestError) -> RequestError:
    return RequestError(f"row {place}: {error}", status=error.status, hint=error.hint)


def entity_of(names: Sequence[str], facts: Facts) -> list[Any]:
    """The values that name the entity of a row."""
    return [facts.get(name) for name in names]
