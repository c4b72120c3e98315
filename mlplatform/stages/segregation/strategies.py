"""Finds a strategy, tells it its options, and holds it to its contract.

It must not know a strategy by name. Besides its own options every strategy takes the COMMON ones, which the
stage itself heeds; a strategy that declares one of them is given it too.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from mlplatform import plugins
from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation import splits

PARTS = ("train", "validation", "test")

COMMON = ("shuffle_within", "seed", "time", "group")
"""Options of every strategy: whether the rows of each part are returned shuffled, and by which seed; the
column that says when, and the one that says whose a row is, to warn of what a strategy lets happen to it."""
_TOLD = ("keys", "label")
"""What the stage tells a strategy that asks for it."""

SplitFunction = Callable[..., pl.Series]


@dataclass(frozen=True)
class Strategy:
    """A strategy: its name and its function."""

    name: str
    split: SplitFunction

    @property
    def takes(self) -> list[str]:
        """Names of its parameters after the frame; those it collects by `**` are not known by name."""
        parameters = list(inspect.signature(self.split).parameters.values())[1:]
        return [each.name for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD]


def find(strategy: str | SplitFunction) -> Strategy:
    """The strategy of that name (a file of `splits/`), at that dotted path, or of that function.

    Raises
    ------
    ConfigurationError
        if there is none, or the module has no function `split`.
    """
    if not isinstance(strategy, str):
        return Strategy(f"{strategy.__module__}.{strategy.__qualname__}", strategy)
    found = getattr(plugins.find(splits, strategy), "split", None)
    if not callable(found):
        raise ConfigurationError(
            f"module {strategy!r} has no function `split`.",
            hint="Write `def split(frame, *, …) -> pl.Series` in it, as the files of splits/ do.",
        )
    return Strategy(strategy, found)


def parts_of(
    strategy: Strategy,
    frame: pl.DataFrame,
    options: Mapping[str, Any],
    keys: Sequence[str],
    label: str | None,
) -> pl.Series:
    """The part of every row.

    Raises
    ------
    ConfigurationError
        for options that the strategy does not take, and for an answer that is not a part for each row.
    """
    given = _own(strategy, options)
    for name, value in zip(_TOLD, (list(keys), label), strict=True):
        if name in strategy.takes:
            given.setdefault(name, value)
    try:
        inspect.signature(strategy.split).bind(frame, **given)
    except TypeError as error:
        names = ", ".join(_allowed(strategy))
        raise ConfigurationError(
            f"split {strategy.name!r}: got options {sorted(options)} ({error}); allowed: {names}.",
            hint=f"Correct the options of the split; {strategy.name} takes {names}.",
        ) from error
    return _checked(strategy, strategy.split(frame, **given), frame.height)


def shuffle_seed(options: Mapping[str, Any]) -> int | None:
    """The seed by which the rows of each part are to be shuffled; None if they are not."""
    within, seed = options.get("shuffle_within", False), options.get("seed", 0)
    if not isinstance(within, bool):
        raise ConfigurationError(f"got shuffle_within {within!r}; allowed: true or false.")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ConfigurationError(f"got seed {seed!r}; allowed: a whole number.")
    return seed if within else None


def _own(strategy: Strategy, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options without the common ones that it does not take; a seed that nothing heeds stays, refused."""
    heeded = set(COMMON) - set(strategy.takes)
    if not options.get("shuffle_within"):
        heeded.discard("seed")
    return {name: value for name, value in options.items() if name not in heeded}


def _allowed(strategy: Strategy) -> list[str]:
    own = [name for name in strategy.takes if name not in _TOLD]
    more = [f"{name} (with shuffle_within)" if name == "seed" else name for name in COMMON if name not in own]
    return own + more


def _checked(strategy: Strategy, part: object, rows: int) -> pl.Series:
    if not isinstance(part, pl.Series):
        got = type(part).__name__
    else:
        strange = sorted(map(str, set(part.drop_nulls().unique().to_list()) - set(PARTS)))
        if len(part) == rows and not strange:
            return part.cast(pl.String).alias("part")
        got = f"{len(part)} entries {strange}"
    raise ConfigurationError(
        f"split {strategy.name!r} returned {got}; allowed: {rows} of {', '.join(PARTS)} or null.",
        hint="A strategy returns one entry for every row, a polars Series in the order of the rows.",
    )
