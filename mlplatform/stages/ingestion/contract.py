"""Data contracts: which rows keep the rules of their dataframely schema.

It must not repair: rows that break a rule are set aside with the rule's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import dataframely as dy
import polars as pl

PARTITION = "partition_key"
_ROW = "__row"


@dataclass(frozen=True)
class Checked:
    """Rows that keep the contract, those that do not (`reason`: the first rule broken), rows per rule."""

    good: pl.DataFrame
    broken: Mapping[str, int]
    rejected: pl.DataFrame


def schema_of(contract: type[dy.Schema]) -> pl.Schema:
    """Columns and polars types of a contract, in order."""
    return pl.Schema({name: column.dtype for name, column in contract.columns().items()})


def check(delivered: pl.DataFrame, contract: type[dy.Schema]) -> Checked:
    """Divide rows by the rules of the contract; columns that are not the contract's stay with their row.

    Keys need be unique within a partition only (`partition_key`, where there is one), so that a day alone is
    judged as it is within a range.
    """
    checked = _check(delivered, contract)
    if "primary_key" not in checked.broken or PARTITION not in delivered.columns:
        return checked
    parts = [_check(part, contract) for part in delivered.partition_by(PARTITION, maintain_order=True)]
    broken: dict[str, int] = {}
    for part in parts:
        for rule, count in part.broken.items():
            broken[rule] = broken.get(rule, 0) + count
    return Checked(pl.concat(part.good for part in parts), broken, pl.concat(part.rejected for part in parts))


def _check(delivered: pl.DataFrame, contract: type[dy.Schema]) -> Checked:
    indexed = delivered.with_row_index(_ROW)
    _, failure = contract.filter(indexed.select(contract.column_names()))
    counts = {str(rule): int(count) for rule, count in failure.counts().items() if count}
    if not counts:
        return Checked(delivered, {}, delivered.clear().with_columns(reason=pl.lit(None, pl.String)))
    # dataframely gives rows back without their place; rows alike in every column break the same rules.
    first = pl.coalesce(pl.when(pl.col(rule) == "invalid").then(pl.lit(f"rule: {rule}")) for rule in counts)
    names = contract.column_names()
    reasons = failure.details().select(*names, first.alias("reason")).unique(names)
    rejected = indexed.join(reasons, on=names, how="inner", nulls_equal=True).sort(_ROW)
    good = indexed.join(rejected.select(_ROW), on=_ROW, how="anti")
    columns = [*delivered.columns, "reason"]
    return Checked(good.drop(_ROW), counts, rejected.select(columns))
