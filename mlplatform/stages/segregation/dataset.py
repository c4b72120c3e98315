"""Segregation: gives every labelled row of a frame to one part, train, validation or test, or to none.

It must not know a strategy by name, nor change the rows: it says which part each belongs to.
"""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO

import polars as pl

from mlplatform import plugins
from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation import splits

PARTS = ("train", "validation", "test")
TINY = 100
"""Rows under which figures of a part say little."""
FAR = 0.25
"""Relative distance of a part's label rate from train's that is worth a warning."""


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
    """Rows left out because their label is null."""

    def counts(self) -> dict[str, int]:
        """Rows of each part."""
        return {part: self.parts.filter(pl.col("part") == part).height for part in PARTS}


def segregate(
    frame: pl.DataFrame, *, strategy: str, options: Mapping[str, object], keys: Sequence[str], label: str
) -> Split:
    """Split `frame` by the strategy of that name (a file of `splits/`, or a dotted path).

    Parameters
    ----------
    frame: has the `keys`, the `label` (numeric or Boolean) and what the strategy reads.
    keys: columns that together identify a row; they must be unique and without nulls.

    Raises
    ------
    ConfigurationError
        for an unknown strategy or option, an absent column, or keys that do not identify rows.
    """
    _check_keys(frame, keys, label)
    part = _call(strategy, frame, options, keys)
    labelled = frame[label].is_not_null()
    frame = frame.with_columns(part.alias("part"))
    frame = frame.with_columns(part=pl.when(labelled).then("part"))
    parts = frame.select(*keys, "part")
    return Split(
        id=_identity(strategy, options, parts, keys),
        parts=parts,
        warnings=_warnings(frame, label),
        unlabelled=frame.height - int(labelled.sum()),
    )


def _check_keys(frame: pl.DataFrame, keys: Sequence[str], label: str) -> None:
    absent = [name for name in (*keys, label) if name not in frame.columns]
    if absent or not keys:
        raise ConfigurationError(
            f"got keys {list(keys)} and label {label!r}; the frame has: {', '.join(frame.columns)}.",
            hint="Correct the names of key and label in the use case.",
        )
    repeated = frame.height - frame.select(keys).n_unique() if frame.height else 0
    if repeated:
        raise ConfigurationError(
            f"keys {list(keys)} do not identify rows: {repeated} of {frame.height} rows repeat a key.",
            hint="Add a column to the keys or remove repeated rows: nothing may be in two parts.",
        )


def _call(
    strategy: str, frame: pl.DataFrame, options: Mapping[str, object], keys: Sequence[str]
) -> pl.Series:
    split: Callable[..., pl.Series] = plugins.find(splits, strategy).split
    allowed = inspect.signature(split).parameters
    given = dict(options)
    if "keys" in allowed:
        given.setdefault("keys", list(keys))
    try:
        inspect.signature(split).bind(frame, **given)
    except TypeError as error:
        names = ", ".join(name for name in allowed if name not in ("frame", "keys"))
        raise ConfigurationError(
            f"split {strategy!r}: got options {sorted(options)} ({error}); allowed: {names}.",
            hint=f"Correct the options of the split; {strategy} takes {names}.",
        ) from error
    part = split(frame, **given)
    _check_parts(strategy, part, frame.height)
    return part


def _check_parts(strategy: str, part: pl.Series, rows: int) -> None:
    strange = sorted(set(part.drop_nulls().unique().to_list()) - set(PARTS))
    if len(part) != rows or strange:
        raise ConfigurationError(
            f"split {strategy!r} returned {len(part)} entries {strange}; "
            f"allowed: {rows} of {', '.join(PARTS)} or null.",
            hint="A strategy returns one entry for every row, in the order of the rows.",
        )


def _identity(strategy: str, options: Mapping[str, object], parts: pl.DataFrame, keys: Sequence[str]) -> str:
    """The rows are hashed in key order: the order in which they arrive is not part of the identity."""
    described = json.dumps(
        {"strategy": strategy, "options": options, "keys": keys}, sort_keys=True, default=str
    )
    rows = BytesIO()
    parts.sort(keys).write_csv(rows, quote_style="non_numeric")
    return sha256(described.encode() + b"\n" + rows.getvalue()).hexdigest()


def _warnings(frame: pl.DataFrame, label: str) -> tuple[str, ...]:
    labels = {part: frame.filter(pl.col("part") == part)[label].cast(pl.Float64) for part in PARTS}
    found = [line for part, values in labels.items() for line in _of_one(part, values)]
    train = labels["train"].mean()
    for part in PARTS[1:]:
        rate = labels[part].mean()
        if isinstance(train, float) and isinstance(rate, float) and abs(rate - train) > FAR * abs(train):
            found.append(f"label rate of {part} is {rate:.3f}, of train {train:.3f}: the label drifts.")
    return tuple(found)


def _of_one(part: str, labels: pl.Series) -> list[str]:
    if labels.is_empty():
        return [f"{part} is empty."]
    found = []
    if len(labels) < TINY:
        found.append(f"{part} has only {len(labels)} rows: its figures will be noise.")
    if labels.n_unique() == 1:
        found.append(f"{part} has the constant label {labels[0]:g}: nothing can be learned or measured.")
    return found
