"""Declared limits of the condition of data, and what exceeds them: findings, each one readable sentence.

It must not measure (condition.py does) and must not act: who reads the findings warns or blocks.

    condition:
      - { column: "*", max_missing: 0.5, severity: warn }
      - { column: wind_gust, max_missing: 0.95 }
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec
import polars as pl

from mlplatform.errors import ConfigurationError

Severity = Literal["warn", "block"]
ALL = "*"

_SEVERITIES = ("warn", "block")
_SHARES = ("max_missing", "max_outliers", "max_odd_formats")
_BOUNDS = (*_SHARES, "max_trend", "min_rows")
_PRESENT = pl.col("rows") - pl.col("missing")
_VALUES = {
    "max_missing": {"missing": pl.col("missing") / pl.col("rows")},
    "max_outliers": {"outliers": pl.col("outliers") / _PRESENT},
    "max_odd_formats": {"odd formats": pl.col("odd_formats") / _PRESENT},
    # Of columns without a mean both trends are the same figure; it is to be found once.
    "max_trend": {
        "trend": pl.when(pl.col("mean").is_not_null()).then(pl.col("trend").abs()),
        "missing trend": pl.col("missing_trend").abs(),
    },
}
_SENTENCES = {
    "missing": "{value:.1%} of the values are missing; allowed: at most {limit:.1%}",
    "outliers": "{value:.1%} of the present values are far from all others; allowed: at most {limit:.1%}",
    "odd formats": "{value:.1%} of the present values are written unlike the others; "
    "allowed: at most {limit:.1%}",
    "trend": "the mean is {value:.1f} standard deviations from those of the partitions before; "
    "allowed: at most {limit:g}",
    "missing trend": "the share of missing values is {value:.1f} standard deviations from those of the "
    "partitions before; allowed: at most {limit:g}",
    "rows": "{value:.0f} rows; allowed: at least {limit:.0f}",
}


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is allowed of one column, or of all ("*"); a limit that is None allows everything.

    What is declared for a column by name takes the place of what "*" says of the same limit.

    max_missing : share of the rows, [0, 1]
    max_outliers, max_odd_formats : share of the present values, [0, 1]
    max_trend : of the mean and of the missing share, in standard deviations (trends.py), > 0
    min_rows : of a partition

    Raises
    ------
    ConfigurationError
        if no limit is set, or one is out of its range.
    """

    column: str = ALL
    max_missing: float | None = None
    max_outliers: float | None = None
    max_odd_formats: float | None = None
    max_trend: float | None = None
    min_rows: int | None = None
    severity: Severity = "warn"

    def __post_init__(self) -> None:
        if self.severity not in _SEVERITIES:
            raise _refusal(self.column, f"got severity {self.severity!r}; allowed: warn, block")
        given = {name: getattr(self, name) for name in _BOUNDS if getattr(self, name) is not None}
        if not given:
            raise _refusal(self.column, f"got no limit; allowed: {', '.join(_BOUNDS)}")
        for name, value in given.items():
            if name in _SHARES and not 0 <= value <= 1:
                raise _refusal(self.column, f"got {name} {value}; allowed: a share from 0 to 1")
            if name == "max_trend" and not value > 0:
                raise _refusal(self.column, f"got {name} {value}; allowed: a number above 0")
            if name == "min_rows" and not value >= 0:
                raise _refusal(self.column, f"got {name} {value}; allowed: 0 and above")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One limit exceeded: `what` of `column` in `partition` was `value`; `column` is "*" for the rows."""

    partition: str
    column: str
    what: str
    value: float
    limit: float
    severity: Severity

    @property
    def sentence(self) -> str:
        """For people, such as "2013-02-12, wind_gust: 80.0% of the values are missing; allowed: ..."."""
        where = self.partition if self.column == ALL else f"{self.partition}, {self.column}"
        return f"{where}: {_SENTENCES[self.what].format(value=self.value, limit=self.limit)}."


def findings(conditions: pl.DataFrame, limits: Sequence[Limits]) -> list[Finding]:
    """What exceeds the limits, in order of partition and column; of a warning and a block, only the block.

    Parameters
    ----------
    conditions : from `condition`

    Raises
    ------
    ConfigurationError
        if a limit names a column that no partition has: it would never be checked.
    """
    _require_columns(conditions, limits)
    found: dict[tuple[str, str, str], Finding] = {}
    for declared in limits:
        for each in _exceeding(conditions, declared, limits):
            place = (each.partition, each.column, each.what)
            if place not in found or found[place].severity == "warn":
                found[place] = each
    return [found[place] for place in sorted(found)]


def trend_lines(conditions: pl.DataFrame, column: str) -> list[tuple[str, float, float | None]]:
    """(partition, share of missing values, mean or None) of one column, in order of partition.

    Partitions without rows are left out: they have no share.
    """
    rows = conditions.filter((pl.col("column") == column) & (pl.col("rows") > 0)).sort("partition_key")
    share = (pl.col("missing") / pl.col("rows")).alias("share")
    return list(rows.select("partition_key", share, "mean").iter_rows())


def _exceeding(conditions: pl.DataFrame, declared: Limits, limits: Sequence[Limits]) -> Iterator[Finding]:
    for name, measured in _VALUES.items():
        limit = getattr(declared, name)
        if limit is None:
            continue
        rows = _concerned(conditions, declared, _named(limits, name))
        for what, value in measured.items():
            for partition, column, got in _above(rows, value, limit):
                yield _finding(declared, partition, column, what, got, limit)
    if declared.min_rows is not None:
        yield from _short(conditions, declared, declared.min_rows)


def _named(limits: Sequence[Limits], name: str) -> set[str]:
    return {each.column for each in limits if each.column != ALL and getattr(each, name) is not None}


def _concerned(conditions: pl.DataFrame, declared: Limits, named: set[str]) -> pl.DataFrame:
    column = pl.col("column")
    return conditions.filter(~column.is_in(named) if declared.column == ALL else column == declared.column)


def _above(rows: pl.DataFrame, value: pl.Expr, limit: float) -> list[tuple[str, str, float]]:
    found = rows.select("partition_key", "column", value.cast(pl.Float64).alias("value"))
    # 0 of 0 present values is NaN, which polars takes for the greatest of numbers.
    return list(found.filter(pl.col("value").fill_nan(None) > limit).iter_rows())


def _short(conditions: pl.DataFrame, declared: Limits, least: int) -> Iterator[Finding]:
    """Rows are a partition's, not a column's: found once, unless a column is named."""
    rows = _concerned(conditions, declared, set()).unique("partition_key").filter(pl.col("rows") < least)
    for partition, got in rows.select("partition_key", "rows").iter_rows():
        yield _finding(declared, partition, declared.column, "rows", got, least)


def _finding(declared: Limits, partition: str, column: str, what: str, value: float, limit: float) -> Finding:
    return Finding(
        partition=partition,
        column=column,
        what=what,
        value=float(value),
        limit=float(limit),
        severity=declared.severity,
    )


def _require_columns(conditions: pl.DataFrame, limits: Sequence[Limits]) -> None:
    known = conditions["column"].unique(maintain_order=True).to_list()
    for each in limits:
        if known and each.column not in (ALL, *known):
            raise _refusal(each.column, f"there is no such column; allowed: *, {', '.join(known)}")


def _refusal(column: str, message: str) -> ConfigurationError:
    return ConfigurationError(
        f"condition of column {column!r}: {message}.", hint="Correct it under `condition` of the data set."
    )
