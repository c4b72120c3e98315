"""The Online Data Preparation Service: every question once, with the values of the batch executor."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from mlplatform.crosscutting.bus.memory import MemoryBus
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT
from mlplatform.errors import ConfigurationError, ServiceError
from mlplatform.online.archiver import Archiver
from mlplatform.online.events import Incoming, messages
from mlplatform.online.preparation import Preparation
from mlplatform.stores import warmup
from mlplatform.stores.lake import Lake
from mlplatform.stores.online import MemoryStore
from mlplatform.stores.raw import RawStore
from mlplatform_tests.online.stream_world import (
    ANNOUNCED,
    NONE,
    STREAM,
    differences,
    events,
    fill,
    stored,
    streams,
    world_orders,
)
from mlplatform_tests.online.world import FEATURES, KEY, USE_CASE

FRAME = world_orders()
EVENTS = events(FRAME)
HALF = len(EVENTS) // 2


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    with closing(Lake(tmp_path / "catalog.sqlite", tmp_path / "data")) as opened:
        fill(opened, FRAME)
        yield opened


def publish(bus: MemoryBus, some: list[Incoming]) -> None:
    bus.publish_many(SOURCE_EVENT, messages(USE_CASE, STREAM, some))


def prepare(
    bus: MemoryBus,
    lake: Lake,
    folder: Path,
    share: tuple[int, int] = (0, 1),
    shared: MemoryStore | None = None,
) -> Preparation:
    """A process's life: it takes all there is, commits it, and is gone."""
    partition, of = share
    made = Preparation(
        bus, lake, streams(), locks=folder, partition=partition, of=of, shared=shared, most=50, seconds=0.0
    )
    with closing(made):
        while made.poll():
            pass
        made.poll()
    return made


def archive(bus: MemoryBus, lake: Lake, folder: Path) -> None:
    store = RawStore(folder / "raw", lake)
    with closing(Archiver(bus, store, USE_CASE, [STREAM], lock=folder / "a.lock", seconds=0)) as archiver:
        while archiver.poll():
            pass


def test_every_question_is_there_once_with_the_values_of_batch(lake: Lake, tmp_path: Path) -> None:
    bus = MemoryBus()
    publish(bus, EVENTS)
    done = prepare(bus, lake, tmp_path)
    assert differences(lake, FRAME) == NONE
    rows = stored(lake)
    assert rows["feature_set"].unique().to_list() == [FEATURES.id]
    assert (done.rows, done.pending, done.unreadable, done.refused) == (rows.height, 1, 0, 0)
    assert rows.height > 150


def test_whoever_starts_again_goes_on_with_the_pending_questions(lake: Lake, tmp_path: Path) -> None:
    bus = MemoryBus()
    waiting = 0
    for start in range(0, len(EVENTS), 37):
        publish(bus, EVENTS[start : start + 37])
        waiting = max(waiting, prepare(bus, lake, tmp_path).pending)
    assert differences(lake, FRAME) == NONE
    assert waiting > 5


@pytest.mark.parametrize("archived_first", [True, False])
def test_the_archive_stands_in_for_what_the_bus_forgot(
    archived_first: bool, lake: Lake, tmp_path: Path
) -> None:
    bus = MemoryBus()
    publish(bus, EVENTS[:HALF])
    if archived_first:
        archive(bus, lake, tmp_path)
    prepare(bus, lake, tmp_path)
    archive(bus, lake, tmp_path)
    log = bus._logs[SOURCE_EVENT.name]
    del log.sequences[: HALF - 5], log.payloads[: HALF - 5]  # as a broker does with what is 30 days old
    publish(bus, EVENTS[HALF:])
    prepare(bus, lake, tmp_path)
    assert differences(lake, FRAME) == NONE


def test_an_archive_ahead_of_the_preparation_is_caught_up_with(lake: Lake, tmp_path: Path) -> None:
    bus = MemoryBus()
    publish(bus, EVENTS[:HALF])
    prepare(bus, lake, tmp_path)
    publish(bus, EVENTS[HALF:])
    archive(bus, lake, tmp_path)
    prepare(bus, lake, tmp_path)
    assert differences(lake, FRAME) == NONE


def test_two_processes_do_what_one_does(lake: Lake, tmp_path: Path) -> None:
    bus = MemoryBus()
    publish(bus, EVENTS)
    rows = [prepare(bus, lake, tmp_path, (number, 2)).rows for number in (0, 1)]
    assert min(rows) > 30
    assert differences(lake, FRAME) == NONE


def test_the_number_of_processes_may_change(lake: Lake, tmp_path: Path) -> None:
    bus = MemoryBus()
    publish(bus, EVENTS[:HALF])
    prepare(bus, lake, tmp_path)
    publish(bus, EVENTS[HALF : HALF + 90])
    prepare(bus, lake, tmp_path, (0, 2))
    publish(bus, EVENTS[HALF + 90 :])
    for number in (2, 0, 1):
        prepare(bus, lake, tmp_path, (number, 3))
    assert differences(lake, FRAME) == NONE


def test_a_bus_that_counts_anew_doubles_nothing(lake: Lake, tmp_path: Path) -> None:
    first = MemoryBus()
    publish(first, EVENTS[:HALF])
    prepare(first, lake, tmp_path)
    archive(first, lake, tmp_path)
    second = MemoryBus()
    publish(second, EVENTS[HALF:])
    prepare(second, lake, tmp_path)
    assert differences(lake, FRAME) == NONE


def test_events_that_nobody_can_read_are_counted_and_left_out(lake: Lake, tmp_path: Path) -> None:
    bus = MemoryBus()
    wrong = [b'{"type": "placed", "order_id": "x"}', b'{"type": "walked"}', b'{"type": 3}', b"[1]"]
    bad = [Incoming(f"bad-{n}", EVENTS[0].time, None, document) for n, document in enumerate(wrong)]
    publish(bus, [*bad, *EVENTS])
    assert prepare(bus, lake, tmp_path).unreadable == 3
    assert differences(lake, FRAME) == NONE


def test_a_question_sent_again_is_answered_once(lake: Lake, tmp_path: Path) -> None:
    bus = MemoryBus()
    again = [Incoming(f"{each.id}-again", each.time, each.key, each.data) for each in EVENTS]
    both = [event for pair in zip(EVENTS, again, strict=True) for event in pair]
    publish(bus, [event for event in both if b'"placed"' in event.data[:20] or "again" not in event.id])
    prepare(bus, lake, tmp_path)
    assert [differences(lake, FRAME)[name] for name in ("missing", "doubled", "strange")] == [[], [], []]


def test_a_question_that_comes_days_late_is_refused(lake: Lake, tmp_path: Path) -> None:
    bus = MemoryBus()
    late = Incoming(
        "late", EVENTS[-1].time, "k", b'{"type": "placed", "order_id": 7, "placed": "2024-03-01T08:00:00Z"}'
    )
    publish(bus, [*EVENTS, late])
    assert prepare(bus, lake, tmp_path).refused == 1
    assert differences(lake, FRAME) == NONE


def test_one_share_has_one_process(lake: Lake, tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(closing(Preparation(MemoryBus(), lake, streams(), locks=tmp_path, of=2)))
        with pytest.raises(ServiceError, match="runs already"):
            Preparation(MemoryBus(), lake, streams(), locks=tmp_path)
        with pytest.raises(ConfigurationError, match="got partition 2 of 2"):
            Preparation(MemoryBus(), lake, streams(), locks=tmp_path, partition=2, of=2)


def test_the_world_has_what_the_tests_need() -> None:
    assert timedelta(hours=1) < ANNOUNCED
    assert len({event.id for event in EVENTS}) == len(EVENTS) > 400


def test_a_shared_store_is_told_every_event(lake: Lake, tmp_path: Path) -> None:
    bus, store = MemoryBus(), MemoryStore(FEATURES, grace="10d")
    warmup.fill(store, lake, USE_CASE)
    publish(bus, EVENTS)
    prepare(bus, lake, tmp_path, shared=store)
    rows = stored(lake).sort("as_of").tail(50)
    facts = FRAME.with_columns(pl.col(pl.Datetime("us", "UTC")).dt.timestamp("us"))
    asked = {tuple(row[name] for name in KEY): row for row in facts.iter_rows(named=True)}
    assert rows.height == 50
    for row in rows.iter_rows(named=True):
        told = store.vector(asked[tuple(row[name] for name in KEY)])
        assert told == [row[name] for name in FEATURES.names]
