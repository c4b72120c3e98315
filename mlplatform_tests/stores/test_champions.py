"""The champion history: append-only, numbered without gaps, safe between processes."""

import math
import multiprocessing
import socket
import sqlite3
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from msgspec.structs import replace

from mlplatform.errors import ConfigurationError, StoreError
from mlplatform.stages.deployment.release import Promotion
from mlplatform.stores.champions import ChampionStore

PROMOTION = Promotion(
    use_case="flight_delay",
    digest="sha256-a",
    model="lightgbm",
    feature_set_id="fs-1",
    figures={"log_loss": 0.4446, "roc_auc": 0.8015},
    as_of="2013-09-30",
    released_at=datetime(2013, 11, 1, 6, 0, 0, 123456, tzinfo=UTC),
    released_by="dagster",
    why="best log_loss 0.4446; beats rate_table by 0.1465",
)
PROCESSES, EACH = 4, 8


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'deep' / 'state.sqlite'}"


@pytest.fixture
def store(tmp_path: Path) -> ChampionStore:
    return ChampionStore(url(tmp_path))


def test_nothing_was_released_yet(store: ChampionStore) -> None:
    assert store.champion("flight_delay") is None
    assert store.history("flight_delay") == ()


def test_a_release_reads_back_as_it_was_promoted(store: ChampionStore, tmp_path: Path) -> None:
    release = store.promote(PROMOTION)
    assert release.version == 1
    again = ChampionStore(url(tmp_path)).champion("flight_delay")
    assert again == release
    for name in PROMOTION.__struct_fields__:
        assert getattr(again, name) == getattr(PROMOTION, name)


def test_time_is_kept_as_utc(store: ChampionStore) -> None:
    new_york = datetime(2013, 11, 1, 2, 0, tzinfo=timezone(timedelta(hours=-4)))
    store.promote(replace(PROMOTION, released_at=new_york))
    read = store.champion("flight_delay")
    assert read is not None
    assert read.released_at == new_york
    assert read.released_at.utcoffset() == timedelta(0)


def test_versions_count_up_per_use_case(store: ChampionStore) -> None:
    for digest in ("a", "b", "c"):
        store.promote(replace(PROMOTION, digest=digest))
    store.promote(replace(PROMOTION, use_case="routes", digest="z"))
    assert [(r.version, r.digest) for r in store.history("flight_delay")] == [(1, "a"), (2, "b"), (3, "c")]
    assert [(r.version, r.digest) for r in store.history("routes")] == [(1, "z")]


def test_promoting_the_champion_again_changes_nothing(store: ChampionStore) -> None:
    first = store.promote(PROMOTION)
    assert store.promote(replace(PROMOTION, why="again", released_by="someone")) == first
    assert store.history("flight_delay") == (first,)


def test_going_back_is_a_new_release_of_the_old_digest(store: ChampionStore) -> None:
    for digest in ("a", "b", "a"):
        store.promote(replace(PROMOTION, digest=digest))
    assert [r.digest for r in store.history("flight_delay")] == ["a", "b", "a"]


@pytest.mark.parametrize("sql", ["UPDATE champion_history SET digest = 'x'", "DELETE FROM champion_history"])
def test_the_database_itself_refuses_a_change(store: ChampionStore, tmp_path: Path, sql: str) -> None:
    store.promote(PROMOTION)
    with sqlite3.connect(tmp_path / "deep" / "state.sqlite") as raw:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            raw.execute(sql)
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"digest": ""}, "empty digest"),
        ({"released_at": datetime(2013, 11, 1)}, "2013-11-01T00:00:00 without a time zone"),
        ({"figures": {"log_loss": math.nan}}, "log_loss = nan"),
    ],
)
def test_what_cannot_be_part_of_a_history_is_refused(
    store: ChampionStore, wrong: dict[str, object], said: str
) -> None:
    with pytest.raises(StoreError, match=said) as error:
        store.promote(replace(PROMOTION, **wrong))
    assert error.value.hint
    assert store.history("flight_delay") == ()


def _promote_many(address: str, who: int, start) -> list[tuple[int, str]]:
    start.wait(30)
    store = ChampionStore(address)
    releases = [
        store.promote(replace(PROMOTION, digest=f"{who}-{i}", released_by=f"{who}")) for i in range(EACH)
    ]
    return [(release.version, release.digest) for release in releases]


def _promote_one(address: str, start) -> int:
    start.wait(30)
    return ChampionStore(address).promote(PROMOTION).version


def test_processes_that_promote_at_once_never_share_a_version(tmp_path: Path) -> None:
    """Also opens a store that does not exist yet from all of them at once."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(PROCESSES) as pool:
        start = manager.Barrier(PROCESSES)
        work = [pool.apply_async(_promote_many, (url(tmp_path), who, start)) for who in range(PROCESSES)]
        given = [pair for each in work for pair in each.get(60)]
    history = ChampionStore(url(tmp_path)).history("flight_delay")
    assert sorted(version for version, _ in given) == list(range(1, PROCESSES * EACH + 1))
    assert sorted(given) == [(release.version, release.digest) for release in history]


def test_processes_that_promote_the_same_model_make_one_release(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(PROCESSES) as pool:
        start = manager.Barrier(PROCESSES)
        work = [pool.apply_async(_promote_one, (url(tmp_path), start)) for _ in range(PROCESSES)]
        assert [each.get(60) for each in work] == [1] * PROCESSES
    assert len(ChampionStore(url(tmp_path)).history("flight_delay")) == 1


def test_a_new_file_that_another_process_holds_is_opened_when_it_lets_go(tmp_path: Path) -> None:
    """With `timeout=0` SQLite never waits, nor does it for those who switch a file at the same instant."""
    (tmp_path / "deep").mkdir()
    other = sqlite3.connect(tmp_path / "deep" / "state.sqlite", check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(0.2, other.close)
    release.start()
    assert ChampionStore(url(tmp_path) + "?timeout=0").history("flight_delay") == ()
    release.join()


@pytest.mark.parametrize(
    "address", ["state.sqlite", "nosuch://host/db", "oracle+oracledb://u:secret@host/db"]
)
def test_a_url_nobody_can_use_is_a_configuration_error(address: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot use the given URL") as error:
        ChampionStore(address)
    assert "sqlite:///" in error.value.hint
    assert "secret" not in str(error.value)


def test_a_file_that_is_no_database_is_a_store_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "state.sqlite").write_text("this is no database at all, " * 100)
    with pytest.raises(StoreError, match="not a database") as error:
        ChampionStore(url(tmp_path))
    assert "MLPLATFORM_STATE_URL" in error.value.hint


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "deep").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="cannot make the folder"):
        ChampionStore(url(tmp_path))


def test_an_unreachable_server_is_a_store_error_that_hides_the_password() -> None:
    pytest.importorskip("psycopg")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        port = held.getsockname()[1]
        with pytest.raises(StoreError) as error:
            ChampionStore(f"postgresql+psycopg://user:secret@127.0.0.1:{port}/db")
    assert "secret" not in str(error.value)
