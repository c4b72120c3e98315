"""The audit on a database: one unbroken chain whoever appends, in one transaction with what it tells of."""

import multiprocessing
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from msgspec.structs import replace

from mlplatform.errors import ConfigurationError, StoreError
from mlplatform.stages.deployment.release import Promotion
from mlplatform.stages.monitoring.audit import Event
from mlplatform.stores.audit import AuditLog
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.keys import KeyStore

NOON = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
PROCESSES, EACH = 8, 12
PROMOTION = Promotion(
    use_case="shop",
    digest="a",
    model="lightgbm",
    feature_set_id="fs-1",
    figures={"log_loss": 0.4},
    as_of="2025-09-30",
    released_at=NOON,
    released_by="ann@host",
    why="best log loss",
)


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'state.sqlite'}"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[AuditLog]:
    with closing(AuditLog(url(tmp_path))) as opened:
        yield opened


def filled(log: AuditLog, count: int = 4) -> None:
    for number in range(count):
        log.record("data", f"shop/orders/{number}", who="ann@host", why=f"reason {number}", at=NOON)


def statement(folder: Path, *statements: str) -> None:
    """Change the file behind the back of the audit, its guards taken away."""
    with closing(sqlite3.connect(folder / "state.sqlite")) as connection:
        for verb in ("UPDATE", "DELETE"):
            connection.execute(f"DROP TRIGGER IF EXISTS audit_log_no_{verb}")
        for each in statements:
            connection.execute(each)
        connection.commit()


def test_what_was_recorded_reads_back(log: AuditLog, tmp_path: Path) -> None:
    first = log.record("champion", "shop", who="ann", why="better", details={"after": 2}, at=NOON)
    second = log.record("key", "reporting", who="bob", why="", details={"b": [1, None], "a": "ü"})
    assert (first.number, second.number, second.previous) == (1, 2, first.hash)
    assert first.at == "2026-01-01T12:00:00.123456+00:00"
    with closing(AuditLog(url(tmp_path))) as again:
        assert again.entries() == [first, second]
        assert again.entries(kind="key") == [second]
        assert again.entries(subject="shop") == again.entries(newest=1, kind="champion") == [first]
        assert again.entries(after=1) == [second]
        assert again.latest("key", "reporting") == second
        assert again.latest("key", "shop") is None
        assert again.verify().sound
        assert again.verify(first.hash).anchor == 1


def test_an_event_with_a_name_is_there_once(log: AuditLog) -> None:
    told = [log.record("data", "x", who="ann", why="", at=NOON, id="data:x:1") for _ in range(3)]
    assert told[0] == told[1] == told[2]
    events = [
        Event(kind="data", subject="x", who="ann", why="", at=NOON, id=f"data:x:{n}") for n in (1, 2, 2)
    ]
    assert [entry.number for entry in log.record_all(events)] == [1, 2, 2]
    assert log.known(["data:x:1", "data:x:3"]) == {"data:x:1"}
    assert log.verify().entries == 2


def test_a_wrong_event_leaves_none_of_its_neighbours(log: AuditLog) -> None:
    sound = Event(kind="data", subject="x", who="ann", why="", at=NOON)
    with pytest.raises(StoreError, match="who ''"):
        log.record_all([sound, Event(kind="data", subject="x", who="", why="", at=NOON)])
    assert log.entries() == []
    assert log.record_all([]) == []


def test_the_table_refuses_to_be_changed(log: AuditLog, tmp_path: Path) -> None:
    filled(log)
    for change in ("UPDATE audit_log SET who = 'eve'", "DELETE FROM audit_log WHERE number = 2"):
        with (
            closing(sqlite3.connect(tmp_path / "state.sqlite")) as connection,
            pytest.raises(sqlite3.IntegrityError, match="append-only"),
        ):
            connection.execute(change)


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        (["UPDATE audit_log SET who = 'eve@host' WHERE number = 2"], 2),
        (["UPDATE audit_log SET details = '{ }' WHERE number = 3"], 3),
        (["UPDATE audit_log SET at = '2026-01-01T12:00:00.123457+00:00' WHERE number = 1"], 1),
        (["UPDATE audit_log SET why = CAST(x'ff' AS TEXT) WHERE number = 2"], 2),
        (["UPDATE audit_log SET number = 'two' WHERE number = 2"], 3),
        (["DELETE FROM audit_log WHERE number = 2"], 3),
        (["DELETE FROM audit_log WHERE number = 1"], 2),
        (
            [
                "UPDATE audit_log SET number = 9 WHERE number = 2",
                "UPDATE audit_log SET number = 2 WHERE number = 3",
                "UPDATE audit_log SET number = 3 WHERE number = 9",
            ],
            2,
        ),
    ],
)
def test_changes_behind_its_back_are_found(
    log: AuditLog, tmp_path: Path, changes: list[str], number: int
) -> None:
    filled(log)
    log.close()
    statement(tmp_path, *changes)
    verdict = log.verify()
    assert not verdict.sound
    assert verdict.faults[0].number == number


def test_a_cut_off_end_needs_the_hash_of_before(log: AuditLog, tmp_path: Path) -> None:
    filled(log)
    head = log.verify().head
    log.close()
    statement(tmp_path, "DELETE FROM audit_log WHERE number > 2")
    assert log.verify().sound
    assert [fault.number for fault in log.verify(head).faults] == [3]


def test_every_byte_of_an_entry_in_the_file_counts(tmp_path: Path) -> None:
    with closing(AuditLog(url(tmp_path))) as log:
        log.record("champion", "shop", who="ann", why="better", details={"after": 2}, at=NOON)
        entry = log.record("champion", "shop", who="ann", why="worse", details={"after": 1}, at=NOON)
        filled(log, 1)
    statement(tmp_path, "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA journal_mode=DELETE")
    file = tmp_path / "state.sqlite"
    sound = file.read_bytes()
    begin = sound.index(f"{entry.kind}{entry.subject}{entry.who}".encode())
    end = sound.index(entry.hash.encode(), begin) + len(entry.hash)
    assert end - begin > 150
    for place in range(begin, end):
        file.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        with closing(AuditLog(url(tmp_path))) as log:
            assert 2 in {fault.number for fault in log.verify().faults}, place


def test_a_state_of_before_there_was_an_audit(tmp_path: Path) -> None:
    with closing(ChampionStore(url(tmp_path))) as store:
        store.promote(PROMOTION)
    statement(tmp_path, "DROP TABLE audit_log")
    with closing(AuditLog(url(tmp_path))) as log:
        assert log.entries() == []
        assert log.verify().sound
    statement(tmp_path, "DROP TABLE audit_log")
    with closing(ChampionStore(url(tmp_path))) as store, closing(AuditLog(url(tmp_path))) as log:
        store.change("shop", "rollback", 1, who="bob", why="it is here already", at=NOON)
        assert log.entries() == [], "nothing was changed"
        store.release(PROMOTION)
        store.promote(replace(PROMOTION, digest="b"))
        assert [entry.told()["details"]["action"] for entry in log.entries()] == ["release", "promote"]


def test_champions_are_recorded_with_what_was_before(log: AuditLog, tmp_path: Path) -> None:
    with closing(ChampionStore(url(tmp_path))) as store:
        store.promote(PROMOTION)
        store.promote(PROMOTION)
        other = store.release(replace(PROMOTION, digest="b"))
        store.change("shop", "canary", other.version, share=0.05, who="bob", why="a try", at=NOON)
        store.change("shop", "promote", other.version, who="bob", why="steady", at=NOON)
        store.change("shop", "rollback", 1, who="cat", why="it was worse", at=NOON)
    told = [entry.told() for entry in log.entries(kind="champion", subject="shop")]
    actions = [each["details"]["action"] for each in told]
    assert actions == ["release", "promote", "release", "canary", "promote", "rollback"]
    canary, promoted, back = (each["details"] for each in told[3:])
    assert (canary["before"]["canary"], canary["after"]["canary"], canary["after"]["share"]) == (
        None,
        2,
        0.05,
    )
    assert (promoted["before"]["champion"], promoted["after"]["champion"]) == (1, 2)
    assert (back["before"]["champion"], back["after"]["champion"]) == (2, 1)
    assert (told[5]["who"], told[5]["why"]) == ("cat", "it was worse")
    assert told[0]["details"]["after"]["digest"] == "a"
    assert log.verify().sound


def test_keys_are_recorded_and_their_secrets_are_not(log: AuditLog, tmp_path: Path) -> None:
    with closing(KeyStore(url(tmp_path))) as store:
        secret, key = store.add("reporting", ["score"], "ann", NOON, "for the monthly report")
        with pytest.raises(StoreError, match="there is a key"):
            store.add("reporting", ["admin"], "eve", NOON)
        store.revoke("reporting", NOON, by="bob", why="it leaked")
    made, revoked = (entry.told() for entry in log.entries(kind="key"))
    assert (made["subject"], made["who"], made["why"]) == ("reporting", "ann", "for the monthly report")
    assert (revoked["who"], revoked["why"]) == ("bob", "it leaked")
    assert made["details"]["after"] == {"scopes": ["score"], "in_use": True}
    assert (made["details"]["before"], made["details"]["digest"]) == (None, key.digest)
    assert (revoked["details"]["before"]["in_use"], revoked["details"]["after"]["in_use"]) == (True, False)
    assert not any(secret in str(entry) for entry in log.entries())


def test_without_the_audit_there_is_no_change(tmp_path: Path) -> None:
    with closing(ChampionStore(url(tmp_path))) as champions, closing(KeyStore(url(tmp_path))) as keys:
        champions.promote(PROMOTION)
        keys.add("reporting", ["score"], "ann", NOON)
        statement(tmp_path, "ALTER TABLE audit_log RENAME TO gone")
        with pytest.raises(StoreError, match="audit_log"):
            champions.release(replace(PROMOTION, digest="b"))
        with pytest.raises(StoreError, match="audit_log"):
            keys.add("other", ["score"], "ann", NOON)
        with pytest.raises(StoreError, match="audit_log"):
            keys.revoke("reporting", NOON)
        statement(tmp_path, "ALTER TABLE gone RENAME TO audit_log")
        assert [release.digest for release in champions.history("shop")] == ["a"]
        assert [key.name for key in keys.in_use()] == ["reporting"]


def _append(url: str, name: str, start: Barrier) -> None:
    with closing(AuditLog(url)) as log, closing(ChampionStore(url)) as store:
        start.wait()
        for number in range(EACH):
            log.record("data", name, who=name, why=str(number), id="" if number % 2 else f"data:{number}")
            if number % 4 == 0:
                store.promote(replace(PROMOTION, digest=f"{name}-{number}", use_case=f"use_{name}"))


def test_processes_that_append_at_once_make_one_chain(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(PROCESSES)
    processes = [
        context.Process(target=_append, args=(url(tmp_path), f"p{number}", barrier))
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    with closing(AuditLog(url(tmp_path))) as log:
        verdict, entries = log.verify(), log.entries()
    assert verdict.sound, verdict.faults[:3]
    named, own, releases = EACH // 2, PROCESSES * EACH // 2, PROCESSES * EACH // 4
    assert [entry.number for entry in entries] == list(range(1, named + own + 2 * releases + 1))
    for number in range(PROCESSES):
        mine = [entry.why for entry in entries if entry.subject == f"p{number}" and entry.id.startswith("#")]
        assert [int(why) for why in mine] == list(range(1, EACH, 2)), "each process's own order is kept"


@pytest.mark.parametrize(
    ("bad", "error"), [("nonsense", ConfigurationError), ("sqlite:////proc/x/s", StoreError)]
)
def test_urls_that_lead_nowhere(bad: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        AuditLog(bad)
