"""Warnings of a split: what is uneven between its parts, each in one sentence.

It must not refuse a split: an uneven one may be the best there is. What the labels say is in
`uneven_labels.py`.
"""

from collections.abc import Iterator

import polars as pl

from mlplatform.stages.segregation.strategies import PARTS
from mlplatform.stages.segregation.uneven_labels import between, constant

TINY = 100
"""Rows under which figures of a part say little."""


def found(
    part: pl.Series,
    labels: pl.Series | None,
    *,
    time: pl.Series | None = None,
    group: pl.Series | None = None,
) -> tuple[str, ...]:
    """The warnings; all series have one entry per row, None is what is not known.

    Parameters
    ----------
    part: the part of each row, null for none. `labels`: numbers, true/false or classes.
    time: when each row was, of any type that has an order. `group`: whose each row is.
    """
    return (
        *_of_each(part, labels),
        *(between(_of_parts(part, labels)) if labels is not None else ()),
        *(_overlap(part, time) if time is not None else ()),
        *(_leak(part, group) if group is not None else ()),
    )


def _of_parts(part: pl.Series, values: pl.Series) -> dict[str, pl.Series]:
    return {name: values.filter(part == name) for name in PARTS}


def _of_each(part: pl.Series, labels: pl.Series | None) -> Iterator[str]:
    for name in PARTS:
        rows = int((part == name).sum())
        if not rows:
            yield f"{name} is empty."
        elif rows < TINY:
            yield f"{name} has only {rows} rows: its figures will be noise."
        if rows and labels is not None:
            yield from constant(name, labels.filter(part == name))


def _overlap(part: pl.Series, time: pl.Series) -> Iterator[str]:
    """A model that has seen what came after the rows that judge it is judged too well."""
    train, *others = (each.drop_nulls().sort() for each in _of_parts(part, time).values())
    for name, times in zip(PARTS[1:], others, strict=True):
        later = int((train > times[0]).sum()) if times.len() else 0
        if later:
            yield (
                f"{later} training rows, up to {train[-1]}, are later than the first of {name}, {times[0]}: "
                "the model has seen the future of what judges it."
            )


def _leak(part: pl.Series, group: pl.Series) -> Iterator[str]:
    rows = pl.DataFrame({"group": group, "part": part}).drop_nulls()
    groups = rows.group_by("group").agg(pl.col("part").unique().sort())
    torn = groups.filter(pl.col("part").list.len() > 1).sort("group")
    if torn.height:
        example, parts = torn.row(0)
        yield (
            f"{torn.height} of {groups.height} groups in {group.name!r} are in more than one part, such as "
            f"{example!r} in {' and '.join(parts)}: what is learned of a group by heart looks like skill."
        )
