"""The expression vocabulary of `Row` features: one tree that runs as polars and as plain Python.

    col("sched_dep").hour("America/New_York")
    (col("slack") - col("dep_delay_last_by_tailnum")).clip(-60, 240)

Both readings give the same bits: null in, null out; whole numbers stay whole (64 bits, as in polars); `/` is
one float division.
Times are `Datetime("us", "UTC")` in a frame and microseconds since 1970 (int) in Python. An expression is
data (a msgspec Struct), so it can be hashed, saved and loaded without running code.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import polars as pl

from mlplatform.errors import ConfigurationError
from mlplatform.stages.preparation.compiled import Code
from mlplatform.stages.preparation.durations import microseconds

Value = int | float | str | bool | None
Evaluate = Callable[[Mapping[str, Any]], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = 60_000_000
_QUARTER = 15 * _MINUTE
_DAY = 24 * 60 * _MINUTE


class _Operators:
    """What can be written on an expression; `==` is left to mean that two declarations are equal."""

    def __add__(self, other: "Operand") -> "Binary":
        return Binary("+", _expression(self), _expression(other))

    def __sub__(self, other: "Operand") -> "Binary":
        return Binary("-", _expression(self), _expression(other))

    def __mul__(self, other: "Operand") -> "Binary":
        return Binary("*", _expression(self), _expression(other))

    def __truediv__(self, other: "Operand") -> "Binary":
        """Float division; null where the divisor is 0."""
        return Binary("/", _expression(self), _expression(other))

    def __ge__(self, other: "Operand") -> "Binary":
        return Binary(">=", _expression(self), _expression(other))

    def __gt__(self, other: "Operand") -> "Binary":
        return Binary(">", _expression(self), _expression(other))

    def clip(self, low: int, high: int) -> "Clip":
        """The value, not below `low` and not above `high`."""
        return Clip(_expression(self), low, high)

    def is_null(self) -> "IsNull":
        """1 where the value is missing, else 0."""
        return IsNull(_expression(self))

    def coalesce(self, other: "Operand") -> "Coalesce":
        """The value, or `other` where it is missing."""
        return Coalesce(_expression(self), _expression(other))

    def minus(self, duration: str) -> "Shift":
        """The time `duration` earlier, e.g. `col("sched_dep").minus("60m")`."""
        return Shift(_expression(self), -microseconds(duration))

    def minutes_since(self, other: "Operand") -> "Minutes":
        """Whole minutes from time `other` to this time (floor)."""
        return Minutes(_expression(self), _expression(other))

    def hour(self, zone: str) -> "Calendar":
        """Hour 0-23 of a time on the clocks of `zone`."""
        return Calendar(_expression(self), "hour", zone)

    def minute_of_day(self, zone: str) -> "Calendar":
        """Minute 0-1439 of a time on the clocks of `zone`."""
        return Calendar(_expression(self), "minute_of_day", zone)

    def weekday(self, zone: str) -> "Calendar":
        """Day of the week, Monday 1 to Sunday 7, in `zone`."""
        return Calendar(_expression(self), "weekday", zone)

    def month(self, zone: str) -> "Calendar":
        """Month 1-12 in `zone`."""
        return Calendar(_expression(self), "month", zone)


class _Node(_Operators, msgspec.Struct, frozen=True, tag=True):
    """Base of all expression nodes."""

    def polars(self) -> pl.Expr:
        """The expression over a frame that has the named columns."""
        raise NotImplementedError

    def python(self) -> Evaluate:
        """The same as a function of a mapping from column names to plain values."""
        code = Code()
        found = {name: code.set(f"row[{name!r}]") for name in sorted(self.columns())}
        code.add(f"return {self.write(code, found)}")
        return code.function("row")

    def write(self, code: Code, found: Mapping[str, str]) -> str:
        """Write the calculation; the name of its value. `found` has the names of the columns' values."""
        raise NotImplementedError

    def columns(self) -> set[str]:
        """Names of the columns it reads."""
        return set().union(*(child.columns() for child in self._children()))

    def _children(self) -> tuple["_Node", ...]:
        return tuple(value for value in msgspec.structs.astuple(self) if isinstance(value, _Node))


class Column(_Node, frozen=True, tag="column"):
    """A fact of the row, `as_of`, or an earlier feature, by its name."""

    name: str

    def polars(self) -> pl.Expr:
        return pl.col(self.name)

    def write(self, code: Code, found: Mapping[str, str]) -> str:
        return found[self.name]

    def columns(self) -> set[str]:
        return {self.name}


class Constant(_Node, frozen=True, tag="constant"):
    """A number."""

    value: int | float

    def polars(self) -> pl.Expr:
        # A column of the number, not a scalar: polars multiplies by the reciprocal of a scalar where a
        # division was asked for, which is another last bit.
        return pl.int_range(pl.len()) * 0 + self.value

    def write(self, code: Code, found: Mapping[str, str]) -> str:
        return code.constant(self.value + 0)  # as polars has it above: a zero without a sign


class Binary(_Node, frozen=True, tag="binary"):
    """Two operands and `+ - * / >= >`; comparisons give 1 or 0.

    A zero that comes out has no sign: polars takes short cuts (x + 0.0 is x, 0.0 - x is -x) that give -0.0
    where IEEE 754 gives 0.0, and only where an operand happens to be constant.
    """

    operator: Literal["+", "-", "*", "/", ">=", ">"]
    left: "Expression"
    right: "Expression"

    def polars(self) -> pl.Expr:
        left, right = self.left.polars(), self.right.polars()
        match self.operator:
            case "+":
                return _unsigned_zero(left + right)
            case "-":
                return _unsigned_zero(left - right)
            case "*":
                return _unsigned_zero(left * right)
            case "/":
                return _unsigned_zero(pl.when(right != 0).then(left / right))
            case ">=":
                return (left >= right).cast(pl.Int64)
            case ">":
                return (left > right).cast(pl.Int64)

    def write(self, code: Code, found: Mapping[str, str]) -> str:
        a, b = self.left.write(code, found), self.right.write(code, found)
        match self.operator:
            case "/":
                # As a float first: Python does not round two large whole numbers it divides, polars does.
                source = f"1.0 * {a} / {b} + 0.0 if {b} else None"
                return code.float_(code.unless_missing((a, b), source, certain=False))
            case ">=" | ">":
                return code.unless_missing((a, b), f"1 if {a} {self.operator} {b} else 0")
            case _ if code.floats & {a, b}:
                return code.float_(code.unless_missing((a, b), f"{a} {self.operator} {b} + 0.0"))
            case _:
                inside = f"{-(2**63)} <= (y := {a} {self.operator} {b}) < {2**63}"
                source = f"(y if {inside} else {code.value(_number)}(y)) + 0"
                return code.unless_missing((a, b), source)


def _number(value: int | float) -> int | float:
    """A number outside 64 bits as polars has it: as Int64 it wraps around at 2**63."""
    return value if isinstance(value, float) else (value + 2**63) % 2**64 - 2**63


def _unsigned_zero(number: pl.Expr) -> pl.Expr:
    return pl.when(number == 0).then(0).otherwise(number)


class Clip(_Node, frozen=True, tag="clip"):
    """A value held between two bounds."""

    operand: "Expression"
    low: int
    high: int

    def polars(self) -> pl.Expr:
        return self.operand.polars().clip(self.low, self.high)

    def write(self, code: Code, found: Mapping[str, str]) -> str:
        value = self.operand.write(code, found)
        # A bound takes the value's type, as in polars: 0.0 where a decimal is cut off at 0.
        bound = f"type({value})({self.low!r} if {value} < {self.low!r} else {self.high!r})"
        inside = f"{self.low!r} <= {value} <= {self.high!r}"
        clipped = code.unless_missing((value,), f"{value} if {inside} else {bound}")
        return code.float_(clipped) if value in code.floats else clipped


class IsNull(_Node, frozen=True, tag="is_null"):
    """1 where missing, else 0."""

    operand: "Expression"

    def polars(self) -> pl.Expr:
        return self.operand.polars().is_null().cast(pl.Int64)

    def write(self, code: Code, found: Mapping[str, str]) -> str:
        value = self.operand.write(code, found)
        return code.constant(0) if value in code.present else code.once(f"1 if {value} is None else 0")


class Coalesce(_Node, frozen=True, tag="coalesce"):
    """The first value, or the second where the first is missing."""

    operand: "Expression"
    otherwise: "Expression"

    def polars(self) -> pl.Expr:
        return pl.coalesce(self.operand.polars(), self.otherwise.polars())

    def write(self, code: Code, found: Mapping[str, str]) -> str:
        value, otherwise = self.operand.write(code, found), self.otherwise.write(code, found)
        if value in code.present:
            return value
        chosen = code.once(f"{otherwise} if {value} is None else {value}")
        if otherwise in code.present:
            code.present.add(chosen)
        return code.float_(chosen) if {value, otherwise} <= code.floats else chosen


class Shift(_Node, frozen=True, tag="shift"):
    """A time moved by some microseconds."""

    operand: "Expression"
    by_us: int

    def polars(self) -> pl.Expr:
        return self.operand.polars() + pl.duration(microseconds=self.by_us)

    def write(self, code: Code, found: Mapping[str, str]) -> str:
        value = self.operand.write(code, found)
        return code.unless_missing((value,), f"{value} + {self.by_us!r}")


class Minutes(_Node, frozen=True, tag="minutes"):
    """Whole minutes from one time to another, rounded down."""

    later: "Expression"
    earlier: "Expression"

    def polars(self) -> pl.Expr:
        return (self.later.polars() - self.earlier.polars()).dt.total_microseconds() // _MINUTE

    def write(self, code: Code, found: Mapping[str, str]) -> str:
        a, b = self.later.write(code, found), self.earlier.write(code, found)
        return code.unless_missing((a, b), f"({a} - {b}) // {_MINUTE}")


class Calendar(_Node, frozen=True, tag="calendar"):
    """A part of the local date of a time."""

    operand: "Expression"
    part: Literal["hour", "minute_of_day", "weekday", "month"]
    zone: str

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (KeyError, ValueError) as error:
            raise ConfigurationError(
                f"got time zone {self.zone!r}; allowed: a name of the IANA time zone database.",
                hint='Write for example "America/New_York" or "UTC".',
            ) from error

    def polars(self) -> pl.Expr:
        local = self.operand.polars().dt.convert_time_zone(self.zone).dt
        match self.part:
            case "hour":
                part = local.hour()
            case "minute_of_day":
                part = local.hour().cast(pl.Int64) * 60 + local.minute()
            case "weekday":
                part = local.weekday()
            case "month":
                part = local.month()
        return part.cast(pl.Int64)

    def write(self, code: Code, found: Mapping[str, str]) -> str:
        value = self.operand.write(code, found)
        local = code.unless_missing((value,), f"{code.value(_clock(self.zone))}({value})")
        match self.part:
            case "hour":
                part = f"{local} // {60 * _MINUTE} % 24"
            case "minute_of_day":
                part = f"{local} // {_MINUTE} % 1440"
            case "weekday":
                part = f"({local} // {_DAY} + 3) % 7 + 1"  # 1970 began on a Thursday
            case "month":
                part = f"{code.value(date.fromordinal)}({local} // {_DAY} + {_EPOCH.toordinal()}).month"
        return code.unless_missing((local,), part)


@lru_cache
def _clock(name: str) -> Callable[[int], int]:
    """What the clocks of a zone show at a time, in microseconds since they showed the beginning of 1970."""
    zone = ZoneInfo(name)

    def offset_at(moment: int) -> int:
        offset = (_EPOCH + timedelta(microseconds=moment)).astimezone(zone).utcoffset()
        assert offset is not None
        return offset // timedelta(microseconds=1)

    @lru_cache(maxsize=4096)
    def offset_of(quarter: int) -> int | None:
        """Of a whole quarter of an hour; None if the clocks were put forward or back within."""
        first, last = offset_at(quarter * _QUARTER), offset_at((quarter + 1) * _QUARTER - 1)
        return first if first == last else None

    def local(moment: int) -> int:
        offset = offset_of(moment // _QUARTER)
        return moment + (offset_at(moment) if offset is None else offset)

    return local


Expression = Column | Constant | Binary | Clip | IsNull | Coalesce | Shift | Minutes | Calendar
Operand = Expression | int | float


def col(name: str) -> Column:
    """A fact of the row, `as_of`, or an earlier feature, by its name."""
    return Column(name)


def _expression(operand: Any) -> Any:
    return Constant(operand) if isinstance(operand, int | float) else operand
