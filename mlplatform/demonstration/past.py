"""What really happened on the days to be replayed: events as they became known, questions as they were asked.

It must not know a service.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import polars as pl

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.declared import Declared
from mlplatform.stages.ingestion.batch import take, text_of
from mlplatform.stores.lake import Lake

FLIGHTS, AIRPORTS = "flights", "airports"


class Event(NamedTuple):
    """An event as the ingestion service takes it."""

    time: datetime
    kind: str
    line: bytes
    """As JSON."""


class Asked(NamedTuple):
    """A question, and the moment as of which it is asked."""

    time: datetime
    body: bytes
    """The facts as JSON."""


class Step(NamedTuple):
    """What becomes known and what is asked after the step before, up to `until` (included)."""

    until: datetime
    events: list[Event]
    questions: list[Asked]


def flights_of(declared: Declared, settings: Settings, days: list[str]) -> pl.DataFrame:
    """The cleaned flights of days that are not in the lake yet, as they will be there.

    Raises
    ------
    MlplatformError
        if the source or the lake cannot be read.
    """
    rules, frames = declared.rules(FLIGHTS), []
    for delivery in declared.source(FLIGHTS).deliveries(days):
        for part in delivery.parts:
            assert isinstance(part.content, bytes)
            text = text_of(part.content, part.format, rules)
            frames.append(
                take(text, rules).good.with_columns(
                    batch_id=pl.lit(""), partition_key=pl.lit(delivery.partition)
                )
            )
    with closing(Lake.from_settings(settings)) as lake:
        airports = lake.read(declared.table(AIRPORTS))
    return declared.clean(FLIGHTS)(pl.concat(frames), airports)


def events_of(declared: Declared, flights: pl.DataFrame) -> Iterator[Event]:
    """Every event of the declared feed, in order of time."""
    for event in declared.module.feed({FLIGHTS: flights}):
        told = {"id": event["id"], "time": event["time"], "subject": event["key"], "data": event["data"]}
        yield Event(event["time"], event["data"]["type"], msgspec.json.encode(told))


def questions_of(declared: Declared, flights: pl.DataFrame) -> list[Asked]:
    """One question per flight, in order of the time as of which it is asked."""
    spine = declared.feature_set.spine
    times = flights.select(as_of=spine.as_of.polars())["as_of"].to_list()
    rows = flights.select(list(spine.facts)).iter_rows(named=True)
    found = [
        Asked(time, msgspec.json.encode({k: v for k, v in row.items() if v is not None}))
        for time, row in zip(times, rows, strict=True)
    ]
    return sorted(found, key=lambda asked: asked.time)


def steps(
    events: Iterator[Event], questions: list[Asked], begin: datetime, step: timedelta
) -> Iterator[Step]:
    """Both, cut into stretches of time of one length."""
    until, place, waiting = begin + step, 0, next(events, None)
    while waiting is not None or place < len(questions):
        told: list[Event] = []
        while waiting is not None and waiting.time <= until:
            told.append(waiting)
            waiting = next(events, None)
        end = place
        while end < len(questions) and questions[end].time <= until:
            end += 1
        yield Step(until, told, questions[place:end])
        place, until = end, until + step
