"""How stored questions may be divided: a use case's declaration kept in the lake, and the rows divided.

The asset `split` keeps the declaration beside its rows, so that a service that reads no declarations divides
the same rows by the same rules. It must not keep a split: the asset does.
"""

from collections.abc import Mapping
from datetime import date

import msgspec
import polars as pl

from mlplatform.errors import ConfigurationError, NotFound, StoreError
from mlplatform.stages.segregation import strategies
from mlplatform.stages.segregation.segregated import Segregated, divide
from mlplatform.stores.lake import KEY, Lake, Table

TABLE = "split_declaration"


class Division(msgspec.Struct, frozen=True, kw_only=True):
    """What of a use case's declaration dividing its rows takes."""

    use_case: str
    table: str
    """The cleaned table whose rows are the questions."""
    key: tuple[str, ...]
    label: str | None
    strategy: str
    options: dict[str, object]
    """Those of the declared strategy."""
    as_of: str
    first: str
    last: str
    """First and last day of data, YYYY-MM-DD."""


def keep(lake: Lake, division: Division) -> None:
    """Write it to the lake, unless it is there as it is.

    Raises
    ------
    StoreError
        as `Lake.write`.
    """
    text = msgspec.json.encode(division, order="deterministic").decode()
    table = Table(division.use_case, TABLE)
    if not lake.exists(table) or lake.read(table)["declaration"].to_list() != [text]:
        lake.write(table, pl.DataFrame({"declaration": [text]}))


def kept(lake: Lake, use_case: str) -> Division:
    """What was kept last.

    Raises
    ------
    NotFound
        if nothing was, or the name is none.
    StoreError
        if another version wrote it.
    """
    try:
        table = Table(use_case, TABLE)
        found = lake.read(table)["declaration"].to_list() if lake.exists(table) else []
    except ConfigurationError as error:  # a name that no table can have
        raise _nothing(use_case) from error
    if not found:
        raise _nothing(use_case)
    try:
        return msgspec.json.decode(found[0], type=Division)
    except msgspec.DecodeError as error:
        raise StoreError(
            f"{table} is of a format unknown to this version: {error}.",
            hint=f"Materialise `split` of {use_case} again.",
        ) from error


def _nothing(use_case: str) -> NotFound:
    return NotFound(
        f"no use case {use_case[:100]!r} has been divided yet.",
        hint="Its asset `split` has to be materialised once: mlplatform run.",
    )


def options_of(
    division: Division, as_of: str, strategy: str = "", given: Mapping[str, object] | None = None
) -> dict[str, object]:
    """What a strategy (empty: the declared one) is told: the day, the column of days, its options.

    Declared options are those of the declared strategy; another gets only those `given`, which come first.
    """
    chosen = strategy or division.strategy
    told: dict[str, object] = {"time": KEY}
    if "as_of" in strategies.find(chosen).takes:
        told["as_of"] = as_of
    own = division.options if chosen == division.strategy else {}
    return {**told, **own, **(given or {})}


def day_of(division: Division, text: str) -> str:
    """A day of training as it was asked for; empty: the declared one.

    Raises
    ------
    ConfigurationError
        if it is none, or there is no data before it or from it on.
    """
    asked = text or division.as_of
    try:
        known = division.first < str(date.fromisoformat(asked)) <= division.last and len(asked) == 10
    except ValueError:
        known = False
    if not known:
        raise ConfigurationError(
            f"got as_of {asked[:100]!r}; allowed: a day after {division.first} up to {division.last}, "
            "written YYYY-MM-DD."
        )
    return asked


def divided(division: Division, lake: Lake, strategy: str, options: Mapping[str, object]) -> Segregated:
    """The stored questions, divided; what training, evaluation, `mlplatform split` and HTTP see.

    Raises
    ------
    NotFound
        if there are no questions yet.
    ConfigurationError
        as `divide`.
    """
    stored = Table(division.use_case, division.table)
    if not lake.exists(stored):
        raise NotFound(
            f"there is no table {stored} yet, whose rows are to be divided.",
            hint=f"Fill it: mlplatform run {division.use_case}.",
        )
    columns = [*division.key, division.label, KEY, *_named(lake, stored, options)]
    rows = lake.read(stored, columns=[name for name in dict.fromkeys(columns) if name])
    return divide(rows, strategy=strategy, options=options, keys=division.key, label=division.label)


def _named(lake: Lake, stored: Table, options: Mapping[str, object]) -> list[str]:
    """The columns that options name: a strategy may read them."""
    columns = lake.sql(f"SELECT * FROM {stored} LIMIT 0").columns
    return [value for value in options.values() if isinstance(value, str) and value in columns]
