"""Declared repairs: what is changed in which column by which rule, and how many rows each rule changed.

A repair is one condition and what becomes of the values that meet it. It must not drop rows, change a
column's type, or touch a value its rule does not name.

    repairs:
      - { column: wind_speed, above: 200, to: missing }
      - { column: precip, below: 0, to: limit }
      - { column: tailnum, trim: true }
      - { column: carrier, replace: { "N/A": null, "old": "new" } }
      - { column: seats, fill: 0 }
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import polars as pl

from mlplatform.errors import ConfigurationError
from mlplatform.stages.ingestion.contract import PARTITION
from mlplatform.stages.preparation.condition import EVERYTHING

Scalar = str | int | float | bool

MISSING = "missing"
LIMIT = "limit"
COUNTS_SCHEMA = pl.Schema(
    {"partition_key": pl.String(), "column": pl.String(), "repair": pl.String(), "repaired": pl.Int64()}
)
_BOUNDS = ("above", "below")
_FLAGS = ("trim", "upper", "lower")
_RULES = (*_BOUNDS, *_FLAGS, "replace", "fill")


class Repair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule for one column; exactly one of the following (`check_repair` refuses all else).

    above, below : numbers beyond this bound become `to`: a number, "missing", or "limit" (the bound itself);
        NaN is beyond no bound
    trim : white space at both ends of texts is taken off
    upper, lower : texts become upper or lower case
    replace : numbers or texts that are a key become its value, null standing for missing
    fill : what is missing (null; NaN in numbers) becomes this value
    """

    column: str
    above: float | None = None
    below: float | None = None
    to: Scalar | None = None
    trim: bool = False
    upper: bool = False
    lower: bool = False
    replace: dict[Scalar, Scalar | None] | None = None
    fill: Scalar | None = None

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of the rules that are set: one in a valid repair."""
        flags = {name for name in _FLAGS if getattr(self, name)}
        others = {name for name in _RULES if name not in _FLAGS and getattr(self, name) is not None}
        return tuple(name for name in _RULES if name in flags | others)

    @property
    def words(self) -> str:
        """The rule of a valid repair as people read it, such as "above 200 → missing"."""
        rule = self.rules[0]
        if rule in _BOUNDS:
            return f"{rule} {getattr(self, rule):.12g} → {self.to}"
        if rule == "replace":
            pairs = (self.replace or {}).items()
            return "replace " + ", ".join(f"{old} → {MISSING if new is None else new}" for old, new in pairs)
        return {"trim": "trim", "fill": f"{MISSING} → {self.fill}"}.get(rule, f"{rule} case")


@dataclass(frozen=True)
class Repaired:
    """The repaired frame, and `counts` (COUNTS_SCHEMA): rows changed per partition and repair, 0 included."""

    frame: pl.DataFrame
    counts: pl.DataFrame


def apply(frame: pl.DataFrame, repairs: Sequence[Repair], *, partition: str = PARTITION) -> Repaired:
    """Make the repairs in order; a later one sees what an earlier one made.

    Parameters
    ----------
    frame : any rows; without the column `partition` they are the one partition "all"

    Returns
    -------
    rows, their order, columns and types as they were; counts by partition, then in the order of `repairs`.

    Raises
    ------
    ConfigurationError
        if a repair does not fit the frame.
    """
    for each in repairs:
        check_repair(each, frame.schema, partition=partition)
    keys = frame[partition].cast(pl.String) if partition in frame.columns else _one_partition(frame)
    parts = [COUNTS_SCHEMA.to_frame()]
    for each in repairs:
        old = frame[each.column]
        new = frame.select(_repaired(each, old.dtype).cast(old.dtype).alias(each.column)).to_series()
        parts.append(_counted(each, keys, ~old.eq_missing(new)))
        frame = frame.with_columns(new)
    return Repaired(frame, pl.concat(parts).sort("partition_key", maintain_order=True))


def check_repair(repair: Repair, schema: pl.Schema, *, partition: str = PARTITION) -> None:
    """Refuse a repair that is not exactly one rule, or does not fit the column of `schema` it names.

    Raises
    ------
    ConfigurationError
        saying what was got and what is allowed.
    """
    if repair.column not in schema or repair.column == partition:
        allowed = ", ".join(name for name in schema if name != partition) or "none"
        raise _refusal(repair, f"got column {repair.column!r}; allowed: {allowed}")
    rules = repair.rules
    if len(rules) != 1:
        raise _refusal(repair, f"got {' and '.join(rules) or 'no rule'}; allowed: one of {', '.join(_RULES)}")
    _check_type(repair, rules[0], schema[repair.column])
    if rules[0] in _BOUNDS:
        _check_bound(repair, rules[0], schema[repair.column])
    elif repair.to is not None:
        raise _refusal(repair, f"got `to` with {rules[0]}; allowed: with {' or '.join(_BOUNDS)}")
    _check_values(repair, schema[repair.column])


def _check_type(repair: Repair, rule: str, dtype: pl.DataType) -> None:
    allowed = {
        "numbers": rule not in _FLAGS and dtype.is_numeric(),
        "texts": rule not in _BOUNDS and dtype == pl.String,
        "true or false": rule == "fill" and dtype == pl.Boolean,
    }
    if not any(allowed.values()):
        kinds = {"fill": "numbers, texts, true or false", "replace": "numbers, texts"}
        wanted = kinds.get(rule, "numbers" if rule in _BOUNDS else "texts")
        raise _refusal(repair, f"{rule} got a column of type {dtype}; allowed: {wanted}")


def _check_bound(repair: Repair, rule: str, dtype: pl.DataType) -> None:
    bound, to = getattr(repair, rule), repair.to
    if not math.isfinite(bound):
        raise _refusal(repair, f"got {rule} {bound}; allowed: a finite number")
    if to in (MISSING, LIMIT) and isinstance(to, str):
        if to == LIMIT and not _fits(bound, dtype):
            raise _refusal(repair, f"got limit {bound} for a column of type {dtype}; allowed: its values")
        return
    if not _fits(to, dtype):
        raise _refusal(repair, f"got to {to!r}; allowed: {MISSING}, {LIMIT}, or a value of type {dtype}")
    if isinstance(to, int | float) and (to > bound if rule == "above" else to < bound):
        raise _refusal(repair, f"got to {to}, which is itself {rule} {bound}; allowed: a value that is not")


def _check_values(repair: Repair, dtype: pl.DataType) -> None:
    pairs = {} if repair.replace is None else repair.replace
    if repair.replace is not None and not pairs:
        raise _refusal(repair, "got replace without values; allowed: old values with their new ones")
    values = [*pairs, *(new for new in pairs.values() if new is not None)]
    for value in values if repair.fill is None else [repair.fill]:
        if not _fits(value, dtype):
            raise _refusal(repair, f"got {value!r} for a column of type {dtype}; allowed: its values")


def _fits(value: Scalar | None, dtype: pl.DataType) -> bool:
    """Whether the column can hold exactly this; fractions are cut to what a column of floats can tell."""
    if isinstance(value, bool) or dtype == pl.Boolean:
        return isinstance(value, bool) and dtype == pl.Boolean
    if isinstance(value, str) or dtype == pl.String:
        return isinstance(value, str) and dtype == pl.String
    if value is None or not math.isfinite(value):
        return False
    if not dtype.is_integer():
        return True
    low, high = (pl.select(end).item() for end in (dtype.min(), dtype.max()))  # type: ignore[attr-defined]
    return value == int(value) and low <= value <= high


def _repaired(repair: Repair, dtype: pl.DataType) -> pl.Expr:
    value, rule = pl.col(repair.column), repair.rules[0]
    if rule in _BOUNDS:
        bound = getattr(repair, rule)
        to = {MISSING: None, LIMIT: bound}.get(str(repair.to), repair.to)
        return pl.when(_beyond(value, rule, bound, dtype)).then(_literal(to, dtype)).otherwise(value)
    if rule == "replace":
        return _replaced(value, repair.replace or {}, dtype)
    if rule == "fill":
        absent = value.is_null() | value.is_nan() if dtype.is_float() else value.is_null()
        return pl.when(absent).then(_literal(repair.fill, dtype)).otherwise(value)
    texts = {"trim": value.str.strip_chars(), "upper": value.str.to_uppercase()}
    return texts.get(rule, value.str.to_lowercase())


def _beyond(value: pl.Expr, rule: str, bound: float, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_float():
        limit = _literal(bound, dtype)
        return (value > limit if rule == "above" else value < limit) & ~value.is_nan()
    # Beyond 2.5 is beyond 2 (or below 3): as floats, large whole numbers would lose their last digits.
    whole = math.floor(bound) if rule == "above" else math.ceil(bound)
    limit = pl.lit(whole if _fits(whole, dtype) and dtype.is_integer() else bound)
    return value > limit if rule == "above" else value < limit


def _replaced(value: pl.Expr, pairs: Mapping[Scalar, Scalar | None], dtype: pl.DataType) -> pl.Expr:
    """All pairs at once: what one makes is not a key for the next."""
    new = value
    for old, to in pairs.items():
        new = pl.when(value == _literal(old, dtype)).then(_literal(to, dtype)).otherwise(new)
    return new


def _literal(value: Scalar | None, dtype: pl.DataType) -> pl.Expr:
    return pl.lit(int(value) if value is not None and dtype.is_integer() else value).cast(dtype)


def _counted(repair: Repair, keys: pl.Series, changed: pl.Series) -> pl.DataFrame:
    rows = pl.DataFrame({"partition_key": keys, "changed": changed})
    return rows.group_by("partition_key").agg(
        column=pl.lit(repair.column),
        repair=pl.lit(repair.words),
        repaired=pl.col("changed").sum().cast(pl.Int64),
    )


def _one_partition(frame: pl.DataFrame) -> pl.Series:
    return pl.repeat(EVERYTHING, frame.height, dtype=pl.String, eager=True)


def _refusal(repair: Repair, message: str) -> ConfigurationError:
    return ConfigurationError(
        f"repair of column {repair.column!r}: {message}.",
        hint="Correct it under `repairs` of the data set; two rules are two repairs, made in order.",
    )
