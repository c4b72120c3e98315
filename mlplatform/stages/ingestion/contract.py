"""Data contracts: which delivered rows keep the rules of their dataframely schema.

It must not repair: rows that break a rule are counted and set aside with the rule's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import dataframely as dy
import polars as pl


@dataclass(frozen=True)
class Checked:
    """Rows that keep the contract, and how many rows broke which rule."""

    good: pl.DataFrame
    broken: Mapping[str, int]
    rejected: int


def schema_of(contract: type[dy.Schema]) -> pl.Schema:
    """Columns and polars types of a contract, in order."""
    return pl.Schema({name: column.dtype for name, column in contract.columns().items()})


def check(delivered: pl.DataFrame, contract: type[dy.Schema]) -> Checked:
    """Divide delivered rows by the rules of the contract; extra columns are kept with their row."""
    indexed = delivered.with_row_index("__row")
    kept, failure = contract.filter(indexed.select(contract.column_names()))
    counts = {str(rule): int(count) for rule, count in failure.counts().items() if count}
    if not counts:
        return Checked(delivered, {}, 0)
    good = indexed.join(failure.invalid(), on=contract.column_names(), how="anti", nulls_equal=True)
    return Checked(good.drop("__row"), counts, delivered.height - kept.height)
