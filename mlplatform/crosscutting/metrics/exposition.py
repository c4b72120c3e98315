"""Samples as Prometheus reads them: its text format, version 0.0.4.

It must not know what is measured. Source: prometheus.io/docs/instrumenting/exposition_formats.
"""

import math
from collections.abc import Iterator, Sequence

from mlplatform.crosscutting.metrics.families import Family, Labels, Samples, Value

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def text(families: Sequence[Family], samples: Samples) -> str:
    """The whole answer to a scrape: every family that has samples, in the order of `families`."""
    return "".join(line for family in families for line in _lines(family, samples.get(family.name)))


def _lines(family: Family, values: dict[Labels, Value] | None) -> Iterator[str]:
    if not values:
        return
    told = family.help.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {family.name} {told}\n# TYPE {family.name} {family.kind}\n"
    for labels, value in sorted(values.items()):
        named = [f'{name}="{_escaped(it)}"' for name, it in zip(family.labels, labels, strict=True)]
        if isinstance(value, list):
            yield from _histogram(family, named, value)
        else:
            yield f"{family.name}{_braced(named)} {_number(value)}\n"


def _histogram(family: Family, named: list[str], value: Sequence[float]) -> Iterator[str]:
    *counts, total = value
    below = 0.0
    for bound, count in zip((*family.buckets, math.inf), counts, strict=True):
        below += count
        bucket = _braced([*named, f'le="{_number(bound)}"'])
        yield f"{family.name}_bucket{bucket} {_number(below)}\n"
    yield f"{family.name}_sum{_braced(named)} {_number(total)}\n"
    yield f"{family.name}_count{_braced(named)} {_number(below)}\n"


def _braced(named: list[str]) -> str:
    return f"{{{','.join(named)}}}" if named else ""


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))
