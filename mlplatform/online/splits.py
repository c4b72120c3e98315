"""What a strategy makes of the stored questions, asked over HTTP: sizes, id, warnings, rows page by page.

The same division as the asset `split` and `mlplatform split`, the same body. It must not store a split, run
code that a caller names, or be on the path of a scoring request: one division is made at a time, in a thread.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from mlplatform import plugins
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError, MlplatformError, NotFound, RequestError
from mlplatform.online.replies import ECHO, sentence, shown
from mlplatform.stages.segregation import splits
from mlplatform.stages.segregation.report import reply
from mlplatform.stages.segregation.segregated import Segregated
from mlplatform.stages.segregation.strategies import PARTS
from mlplatform.stores.division import Division, day_of, divided, kept, options_of
from mlplatform.stores.lake import KEY, Lake

MOST_ROWS = 1000
"""Rows of one page."""
PATIENCE = 30.0
"""Seconds that a request waits for others before it is sent away."""
OWN = ("strategy", "as_of", "part", "labels", "offset", "limit")
"""Parameters that are no options of a strategy."""


@dataclass(frozen=True)
class Asked:
    """A request's parameters, each of the type it has to be; `options` go to the strategy."""

    strategy: str = ""
    as_of: str = ""
    part: str = ""
    labels: bool = True
    offset: int = 0
    limit: int = 100
    options: tuple[tuple[str, object], ...] = ()


class Splits:
    """Divides the stored questions of use cases; keeps the last division, so that pages of it are cheap.

    Parameters
    ----------
    stamp
        changes when anything is committed to the lake; cheap.
    patience
        seconds that a request waits for its turn.
    """

    def __init__(self, lake: Lake, stamp: Callable[[], object], *, patience: float = PATIENCE) -> None:
        self._lake, self._stamp, self._patience = lake, stamp, patience
        self._alone = threading.Lock()
        self._last: tuple[object, Segregated] | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> "Splits":
        """The splits of a deployment."""
        return cls(Lake.from_settings(settings), lambda: _changed(settings))

    def answer(self, use_case: str, asked: Asked) -> dict[str, Any]:
        """The body of an answer; with `part` its rows from `offset` on, at most `limit`.

        Raises
        ------
        RequestError
            404 for a use case that was never divided, 400 for what cannot be divided as asked, 503 if others
            are being served, 500 if the lake cannot be read.
        """
        if not self._alone.acquire(timeout=self._patience):
            raise RequestError("other divisions are being made.", status=503, hint="Ask again in a minute.")
        try:
            segregated = self._divided(use_case, asked)
            body = reply(use_case, segregated, day=KEY)
            return body | (_page(segregated, asked) if asked.part else {})
        except NotFound as error:
            raise RequestError(sentence(error), status=404) from error
        except ConfigurationError as error:
            raise RequestError(sentence(error), status=400) from error
        except MlplatformError as error:
            raise RequestError(sentence(error), status=500) from error
        finally:
            self._alone.release()

    def _divided(self, use_case: str, asked: Asked) -> Segregated:
        stamp, division = self._stamp(), kept(self._lake, use_case)
        strategy = _allowed(division, asked.strategy)
        options = options_of(division, day_of(division, asked.as_of), strategy, dict(asked.options))
        wanted = (stamp, division, strategy, options)
        if self._last is None or self._last[0] != wanted:
            self._last = None  # before the next one is made: two would be held at once
            self._last = (wanted, divided(division, self._lake, strategy, options))
        return self._last[1]


def read_query(query: Sequence[tuple[str, str]]) -> Asked:
    """The parameters of a request.

    Raises
    ------
    RequestError
        400 at the first that is wrong.
    """
    given: dict[str, str] = {}
    for name, text in query:
        if name in given:
            raise RequestError(f"got {shown(name)} twice; allowed: once.")
        if max(len(name), len(text)) > ECHO:
            raise RequestError(f"got {shown(name)} of {len(text)} characters; allowed: up to {ECHO}.")
        given[name] = text
    part = given.get("part", "")
    if part and part not in PARTS:
        raise RequestError(f"got part {shown(part)}; allowed: {', '.join(PARTS)}.")
    if not part and (extra := [name for name in ("labels", "offset", "limit") if name in given]):
        raise RequestError(f"got {extra[0]} without part; a page is of the rows of one part.")
    return Asked(
        strategy=given.get("strategy", ""),
        as_of=given.get("as_of", ""),
        part=part,
        labels=_truth(given.get("labels", "true")),
        offset=_count(given, "offset", 0, 2**31),
        limit=_count(given, "limit", 100, MOST_ROWS),
        options=tuple((name, _value(name, text)) for name, text in given.items() if name not in OWN),
    )


def _allowed(division: Division, strategy: str) -> str:
    """A strategy of ours or the declared one: a dotted path would import whatever a caller names."""
    if not strategy or strategy == division.strategy:
        return division.strategy
    known = plugins.names(splits)
    if strategy not in known:
        raise ConfigurationError(f"got strategy {shown(strategy)}; allowed: {', '.join(known)}.")
    return strategy


def _page(segregated: Segregated, asked: Asked) -> dict[str, Any]:
    rows = segregated.part(asked.part, labels=asked.labels)
    return {
        "part": asked.part,
        "offset": asked.offset,
        "rows": rows.slice(asked.offset, asked.limit).to_dicts(),
        "more": asked.offset + asked.limit < rows.height,
    }


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise RequestError(f"got labels {shown(text)}; allowed: true or false.")
    return text == "true"


def _count(given: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = given.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most):
        raise RequestError(f"got {name} {shown(text)}; allowed: a whole number from 0 to {most}.")
    return int(text)


def _value(name: str, text: str) -> object:
    """An option as defs.yaml has it: 0.2 is a number, true is true, 1mo is text."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise RequestError(f"got {shown(name)} {shown(text)}; allowed: a value as in defs.yaml.") from error
    if isinstance(value, dict | list | set | bytes):
        raise RequestError(f"got {shown(name)} {shown(text)}; allowed: a number, true, false or text.")
    return value


def _changed(settings: Settings) -> object:
    """What is other after every commit to the lake."""
    try:
        status = settings.lake_catalog.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
