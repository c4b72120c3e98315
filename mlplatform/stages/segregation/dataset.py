"""Segregation: gives every labelled row of a frame to one part, train, validation or test, or to none.

It must not know a strategy by name, nor change the rows: it says which part each belongs to.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO

import polars as pl

from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation import strategies, uneven
from mlplatform.stages.segregation.splits._draw import drawn
from mlplatform.stages.segregation.strategies import PARTS, SplitFunction

__all__ = ["PARTS", "Split", "segregate"]


@dataclass(frozen=True)
class Split:
    """Which row belongs to which part.

    `parts` has the key columns and `part` (String; null = in no part, for lack of a label or by the
    strategy), in the order of the rows given. `id` names strategy, options, keys and parts together.
    """

    id: str
    parts: pl.DataFrame
    warnings: tuple[str, ...]
    unlabelled: int
    """Rows left out because their label is null or NaN."""
    strategy: str
    options: Mapping[str, object]
    order: tuple[int, ...] | None = None
    """Numbers of all rows in the order in which each part's are returned, if shuffled; None: as they came."""

    def counts(self) -> dict[str, int]:
        """Rows of each part."""
        return {part: self.parts.filter(pl.col("part") == part).height for part in PARTS}


def segregate(
    frame: pl.DataFrame,
    *,
    strategy: str | SplitFunction,
    options: Mapping[str, object],
    keys: Sequence[str],
    label: str | None,
) -> Split:
    """Split `frame` by the strategy of that name (a file of `splits/`, or a dotted path), or by a function.

    Parameters
    ----------
    frame: has the `keys`, the `label` and what the strategy reads.
    options: those of the strategy and of every strategy (`strategies.COMMON`).
    keys: columns that together identify a row; they must be unique and without nulls.
    label: column of numbers, true/false or classes; None if there is none to learn (clustering): then no row
        is left out for lack of it.

    Raises
    ------
    ConfigurationError
        for an unknown strategy or option, an absent column, or keys that do not identify rows.
    """
    found = strategies.find(strategy)
    _check_keys(frame, keys, label)
    seed = strategies.shuffle_seed(options)
    watched = {name: _watched(frame, options, name) for name in ("time", "group")}
    part = strategies.parts_of(found, frame, options, keys, label)
    labels = None if label is None else frame[label]
    labelled = _labelled(frame, labels)
    part = part.zip_with(labelled, pl.Series([None], dtype=pl.String))
    parts = frame.select(*keys, part)
    return Split(
        id=_identity(found.name, options, parts, keys),
        parts=parts,
        warnings=uneven.found(part, labels, **watched),
        unlabelled=frame.height - int(labelled.sum()),
        strategy=found.name,
        options=dict(options),
        order=None if seed is None else tuple(drawn(frame, keys, seed, " within")),
    )


def _labelled(frame: pl.DataFrame, labels: pl.Series | None) -> pl.Series:
    if labels is None:
        return pl.repeat(True, frame.height, eager=True, dtype=pl.Boolean)
    known = labels.is_not_null()
    return known & labels.is_not_nan().fill_null(False) if labels.dtype.is_float() else known


def _watched(frame: pl.DataFrame, options: Mapping[str, object], option: str) -> pl.Series | None:
    name = options.get(option)
    if name is None:
        return None
    if not isinstance(name, str) or name not in frame.columns or frame.schema[name].is_nested():
        raise ConfigurationError(
            f"got {option} column {name!r}; the frame has: {', '.join(frame.columns)}.",
            hint=f"Set the split's `{option}` to one of them that holds plain values.",
        )
    return frame[name]


def _check_keys(frame: pl.DataFrame, keys: Sequence[str], label: str | None) -> None:
    absent = [name for name in (*keys, label) if name is not None and name not in frame.columns]
    if absent or not keys:
        raise ConfigurationError(
            f"got keys {list(keys)} and label {label!r}; the frame has: {', '.join(frame.columns)}.",
            hint="Correct the names of key and label in the use case.",
        )
    if "part" in keys:
        raise ConfigurationError(
            f"got keys {list(keys)}; allowed: any name but part, which says the part of a row.",
            hint="Rename the column.",
        )
    repeated = frame.height - frame.select(keys).n_unique() if frame.height else 0
    if repeated:
        raise ConfigurationError(
            f"keys {list(keys)} do not identify rows: {repeated} of {frame.height} rows repeat a key.",
            hint="Add a column to the keys or remove repeated rows: nothing may be in two parts.",
        )


def _identity(strategy: str, options: Mapping[str, object], parts: pl.DataFrame, keys: Sequence[str]) -> str:
    """The rows are hashed in key order: the order in which they arrive is not part of the identity."""
    described = json.dumps(
        {"strategy": strategy, "options": options, "keys": keys}, sort_keys=True, default=str
    )
    rows = BytesIO()
    parts.sort(keys).write_csv(rows, quote_style="non_numeric")
    return sha256(described.encode() + b"\n" + rows.getvalue()).hexdigest()
