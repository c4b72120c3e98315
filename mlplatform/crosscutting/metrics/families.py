"""What is measured: families of samples, and how the samples of several processes become one.

It must not read a clock or a file.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Value = float | list[float]
"""A number; of a histogram the observations in each bucket (not cumulated, the last +Inf), and their sum."""
Labels = tuple[str, ...]
Samples = dict[str, dict[Labels, Value]]
"""By name of the family: the values of its labels, and the number."""


@dataclass(frozen=True)
class Family:
    """One metric as Prometheus knows it. Its name ends with the unit (`_seconds`, `_bytes`) and `_total`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    together: Literal["sum", "max", "min"] = "sum"
    """What several processes make together. Counters and histograms are added."""
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, without +Inf."""

    @property
    def lasts(self) -> bool:
        """Whether a process that ended counts on: true of whatever only grows."""
        return self.kind != "gauge"


def merged(families: Sequence[Family], several: Iterable[Samples]) -> Samples:
    """The samples of several processes as those of one; what is not of `families` is left out."""
    found: Samples = {}
    by_name = {family.name: family for family in families}
    for samples in several:
        for name, values in samples.items():
            family = by_name.get(name)
            if family is None:
                continue  # of a process with older or newer code, while workers are replaced
            into = found.setdefault(name, {})
            for labels, value in values.items():
                into[labels] = _together(family, into[labels], value) if labels in into else value
    return found


def _together(family: Family, one: Value, other: Value) -> Value:
    if isinstance(one, list) and isinstance(other, list):
        return [a + b for a, b in zip(one, other, strict=True)]
    assert not isinstance(one, list)
    assert not isinstance(other, list)
    if family.together == "sum":
        return one + other
    return max(one, other) if family.together == "max" else min(one, other)
