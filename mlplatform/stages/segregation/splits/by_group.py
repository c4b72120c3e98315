"""Split by group: all rows of a group (a customer, an aircraft, a patient) are in one part."""

import polars as pl

from mlplatform.stages.segregation.splits._draw import check_columns, check_seed, check_shares, drawn


def split(
    frame: pl.DataFrame, *, group: str, seed: int = 0, validation: float = 0.15, test: float = 0.15
) -> pl.Series:
    """Groups drawn in the order of a hash of (seed, group); each goes to the part least filled of its share.

    Parameters
    ----------
    frame: the rows; only column `group` is read.
    validation, test: shares of the rows in (0, 1), kept as well as whole groups allow; the rest is train.
        From three groups on no part is empty.

    Returns
    -------
    "train", "validation", "test", or null for rows without a group: nobody knows whose they are.

    Raises
    ------
    ConfigurationError
        for shares that leave no training rows, a seed that is not a whole number, or an absent column.
    """
    check_columns(frame, "group", [group])
    check_seed(seed)
    check_shares(validation, test)
    groups = frame.select(group=group)
    sizes = groups.drop_nulls().group_by("group").agg(rows=pl.len())
    sizes = sizes[drawn(sizes, ["group"], seed)]
    parts = _filled(sizes["rows"].to_list(), validation, test)
    given = sizes.select("group", part=pl.Series(parts, dtype=pl.String))
    return groups.join(given, on="group", how="left", maintain_order="left")["part"]


def _filled(sizes: list[int], validation: float, test: float) -> list[str]:
    """The part of each group, in the order given."""
    share = {"train": 1 - validation - test, "validation": validation, "test": test}
    fill = dict.fromkeys(share, 0.0)
    parts = []
    for size in sizes:
        part = min(fill, key=fill.__getitem__)
        fill[part] += size / share[part]
        parts.append(part)
    return parts
