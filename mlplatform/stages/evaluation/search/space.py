"""What a search may try: a range or a list of values per parameter. It must not know a model."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Value = str | int | float | bool | None

EDGE = 0.05
"""A value nearer to an end of its range than this share of the range lies at its edge."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones if both ends are.

    `log`: equal ratios are equally likely, for parameters that matter by their order of magnitude, as
    penalties do; `low` is then above 0.
    """

    low: int | float
    high: int | float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are tried."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[Value, ...]:
        """What a model must take for it to take the range."""
        return self.low, self.high

    def edge(self, value: Any) -> str:
        """`low` or `high` if the value lies at that end, else empty."""
        low, high, at = (math.log(x) if self.log else float(x) for x in (self.low, self.high, value))
        near = EDGE * (high - low)
        return "low" if at - low <= near else "high" if high - at <= near else ""


@dataclass(frozen=True)
class Choice:
    """One of some values, without an order."""

    values: tuple[Value, ...]

    @property
    def ends(self) -> tuple[Value, ...]:
        """What a model must take for it to take the choice: all of it."""
        return self.values

    def edge(self, value: Any) -> str:
        """A choice has no edge."""
        return ""


Dimension = Range | Choice
Space = Mapping[str, Dimension]
"""By parameter; `params.alpha` is `alpha` within the parameter `params`, which is itself a mapping."""


def placed(params: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with those of a point of the space in their places, the given ones left as they are."""
    whole = dict(params)
    for name, value in point.items():
        first, dot, rest = name.partition(".")
        whole[first] = placed(whole.get(first) or {}, {rest: value}) if dot else value
    return whole


def edges(space: Space, point: Mapping[str, Any]) -> list[str]:
    """A sentence for every parameter whose value lies at an edge of its range: the best may lie beyond."""
    found = [(name, space[name], value) for name, value in sorted(point.items()) if name in space]
    return [
        f"{name} = {value} lies at the {end} end of its range {spelled(dimension)}; "
        "widen it, unless the parameter itself ends there."
        for name, dimension, value in found
        if (end := dimension.edge(value))
    ]


def spelled(dimension: Dimension) -> str:
    """A dimension, for people."""
    if isinstance(dimension, Choice):
        return _listed(dimension.values)
    return f"{dimension.low} to {dimension.high}"


def _listed(values: Sequence[Value]) -> str:
    return ", ".join(str(value) for value in values)
