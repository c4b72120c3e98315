"""Which rows fed the features of a question, and so which batches: the batch executor's windows once more.

Where a feature's window begins and ends is found by the same sorted search that computed it; instead of sums,
the batches of the rows in between are taken. It must not compute features, nor know where rows come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from mlplatform.stages.monitoring.fed_rows import BATCH as BATCH
from mlplatform.stages.monitoring.fed_rows import NONE, Slot, Span, coded, known, nothing
from mlplatform.stages.preparation.declarations import (
    CLOSED_BEFORE_US,
    Agg,
    ExponentialMean,
    FeatureSet,
    Last,
    Open,
    Row,
    Source,
    Static,
    key_columns,
    told_columns,
)
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.search import (
    Bools,
    Ints,
    Questions,
    Search,
    prefix_sums,
    sorted_rows,
)

NEVER = 2**62


@dataclass(frozen=True)
class Fed:
    """What fed one feature of one question."""

    rows: int = 0
    """Rows of sources that counted; of a value calculated from others, theirs together."""
    batches: frozenset[str] = frozenset()


@dataclass
class Lineage:
    """What fed the features of some questions.

    Parameters
    ----------
    feature_set : the declaration
    asked : a row per question: the spine's facts and `as_of`, Datetime("us", "UTC")
    sources, statics : the rows of sources by the source's name, and of static tables by the table's: the
        columns that features read, and `batch_id`; what is not there is empty
    """

    feature_set: FeatureSet
    asked: pl.DataFrame
    sources: Mapping[str, pl.DataFrame]
    statics: Mapping[str, pl.DataFrame]
    _batches: list[str] = field(default_factory=list)
    _codes: dict[str, int] = field(default_factory=dict)
    _events: dict[str, pl.DataFrame] = field(default_factory=dict)
    _searches: dict[tuple[str, tuple[str, ...]], tuple[Search, Ints]] = field(default_factory=dict)
    _slots: dict[tuple[str, tuple[str, ...], str], Slot] = field(default_factory=dict)
    _sets: dict[tuple[int, int, int], frozenset[str]] = field(default_factory=dict)

    def of(self) -> dict[str, list[Fed]]:
        """Per feature, steps for others included, what fed it for each question, in the order of `asked`."""
        found: dict[str, list[Fed]] = {}
        for feature in self.feature_set.features:
            match feature:
                case Row():
                    found[feature.name] = self._together(sorted(feature.expression.columns()), found)
                case Agg() | ExponentialMean() | Last():
                    found[feature.name] = self._fed(self._windowed(feature))
                case Open():
                    found[feature.name] = self._with_closings(feature, self._items(feature))
                case Static():
                    found[feature.name] = self._static(feature)
                case _:  # categories and target rates are facts of the question
                    found[feature.name] = [Fed()] * self.asked.height
        return found

    def touched(self) -> pl.Series:
        """Per question whether any feature was fed by a row that was given: for the rows of one batch alone.

        A bound: a feature that takes the latest rows of its window counts those that later rows displaced,
        and rows that close items of another table count for every question of their time.
        """
        hit = np.zeros(self.asked.height, dtype=bool)
        for feature in self.feature_set.features:
            match feature:
                case Agg() | ExponentialMean() | Last():
                    hit |= self._windowed(feature).filled
                case Open():
                    hit |= self._items(feature).filled
                    if feature.until.table != feature.due.table:
                        hit |= self._closed_within(feature)
                case Static():
                    hit |= np.array([fed.rows > 0 for fed in self._static(feature)], dtype=bool)
                case _:
                    pass
        return pl.Series("touched", hit)

    def _together(self, names: list[str], found: Mapping[str, list[Fed]]) -> list[Fed]:
        parts = [found[name] for name in names if name in found]
        if not parts:
            return [Fed()] * self.asked.height
        return [
            Fed(sum(fed.rows for fed in each), frozenset[str]().union(*(fed.batches for fed in each)))
            for each in zip(*parts, strict=True)
        ]

    def _windowed(self, feature: Agg | ExponentialMean | Last) -> Span:
        source, by = feature.source, key_columns(feature.by)
        search, order = self._search(source, by)
        if isinstance(feature, Last):
            slot, ago = self._slot(source, by, "", order), microseconds(feature.ago)
            high, low = search.until(ago), search.until(ago + microseconds(feature.max_age))
            return Span(slot, np.maximum(low, high - 1), high)
        slot = self._slot(source, by, feature.value or "", order)
        high = slot.count[search.until(0)]
        low = slot.count[search.until(microseconds(feature.window))]
        return Span(slot, low if feature.last is None else np.maximum(low, high - feature.last), high)

    def _items(self, feature: Open) -> Span:
        """Items that were due in the window."""
        by = key_columns(feature.by)
        search, order = self._search(feature.due, by)
        high, low = search.until(microseconds(feature.after)), search.until(microseconds(feature.window))
        return Span(self._slot(feature.due, by, "", order), low, high)

    def _with_closings(self, feature: Open, items: Span) -> list[Fed]:
        """Items, and the rows that closed them by the time of the question."""
        due, until, fed = feature.due, feature.until, self._fed(items)
        if until.table == due.table:
            return fed  # an item and what closes it are one row
        _, order = self._search(due, key_columns(feature.by))
        rows = self._rows(due).select(due.key)[order]
        closings = self._rows(until).select(*until.key, _closed=known(until), _batch=BATCH)
        first = closings.sort("_closed").unique(list(until.key), keep="first", maintain_order=True)
        typed = first.with_columns(pl.col(name).cast(rows[name].dtype) for name in due.key)
        closed = rows.join(typed, on=list(due.key), how="left", maintain_order="left")
        moments, batches = closed["_closed"].fill_null(NEVER).to_numpy(), closed["_batch"].to_numpy()
        found = []
        for item, begin, end, asked in zip(fed, items.low, items.high, self._times(), strict=True):
            seen = batches[begin:end][moments[begin:end] <= asked]
            found.append(Fed(item.rows + len(seen), item.batches | frozenset(seen.tolist()) - {NONE}))
        return found

    def _closed_within(self, feature: Open) -> Bools:
        """Whether a row that closes items was known between the reach of the feature and the question."""
        search, _ = self._search(feature.until, ())
        filled: Bools = search.until(0) > search.until(CLOSED_BEFORE_US + microseconds(feature.window))
        return filled

    def _static(self, feature: Static) -> list[Fed]:
        table = self.statics.get(feature.table)
        if table is None or not table.height:
            return [Fed()] * self.asked.height
        batches = table.select(feature.by, pl.col(BATCH).fill_null(NONE)).unique(feature.by)
        asked = self.asked.select(pl.col(feature.by).cast(table[feature.by].dtype))
        found = asked.join(batches, on=feature.by, how="left", maintain_order="left")[BATCH].to_list()
        return [Fed() if batch is None else Fed(1, frozenset({batch}) - {NONE}) for batch in found]

    def _fed(self, span: Span) -> list[Fed]:
        firsts, lasts = span.runs()
        counts = np.maximum(span.high - span.low, 0).tolist()
        return [
            Fed(rows, self._named(span.slot, first, last)) if rows else Fed()
            for rows, first, last in zip(counts, firsts.tolist(), lasts.tolist(), strict=True)
        ]

    def _named(self, slot: Slot, first: int, last: int) -> frozenset[str]:
        """Batches of runs; many questions share them."""
        at = (id(slot), first, last)
        if at not in self._sets:
            names = {self._batches[code] for code in slot.codes[first:last].tolist()}
            self._sets[at] = frozenset(names) - {NONE}
        return self._sets[at]

    def _rows(self, source: Source) -> pl.DataFrame:
        """Rows of a source that happened, each once, as the executor orders them."""
        if source.name not in self._events:
            rows = self.sources.get(source.name)
            if rows is None or not rows.height:
                rows = nothing(self.feature_set, source)
            rows = rows.filter(pl.col(source.at).is_not_null())
            told = [name for name in told_columns(self.feature_set.features, source) if name in rows.columns]
            rows = rows.unique(told, keep="first", maintain_order=True).sort(source.key)
            self._events[source.name] = rows.with_columns(pl.col(BATCH).fill_null(NONE))
        return self._events[source.name]

    def _search(self, source: Source, by: tuple[str, ...]) -> tuple[Search, Ints]:
        place = (source.name, by)
        if place not in self._searches:
            rows = self._rows(source)
            codes, asked = coded(rows, self.asked, by)
            at = rows.select(known(source)).to_series().to_numpy()
            keyed = np.flatnonzero(codes >= 0)
            order = keyed[sorted_rows(codes[keyed], at[keyed])]
            questions = Questions.of(asked, self._times())
            self._searches[place] = (Search(codes[order], at[order], questions), order)
        return self._searches[place]

    def _slot(self, source: Source, by: tuple[str, ...], value: str, order: Ints) -> Slot:
        place = (source.name, by, value)
        if place not in self._slots:
            rows = self._rows(source)[order]
            present = rows[value].is_not_null().to_numpy() if value else np.ones(len(order), dtype=bool)
            codes = self._numbered(rows[BATCH].filter(pl.Series(present)))
            self._slots[place] = Slot.of(prefix_sums(present), codes)
        return self._slots[place]

    def _numbered(self, batches: pl.Series) -> Ints:
        for name in batches.unique().sort().to_list():
            if name not in self._codes:
                self._codes[name] = len(self._batches)
                self._batches.append(name)
        if not len(batches):
            return np.zeros(0, np.int64)
        return batches.replace_strict(self._codes, return_dtype=pl.Int64).to_numpy()

    def _times(self) -> Ints:
        return self.asked["as_of"].dt.timestamp("us").to_numpy()
