"""Batch against online: the events of the lake through the online executor, every cell and score compared.

Questions are asked in the order of their time, each once all that was known by then was given, and their
features and the champion's scores are compared with those of the batch path, to the bit. It must not know
Dagster or how results are shown.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from mlplatform.offline.declared import Declared
from mlplatform.offline.parity_cells import different_rows
from mlplatform.offline.parity_champion import Champion
from mlplatform.offline.parity_events import Facts, Feed, moment, plain
from mlplatform.offline.parity_found import MOST_EXAMPLES, Compared, Example, History
from mlplatform.offline.parity_history import histories
from mlplatform.stages.preparation.online import OnlineFeatures
from mlplatform.stores.lake import KEY, Lake, Moments

DAY_US = 86_400_000_000
STRETCH = 7
"""Days of rows that are in memory at once, apart from what features remember."""


def compare(
    declared: Declared,
    lake: Lake,
    champion: Champion | None,
    first: str,
    last: str,
    told: Callable[[str, Compared], None] = lambda day, so_far: None,
) -> Compared:
    """Replay the questions of the partitions `first` … `last`; `told` hears of each day (UTC) that is done.

    Raises
    ------
    NotFound
        if the lake lacks the features or a table they read.
    FeatureError
        if the online executor cannot take a row or answer a question.
    """
    replay = _Replay(declared, lake, champion, first, last)
    for day in replay.days():
        told(day, replay.found)
    return replay.found


class _Replay:
    """One pass through the questions of a range."""

    def __init__(
        self, declared: Declared, lake: Lake, champion: Champion | None, first: str, last: str
    ) -> None:
        self.found = Compared()
        self._declared, self._lake, self._champion = declared, lake, champion
        self._first, self._last = first, last
        self._feature_set = declared.feature_set
        self._features = OnlineFeatures(self._feature_set)
        self._feed = Feed(lake, declared.name, self._features)
        self._score = champion.online(self._feature_set.names) if champion else None
        self._scored = champion is not None and lake.exists(declared.table("scores"))

    def days(self) -> Iterator[str]:
        """Replay; the name of each day that is done."""
        asked = sorted(self._read("features", ["as_of"])["as_of"].dt.timestamp("us").to_list())
        spine = self._read(self._feature_set.spine.table, [KEY]).height
        if asked:
            start = asked[0] - asked[0] % DAY_US
            self._feed.load_statics()
            self._feed.warm(start)
            for begin in range(start, asked[-1] + 1, STRETCH * DAY_US):
                end = begin + STRETCH * DAY_US
                self._feed.load(begin, end)
                yield from self._stretch(begin, end)
        self.found.events = self._feed.given
        self.found.unasked = spine + len(asked) - 2 * self.found.rows

    def _stretch(self, begin: int, end: int) -> Iterator[str]:
        rows = self._questions(begin, end)
        for of_day in rows.with_columns(__day=pl.col("as_of").dt.date()).partition_by("__day"):
            self._day(of_day)
            yield str(of_day["__day"][0])

    def _questions(self, begin: int, end: int) -> pl.DataFrame:
        """Batch features of a stretch in order of their time, stored scores and facts beside them."""
        spine, bounds = self._feature_set.spine, (moment(begin), moment(end - 1))
        columns = list(dict.fromkeys([*spine.key, "as_of", *self._feature_set.names, KEY]))
        rows = self._read("features", columns, {"as_of": bounds})
        days = rows[KEY].unique().to_list()
        wanted = list(dict.fromkeys([*spine.key, *spine.facts]))
        asked = self._lake.read(self._declared.table(spine.table), columns=wanted, partitions=days)
        facts = asked.select(*spine.key, __facts=plain(asked).select(*spine.facts).to_struct())
        rows = rows.join(facts, on=list(spine.key), how="inner", maintain_order="left")
        return self._with_scores(rows, days).sort("as_of", *spine.key)

    def _with_scores(self, rows: pl.DataFrame, days: list[str]) -> pl.DataFrame:
        if self._champion is None or not self._scored:
            return rows.with_columns(__score=pl.lit(None, pl.Float64))
        key = list(self._feature_set.spine.key)
        table = self._declared.table("scores")
        scores = self._lake.read(table, columns=[*key, "score", "digest"], partitions=days)
        ours = scores.filter(digest=self._champion.release.digest).select(*key, __score="score")
        return rows.join(ours, on=key, how="left", maintain_order="left")

    def _day(self, rows: pl.DataFrame) -> None:
        """Ask the questions of a day, then compare their columns."""
        as_of, advance, vector = self._features.as_of, self._features.advance, self._features.vector
        facts = rows["__facts"].to_list()
        times, vectors = [], []
        for question in facts:
            asked = as_of(question)
            self._feed.until(asked)
            advance(asked)
            times.append(asked)
            vectors.append(vector(question))
        self._compare(rows, facts, times, vectors)

    def _compare(
        self, rows: pl.DataFrame, facts: list[Facts], times: list[int], vectors: list[list[Any]]
    ) -> None:
        names, found = self._feature_set.names, self.found
        found.rows += rows.height
        found.cells += rows.height * len(names)
        online = {"as_of": times, **dict(zip(names, zip(*vectors, strict=True), strict=True))}
        for name, values in online.items():
            found.different += self._note(rows, facts, times, name, rows[name], values)
        if self._champion is not None and self._score is not None:
            stored = rows["__score"]
            batch = stored.zip_with(stored.is_not_null(), self._champion.batch(rows))
            scores = [self._score(vector) for vector in vectors]
            found.scores += rows.height
            found.scores_stored += rows.height - stored.null_count()
            found.scores_different += self._note(rows, facts, times, "score", batch, scores)

    def _note(
        self,
        rows: pl.DataFrame,
        facts: list[Facts],
        times: list[int],
        name: str,
        batch: pl.Series,
        online: Sequence[Any],
    ) -> int:
        """How many values of a column differ; the first of them become examples."""
        places = different_rows(batch, online)
        for place in places[: MOST_EXAMPLES - len(self.found.examples)]:
            question, asked = facts[place], times[place]
            now, given = self._histories(name, question, asked)
            key = rows[place].select(self._feature_set.spine.key).to_dicts()[0]
            self.found.examples.append(
                Example(
                    key, f"{moment(asked):%Y-%m-%dT%H:%M:%SZ}", name, batch[place], online[place], now, given
                )
            )
        return len(places)

    def _histories(self, name: str, question: Facts, asked: int) -> tuple[History, History]:
        use_case, feature_set = self._declared.name, self._feature_set
        return histories(self._lake, self._feed, use_case, feature_set, name, question, asked)

    def _read(
        self, table: str, columns: Sequence[str], moments: Mapping[str, Moments] | None = None
    ) -> pl.DataFrame:
        """Rows of the range's partitions."""
        return self._lake.read(
            self._declared.table(table),
            columns=columns,
            first=self._first,
            last=self._last,
            moments=moments,
        )
