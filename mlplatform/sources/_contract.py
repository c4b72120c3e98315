"""What every source can do, and what sources share."""

from collections.abc import Sequence
from typing import Protocol

import polars as pl

from mlplatform.errors import ConfigurationError, ContractError

PARTITION_KEY = "partition_key"


class Source(Protocol):
    """One data set at its origin."""

    def read(self, schema: pl.Schema, partitions: Sequence[str] | None) -> pl.DataFrame:
        """The delivered rows, as delivered.

        Parameters
        ----------
        schema
            the columns of the contract and their types; the source parses into these and no others.
        partitions
            the days wanted (`YYYY-MM-DD`), or None for a data set that has no days.

        Returns
        -------
        the columns of `schema` in order, then `partition_key` (String) when partitions were asked for.

        Raises
        ------
        SourceError
            if the source cannot be reached; ContractError if a column is missing or does not parse.
        """


def check_columns(delivered: Sequence[str], schema: pl.Schema, what: str) -> None:
    """Refuse a delivery whose columns are not those of the contract (their order does not matter).

    Raises
    ------
    ContractError
        naming what is missing and what is unexpected.
    """
    missing = [name for name in schema if name not in delivered]
    unexpected = [name for name in delivered if name not in schema]
    if missing or unexpected:
        parts = [f"missing: {', '.join(missing)}"] * bool(missing)
        parts += [f"unexpected: {', '.join(unexpected)}"] * bool(unexpected)
        raise ContractError(
            f"{what} has other columns than its contract ({'; '.join(parts)}).",
            hint="Ask the deliverer, or change the contract in features.py if the change is meant.",
        )


def parse(frame: pl.DataFrame, schema: pl.Schema, what: str) -> pl.DataFrame:
    """Text columns as the types of the contract, columns in its order.

    Raises
    ------
    ContractError
        naming the column and the first value that is not of its type.
    """
    columns = []
    for name, kind in schema.items():
        text = frame[name]
        column = _parsed(text, kind)
        wrong = text.is_not_null() & column.is_null()
        if wrong.any():
            raise ContractError(
                f"{what}: column {name!r} has {int(wrong.sum())} values that are not {kind}, "
                f"the first is {text.filter(wrong)[0]!r}.",
                hint="Ask the deliverer, or change the column's type in the contract.",
            )
        columns.append(column)
    return pl.DataFrame(columns)


def _parsed(text: pl.Series, kind: pl.DataType) -> pl.Series:
    """Text as values of a type; null where it is none. Times are ISO 8601, without an offset in the zone."""
    match kind:
        case pl.Boolean():
            return _boolean(text)
        case pl.Date():
            return text.str.to_date("%Y-%m-%d", strict=False)
        case pl.Datetime():
            return _times(text, kind)
    try:
        return text.cast(kind, strict=False)
    except pl.exceptions.InvalidOperationError as error:
        raise ConfigurationError(
            f"column {text.name!r} of the contract is {kind}; allowed: text, numbers, Bool, Date, Datetime.",
            hint="Declare it as text and convert it in the cleaning function.",
        ) from error


def _times(text: pl.Series, kind: pl.Datetime) -> pl.Series:
    iso, zone = text.str.replace(" ", "T", literal=True), kind.time_zone
    plain = "%Y-%m-%dT%H:%M:%S%.f"
    local = iso.str.to_datetime(
        plain, time_unit=kind.time_unit, time_zone=zone, strict=False, ambiguous="null"
    )
    if zone is None:
        return local
    told = iso.str.to_datetime(f"{plain}%#z", time_unit=kind.time_unit, strict=False)
    return pl.select(pl.coalesce(told.dt.convert_time_zone(zone), local)).to_series().alias(text.name)


def _boolean(text: pl.Series) -> pl.Series:
    words = {"true": True, "false": False, "1": True, "0": False}
    return text.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean)
