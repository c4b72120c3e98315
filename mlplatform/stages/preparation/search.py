"""Sorted search on prefix sums: where windows begin and end among rows sorted by key and time.

Key and time of a row are folded into one whole number, so that a window is two binary searches; asking in
sorted order makes each search ten times cheaper. Where 64 bits are too few, keys and times are numbered.
It must not know features; `batch.py` brings the arrays.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LARGEST = 2**62
"""Whole numbers beyond this could overflow 64 bits."""


@dataclass(frozen=True)
class Questions:
    """What is asked: per question a key code and a time (microseconds), and the order that sorts them."""

    codes: Ints
    times: Ints
    missing: Bools
    order: Ints

    @classmethod
    def of(cls, codes: Ints, times: Ints) -> "Questions":
        """Questions with key `codes` (-1: the key is missing)."""
        missing = codes < 0
        return cls(codes, times, missing, np.lexsort((times, codes)))


@dataclass
class Search:
    """Rows sorted by key code and time, to be searched by questions."""

    codes: Ints
    times: Ints
    questions: Questions
    _found: dict[int, Ints] = field(default_factory=dict)

    def __post_init__(self) -> None:
        asked = self.questions.codes
        self._first = int(self.times.min(initial=2**62)) - 1
        self._clock: Ints | None = None
        span = max(int(self.times.max(initial=0)) - self._first, 0) + 1
        codes, times = self.codes, self.times - self._first
        if (max(int(codes.max(initial=0)), int(asked.max(initial=0))) + 1) * span >= LARGEST:
            codes, asked = _dense(codes, asked)
            self._clock = np.unique(self.times)
            times, span = np.searchsorted(self._clock, self.times, side="right"), len(self._clock) + 1
        self._span = span
        self._rows = codes * span + times
        self._base = asked[self.questions.order] * span
        self._asked = self.questions.times[self.questions.order]

    def until(self, ago_us: int) -> Ints:
        """Per question: how many rows, over all keys in order, come up to and with its time − `ago_us`."""
        if ago_us not in self._found:
            positions = np.empty(len(self._asked), dtype=np.int64)
            asked = self._base + self._moments(self._asked - ago_us)
            positions[self.questions.order] = np.searchsorted(self._rows, asked, side="right")
            self._found[ago_us] = positions
        return self._found[ago_us]

    def _moments(self, times: Ints) -> Ints:
        """Times as digits of the folded number: microseconds since the first row, or numbered."""
        if self._clock is None:
            return np.clip(times - self._first, 0, self._span - 1)
        return np.searchsorted(self._clock, times, side="right")

    def start(self) -> Ints:
        """Per question: the position of the first row of its key."""
        positions = np.empty(len(self._base), dtype=np.int64)
        positions[self.questions.order] = np.searchsorted(self._rows, self._base, side="right")
        return positions


def sorted_rows(codes: Ints, times: Ints) -> Ints:
    """The order that sorts rows by key and time and keeps the given order of rows at the same moment."""
    return np.lexsort((times, codes))


def prefix_sums(values: npt.NDArray[np.generic]) -> Ints:
    """Sums of the first 0, 1, … n values.

    Sums of times may wrap around 2^64; differences taken of them are small and come out exact.
    """
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums


def extremes(values: Ints, present: Bools, low: Ints, high: Ints, *, largest: bool) -> Ints:
    """Largest (or smallest) present value of rows low … high − 1; 0 where there is none.

    A sparse table: level k holds the extreme of every 2^k rows (Bender and Farach-Colton, 2000).
    """
    sign = 1 if largest else -1
    absent = np.iinfo(np.int64).min
    level = np.where(present, values * sign, absent)
    result = np.full(len(low), absent, dtype=np.int64)
    length = high - low
    step = 1
    while step <= length.max(initial=0):
        chosen = (length >= step) & (length < 2 * step)
        result[chosen] = np.maximum(level[low[chosen]], level[high[chosen] - step])
        level = np.maximum(level[:-step], level[step:])
        step *= 2
    return np.where(result == absent, 0, result) * sign


def count_at_least(values: Ints, upto: Ints, least: Ints) -> Ints:
    """Per query: how many of the first `upto` values (none negative) are at least `least`.

    A wavelet matrix, level by level from the highest bit (Claude and Navarro, 2012).
    """
    bits = int(max(values.max(initial=0), least.max(initial=0))).bit_length()
    left, right, found = np.zeros_like(upto), upto.copy(), np.zeros_like(upto)
    for bit in reversed(range(bits)):
        ones = (values >> bit) & 1
        before = prefix_sums(ones)
        zeros = len(values) - before[-1]
        left_ones, right_ones = before[left], before[right]
        high = ((least >> bit) & 1).astype(bool)
        found += np.where(high, 0, right_ones - left_ones)
        left = np.where(high, zeros + left_ones, left - left_ones)
        right = np.where(high, zeros + right_ones, right - right_ones)
        values = np.concatenate([values[ones == 0], values[ones == 1]])
    return found + right - left


def _dense(codes: Ints, asked: Ints) -> tuple[Ints, Ints]:
    """Codes renumbered without gaps, in the same order, so that fewer digits are needed."""
    _, renumbered = np.unique(np.concatenate([codes, asked]), return_inverse=True)
    return renumbered[: len(codes)], renumbered[len(codes) :]
