"""A frame and its split in one: what training and evaluation ask for their rows.

It must not read or store anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation.dataset import PARTS, Split, segregate
from mlplatform.stages.segregation.strategies import SplitFunction


@dataclass(frozen=True)
class Segregated:
    """Rows with their parts; `split` says id, warnings, and how many rows have no label."""

    frame: pl.DataFrame
    split: Split
    label: str | None

    @property
    def id(self) -> str:
        """Names strategy, options, keys and parts together."""
        return self.split.id

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is uneven between the parts, each in one sentence."""
        return self.split.warnings

    def part(self, name: str, *, labels: bool = True) -> pl.DataFrame:
        """The rows of one part, with or without the label column, in the frame's order or shuffled.

        Raises
        ------
        ConfigurationError
            for a name that is no part.
        """
        if name not in PARTS:
            raise ConfigurationError(f"got part {name!r}; allowed: {', '.join(PARTS)}.")
        return self._rows(self.split.parts["part"] == name, labels)

    def rows(self, *, labels: bool = True) -> pl.DataFrame:
        """The rows of all parts in the same order, with a last column `part` (String)."""
        part = self.split.parts["part"]
        named = Segregated(self.frame.drop("part", strict=False).with_columns(part), self.split, self.label)
        return named._rows(part.is_not_null(), labels)

    def _rows(self, chosen: pl.Series, labels: bool) -> pl.DataFrame:
        frame, order = self.frame, self.split.order
        if order is not None:
            frame, chosen = frame[list(order)], chosen[list(order)]
        rows = frame.filter(chosen)
        return rows if labels or self.label is None else rows.drop(self.label)


def divide(
    frame: pl.DataFrame,
    *,
    strategy: str | SplitFunction,
    options: Mapping[str, object],
    keys: Sequence[str],
    label: str | None,
) -> Segregated:
    """`segregate`, with the rows: `divide(frame, …).part("train")`.

    Raises
    ------
    ConfigurationError
        as `segregate`.
    """
    split = segregate(frame, strategy=strategy, options=options, keys=keys, label=label)
    return Segregated(frame, split, label)
