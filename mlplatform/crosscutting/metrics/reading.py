"""Reads what `exposition` writes: Prometheus' text format, for who wants a few figures of a service.

It must not fetch anything.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Sample:
    """One line: a name, its labels and the number."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Totals:
    """All samples of one answer."""

    samples: tuple[Sample, ...]

    def sum(self, name: str, *, without: Mapping[str, str] | None = None) -> float:
        """Sum of a metric over its labels, those with a label of `without` left out; 0 where it is none."""
        left_out = (without or {}).items()
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and not any(sample.labels.get(label) == value for label, value in left_out)
        )


def totals(text: str) -> Totals:
    """The samples of an answer; a line that is none is passed over."""
    return Totals(tuple(filter(None, map(_sample, text.splitlines()))))


def _sample(line: str) -> Sample | None:
    told, _, number = line.rpartition(" ")
    if not told or line.startswith("#"):
        return None
    name, _, labels = told.partition("{")
    try:
        return Sample(name, dict(_LABEL.findall(labels)), float(number))
    except ValueError:
        return None
