"""Retraining in hindsight: a model trained again at each of several dates against the same trained once.

Each date's model is a candidate like any other, a partition of the declared assets; both models are judged on
the rows between that date and the next, which neither has seen. It must not choose a champion or release.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import polars as pl

from mlplatform.errors import ConfigurationError, NotFound
from mlplatform.offline import rows
from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared
from mlplatform.offline.plan import Step
from mlplatform.stages.evaluation.bootstrap import gain_interval
from mlplatform.stages.evaluation.metrics import METRICS
from mlplatform.stages.evaluation.report import Report, evaluate_all
from mlplatform.stages.evaluation.values import Floats, Line, Picture
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.candidate import Candidate, open_model
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import KEY, Lake

ALL = "all"
"""Name of the row over the days of every period."""
TASKS = ("classification", "regression")


@dataclass(frozen=True)
class Period:
    """A date of training and the days judged by that model, both ends included; `first` is the date."""

    first: str
    last: str


class Gain(msgspec.Struct, frozen=True):
    """By how much retraining is better in a figure; the ends of its 90 % interval, None for too few days."""

    value: float
    low: float | None
    high: float | None


class Judged(msgspec.Struct, frozen=True):
    """Both models on the rows of one period, or of all."""

    period: str
    last_day: str
    rows: int
    static: dict[str, float]
    retrained: dict[str, float]
    gains: dict[str, Gain]


@dataclass(frozen=True)
class _Scored:
    """Rows of a period: the day, the outcome and both models' scores, (n,) each."""

    days: pl.Series
    y: Floats
    static: Floats
    retrained: Floats


def periods(declared: Declared, first: date, last: date, every: str = "1mo") -> list[Period]:
    """The dates from `first` to `last` (included if `every` meets it) with the days up to the next one.

    Raises
    ------
    ConfigurationError
        if a date has no data on both sides, or `every` is no length such as 1mo, 2w or 10d.
    """
    days = declared.config.days
    if not days.first < first <= last <= days.last:
        raise ConfigurationError(
            f"got dates from {first} to {last}; allowed: in this order, after {days.first} and up to "
            f"{days.last}.",
            hint="A model is trained on the days before its date and judged on those from it on.",
        )
    try:
        beyond = pl.select(pl.lit(last).dt.offset_by(every)).item()
        starts = pl.date_range(first, beyond, every, eager=True).to_list() if beyond > last else []
    except pl.exceptions.PolarsError as error:
        raise _no_length(every) from error
    dates = [start for start in starts if start <= last]
    if not dates:
        raise _no_length(every)
    end = min(_after(dates[-1], every), days.last + timedelta(days=1))
    return [Period(str(a), str(b - timedelta(days=1))) for a, b in pairwise([*dates, end])]


def _after(start: date, every: str) -> date:
    moved: date = pl.select(pl.lit(start).dt.offset_by(every)).item()
    return moved


def _no_length(every: str) -> ConfigurationError:
    return ConfigurationError(
        f"got a length {every!r}; allowed: whole days, weeks or months such as 10d, 2w, 1mo.",
        hint="Leave it out for a month.",
    )


def steps(declared: Declared, model: str, wanted: Sequence[Period]) -> list[Step]:
    """A step per date: the split and the candidate as of it, and the ranking where features are selected.

    Raises
    ------
    ConfigurationError
        if the use case has no such model, or its rows have no outcome of their own.
    """
    if declared.config.task not in TASKS:
        raise ConfigurationError(
            f"{declared.name!r} is of the task {declared.config.task}; allowed: {' or '.join(TASKS)}.",
            hint="Retraining is judged row by row, by an outcome of each row.",
        )
    if model not in declared.config.models:
        raise ConfigurationError(
            f"got model {model!r}; allowed: {', '.join(declared.config.models)}.",
            hint="Name a model that defs.yaml declares.",
        )
    ranking = ["ranking"] if declared.config.selection else []
    search = [f"search_{model}"] if declared.config.models[model].search else []
    names = ["split", *ranking, *search, f"candidate_{model}"]
    assets = tuple(key(declared, name) for name in names)
    return [Step(f"trained as of {each.first}", assets, (each.first,)) for each in wanted]


def judge(
    declared: Declared,
    lake: Lake,
    store: CandidateStore,
    model: str,
    wanted: Sequence[Period],
    told: Callable[[Period], None] = lambda _: None,
) -> list[Judged]:
    """Both models on each period's rows, and on all of them; the static one is of the first date.

    Raises
    ------
    NotFound
        if a candidate is not trained, or a period has no rows.
    """
    once, found, scored = _candidate(declared, lake, store, model, wanted[0].first), [], []
    for period in wanted:
        told(period)
        again = _candidate(declared, lake, store, model, period.first)
        scored.append(_scored(labelled(declared, lake, period), once, again))
        found.append(_judged(declared, period.first, period.last, scored[-1]))
    return [*found, _judged(declared, ALL, wanted[-1].last, _together(scored))]


def labelled(declared: Declared, lake: Lake, period: Period) -> pl.DataFrame:
    """Features, `label` and `day` of the questions of a period whose outcome is known.

    Raises
    ------
    NotFound
        if there are none.
    """
    feature_set, label = declared.feature_set, declared.config.target or ""
    names = list(feature_set.spine.key)

    def read(table: str, *columns: str) -> pl.DataFrame:
        wanted = list(dict.fromkeys([*names, *columns]))
        return lake.read(declared.table(table), columns=wanted, first=period.first, last=period.last)

    asked = read(feature_set.spine.table, label, KEY)
    known = asked.select(*names, pl.col(label).alias("label"), pl.col(KEY).alias("day"))
    known = known.filter(pl.col("label").cast(pl.Float64).is_finite())
    found = known.join(read("features", *feature_set.names), on=names, how="inner")
    if not found.height:
        raise NotFound(
            f"{declared.name!r} has no rows with features and outcome from {period.first} to {period.last}.",
            hint=f"Materialise the features of these days: mlplatform run {declared.name}.",
        )
    return found.sort("day", *names)


def picture(judged: Sequence[Judged], figure: str, every: str) -> Picture:
    """A figure of both models, period by period."""
    each = [one for one in judged if one.period != ALL]
    at = tuple(float(place) for place in range(len(each)))
    sides = {"retrained": [one.retrained for one in each], "trained once": [one.static for one in each]}
    return Picture(
        title=f"Trained again every {every}, and once as of {each[0].period}",
        x_label="rows from this date on, seen by neither",
        y_label=figure,
        lines=tuple(
            Line(name, at, tuple(said[figure] for said in side), markers=True) for name, side in sides.items()
        ),
        ticks=tuple((place, one.period[5:]) for place, one in zip(at, each, strict=True)),
        key="lower left",
    )


def _candidate(declared: Declared, lake: Lake, store: CandidateStore, model: str, as_of: str) -> Candidate:
    made = lake.read(declared.table(f"candidate_{model}"), columns=["digest"], partitions=[as_of])
    if not made.height:
        raise NotFound(
            f"{model!r} of {declared.name!r} is not trained as of {as_of}.",
            hint=f"Materialise candidate_{model} of this date.",
        )
    return store.get(declared.name, made["digest"][0])


def _scored(frame: pl.DataFrame, once: Candidate, again: Candidate) -> _Scored:
    def scores(candidate: Candidate) -> Floats:
        return open_model(candidate).predict(FittedFeatureSet.from_json(candidate.feature_set).matrix(frame))

    return _Scored(frame["day"], rows.labels(frame), scores(once), scores(again))


def _together(scored: Sequence[_Scored]) -> _Scored:
    parts: Iterator[Any] = zip(*((one.y, one.static, one.retrained) for one in scored), strict=True)
    return _Scored(pl.concat([one.days for one in scored]), *(np.concatenate(part) for part in parts))


def _judged(declared: Declared, name: str, last: str, scored: _Scored) -> Judged:
    static, retrained = (
        evaluate_all(
            declared.config.evaluators,
            scored.y,
            p,
            days=scored.days,
            known={"threshold": declared.config.threshold},
        )
        for p in (scored.static, scored.retrained)
    )
    gains = {figure: _gain(figure, retrained, static) for figure in METRICS if figure in static.draws}
    return Judged(name, last, len(scored.y), static.figures, retrained.figures, gains)


def _gain(figure: str, mine: Report, theirs: Report) -> Gain:
    """Paired: both models' draws are of the same days."""
    metric = METRICS[figure]
    ends = gain_interval(metric, mine.draws[figure], theirs.draws[figure])
    return Gain(metric.gain(mine.figures[figure], over=theirs.figures[figure]), ends.low, ends.high)
