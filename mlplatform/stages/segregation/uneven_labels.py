"""Warnings of labels: one class only, or other classes and numbers in one part than in train.

Differences are measured by size, not by significance: p-values always fire when there are many rows.
"""

from collections.abc import Iterator, Mapping

import polars as pl

FAR = 0.25
"""Relative distance of a part's label rate from train's that is worth a warning; of numbers, the distance of
means in standard deviations of train."""
MOVED = 0.1
"""Share of a part's rows that would need another class, or another place in the spread, to be as train is."""
CLASSES = 10
"""Numbers of at most so many different values are classes."""
ENOUGH = 100
"""Rows that a spread is measured on, at least."""


def constant(part: str, labels: pl.Series) -> Iterator[str]:
    """Whether one part has one label only."""
    if labels.len() and labels.n_unique() == 1:
        yield f"{part} has the constant label {_spelled(labels[0])}: nothing can be learned or measured."


def between(labels: Mapping[str, pl.Series]) -> Iterator[str]:
    """How the labels of each part differ from those of train, the first; empty parts do not."""
    (_, train), *others = labels.items()
    everything = pl.concat(list(labels.values()), how="vertical").unique()
    for part, values in others:
        if train.is_empty() or values.is_empty():
            continue
        if _is_rate(everything):
            yield from _rate(part, values.cast(pl.Float64), train.cast(pl.Float64))
        elif everything.dtype.is_numeric() and everything.len() > CLASSES:
            yield from _numbers(part, values.cast(pl.Float64), train.cast(pl.Float64))
        else:
            yield from _classes(part, values, train)


def _is_rate(different: pl.Series) -> bool:
    if not different.dtype.is_numeric():
        return different.dtype == pl.Boolean
    return bool(different.cast(pl.Float64).is_in([0.0, 1.0]).all())


def _rate(part: str, values: pl.Series, train: pl.Series) -> Iterator[str]:
    rate, usual = _mean(values), _mean(train)
    if abs(rate - usual) > FAR * abs(usual):
        yield f"label rate of {part} is {rate:.3f}, of train {usual:.3f}: the label drifts."


def _classes(part: str, values: pl.Series, train: pl.Series) -> Iterator[str]:
    """By total variation distance: half the sum of the differences of shares."""
    shares, usual = _shares(values), _shares(train)
    apart = {each: shares.get(each, 0) - usual.get(each, 0) for each in {*shares, *usual}}
    distance = sum(map(abs, apart.values())) / 2
    if distance > MOVED:
        most = min(apart, key=lambda each: (-abs(apart[each]), str(each)))
        yield (
            f"the classes of {part} differ from train's for {distance:.0%} of the rows, most "
            f"{_spelled(most)} ({shares.get(most, 0):.3f}, of train {usual.get(most, 0):.3f})."
        )
    new = sorted(map(_spelled, set(shares) - set(usual)))
    if new:
        yield f"{part} has {len(new)} classes that train has not, such as {new[0]}: they cannot be learned."


def _numbers(part: str, values: pl.Series, train: pl.Series) -> Iterator[str]:
    """By the standardised difference of means; if they agree, by the share outside train's middle 80 %."""
    mean, usual, deviation = _mean(values), _mean(train), train.std()
    if not isinstance(deviation, float) or not deviation > 0:
        return
    apart = abs(mean - usual) / deviation
    if apart > FAR:
        yield (
            f"labels of {part} average {mean:.4g}, of train {usual:.4g}: they are {apart:.2f} standard "
            "deviations apart."
        )
        return
    low, high = train.quantile(0.1), train.quantile(0.9)
    outside, expected = (_mean(~each.is_between(low, high)) for each in (values, train))
    if min(values.len(), train.len()) >= ENOUGH and abs(outside - expected) > MOVED:
        yield (
            f"{outside:.0%} of the labels of {part} lie outside {low:.4g} to {high:.4g}, of train's "
            f"{expected:.0%}: they spread otherwise."
        )


def _shares(labels: pl.Series) -> dict[object, float]:
    counts = labels.rename("label").value_counts(name="rows")
    return {label: rows / labels.len() for label, rows in counts.iter_rows()}


def _mean(values: pl.Series) -> float:
    mean = values.mean()
    assert isinstance(mean, float)
    return mean


def _spelled(label: object) -> str:
    return f"{label:g}" if isinstance(label, int | float) else repr(label)
