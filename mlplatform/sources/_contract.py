"""What every source can do, and what sources share."""

from collections.abc import Sequence
from typing import Protocol

import polars as pl

from mlplatform.errors import ContractError

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
        column = _boolean(text) if kind == pl.Boolean else text.cast(kind, strict=False)
        wrong = text.is_not_null() & column.is_null()
        if wrong.any():
            raise ContractError(
                f"{what}: column {name!r} has {int(wrong.sum())} values that are not {kind}, "
                f"the first is {text.filter(wrong)[0]!r}.",
                hint="Ask the deliverer, or change the column's type in the contract.",
            )
        columns.append(column)
    return pl.DataFrame(columns)


def _boolean(text: pl.Series) -> pl.Series:
    words = {"true": True, "false": False, "1": True, "0": False}
    return text.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean)
