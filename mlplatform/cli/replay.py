"""`mlplatform replay`: past days of a use case again, event by event, as if they happened now."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from heapq import merge
from itertools import groupby
from typing import Annotated, Any, Literal, NamedTuple

import httpx
import msgspec
import polars as pl
import typer

from mlplatform.cli.app import Json, UseCaseName, app, use_case_folder
from mlplatform.cli.days import a_speed, checked_days
from mlplatform.cli.output import emit, out, progress
from mlplatform.crosscutting.bus import open_bus
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError, NotFound, ServiceError
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.online.events import Incoming, message
from mlplatform.stores.lake import Lake

MOST_EVENTS, MOST_BYTES = 1_000, 2 * 1024 * 1024
"""What is sent at once, at most."""
PATIENCE = 60.0
"""Seconds for which a service that is busy, or whose broker is away, is asked again."""


class Timed(NamedTuple):
    """One event of a feed, its stream, and what kind it is (`type` of its data)."""

    stream: str
    kind: str
    event: Incoming


Send = Callable[[list[Timed]], list[int]]
"""Sends events in order; their bus positions."""


@app.command()
def replay(
    use_case: UseCaseName,
    first: Annotated[
        str, typer.Option("--from", help="First day, YYYY-MM-DD.", metavar="DAY", show_default="the last day")
    ] = "",
    last: Annotated[
        str, typer.Option("--to", help="Last day.", metavar="DAY", show_default="the first day")
    ] = "",
    speed: Annotated[
        str, typer.Option(help="So many times as fast as it was, or max.", metavar="X|max")
    ] = "max",
    via: Annotated[Literal["bus", "http"], typer.Option(help="To the broker, or to the service.")] = "bus",
    json: Json = False,
) -> None:
    """Send the events of past days again; those of the last 24 hours that were sent before count once."""
    declared, settings = project.load(use_case_folder(use_case)), Settings.load()
    first = first or last or str(declared.config.days.last)
    days, factor = checked_days(declared, first, last or first), a_speed(speed)
    tables = _tables(declared, settings, *days)
    total = sum(1 for _ in events_of(declared, tables))
    kinds: Counter[str] = Counter()
    positions: list[int] = []
    with ExitStack() as stack:
        bar = stack.enter_context(progress())
        send, before = _sender(declared.name, settings, via, stack)
        task = bar.add_task(f"{declared.name} {days[0]} to {days[1]}", total=total, now="")
        started = time.perf_counter()
        for batch in batches(events_of(declared, tables), factor):
            positions += send(batch)
            kinds.update(timed.kind for timed in batch)
            bar.update(task, advance=len(batch), now=f"{batch[-1].event.time:%Y-%m-%d %H:%M} UTC")
        seconds = time.perf_counter() - started
    result = {
        "use_case": declared.name,
        "from": days[0],
        "to": days[1],
        "via": via,
        "speed": speed,
        "events": dict(kinds),
        "total": len(positions),
        "new": None if before is None else len({p for p in positions if p > before}),
        "seconds": round(seconds, 3),
        "events_per_s": round(len(positions) / seconds),
    }
    emit(result) if json else _print(result)


def events_of(declared: Declared, tables: dict[str, pl.DataFrame]) -> Iterator[Timed]:
    """The events of every feed the use case declares, in order of time.

    Raises
    ------
    ConfigurationError
        if it declares none, or a feed gives something else than events.
    """
    feeds = {name: stream.feed for name, stream in declared.config.streams.items() if stream.feed}
    if not feeds:
        raise ConfigurationError(
            f"{declared.name} has no stream with a feed, so there is nothing to send again.",
            hint="Name a function of features.py in `streams: {<name>: {feed: <function>}}`.",
        )
    made = [_timed(name, getattr(declared.module, feed)(tables)) for name, feed in feeds.items()]
    return merge(*made, key=lambda timed: timed.event.time)


def batches(
    events: Iterable[Timed],
    speed: float | None,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[list[Timed]]:
    """What is to be sent together, when it is due: at `speed` times the pace of the events, None: at once."""
    batch: list[Timed] = []
    size, started, begin = 0, now(), datetime.min
    for timed in events:
        if begin == datetime.min:
            begin = timed.event.time
        due = started + (timed.event.time - begin).total_seconds() / speed if speed else started
        if batch and (len(batch) >= MOST_EVENTS or size >= MOST_BYTES or due > now()):
            yield batch
            batch, size = [], 0
        if (wait := due - now()) > 0:
            sleep(wait)
        batch.append(timed)
        size += len(timed.event.data)
    if batch:
        yield batch


def _timed(stream: str, feed: Iterable[dict[str, Any]]) -> Iterator[Timed]:
    for event in feed:
        try:
            data = event["data"]
            incoming = Incoming(event["id"], event["time"], event.get("key"), msgspec.json.encode(data))
            yield Timed(stream, str(data.get("type", stream)), incoming)
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"the feed of stream {stream} gives no event: {type(error).__name__} {error}.",
                hint="An event is {id: text, time: datetime in UTC, key: text or None, data: dict}.",
            ) from error


def _sender(use_case: str, settings: Settings, via: str, stack: ExitStack) -> tuple[Send, int | None]:
    """How events are sent, and the newest position before (None where that is not known)."""
    if via == "http":
        client = stack.enter_context(
            httpx.Client(
                base_url=settings.ingestion_url,
                headers=settings.access.headers(),
                trust_env=False,
                timeout=PATIENCE,
            )
        )
        return lambda batch: _post(client, use_case, batch), None
    bus = stack.enter_context(closing(open_bus(settings.broker_url)))

    def publish(batch: list[Timed]) -> list[int]:
        made = [message(use_case, timed.stream, timed.event) for timed in batch]
        return bus.publish_many(SOURCE_EVENT, made)

    return publish, bus.last(SOURCE_EVENT)


def _post(client: httpx.Client, use_case: str, batch: list[Timed]) -> list[int]:
    positions: list[int] = []
    for stream, members in groupby(batch, key=lambda timed: timed.stream):
        body = b"\n".join(_line(timed.event) for timed in members)
        positions += _answer(client, f"/events/{stream}?use_case={use_case}", body)["positions"]
    return positions


def _line(event: Incoming) -> bytes:
    attributes = {"id": event.id, "time": event.time, "subject": event.key, "data": msgspec.Raw(event.data)}
    return msgspec.json.encode(attributes)


def _answer(client: httpx.Client, path: str, body: bytes) -> dict[str, Any]:
    """The service's answer; one that is busy, or whose broker is away, is asked again for `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            answer = client.post(path, content=body, headers={"content-type": "application/x-ndjson"})
        except httpx.TransportError as error:
            raise ServiceError(
                f"no ingestion service answers at {client.base_url}: {error}.",
                hint="Start it with `mlplatform up`; sending the same days again is safe.",
            ) from error
        if answer.status_code == 202:
            return dict(answer.json())
        if answer.status_code not in (429, 503) or time.monotonic() >= deadline:
            raise ServiceError(f"the ingestion service answers {answer.status_code}: {answer.text[:500]}")
        time.sleep(float(answer.headers.get("retry-after", 1)))


def _tables(declared: Declared, settings: Settings, first: str, last: str) -> dict[str, pl.DataFrame]:
    """The cleaned tables, those with days limited to the days asked for."""
    found: dict[str, pl.DataFrame] = {}
    hint = f"`mlplatform run {declared.name}` makes them."
    with closing(Lake.from_settings(settings)) as lake:
        for name, data_set in declared.tables.items():
            limits = (first, last) if data_set.daily else (None, None)
            try:
                found[name] = lake.read(declared.table(name), first=limits[0], last=limits[1])
            except NotFound as error:
                raise NotFound(f"the cleaned tables are not there: {error}", hint=hint) from error
    if not any(found[name].height for name in declared.daily if name in found):
        raise NotFound(f"the cleaned tables have no rows of {first} to {last}.", hint=hint)
    return found


def _print(result: dict[str, Any]) -> None:
    for kind, count in result["events"].items():
        out.print(f"{kind:>14}  {count:,}", markup=False)
    new = "" if result["new"] is None else f", {result['new']:,} of them new"
    out.print(f"{result['total']:,} events{new}, in {result['seconds']:.1f} s", markup=False)
    out.print(f"{result['events_per_s']:,} events/s", markup=False)
