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

from mlplatform.errors import ConfigurationError, NotFound, StoreError
from mlplatform.stages.deployment.alias import Action, Change
from mlplatform.stages.deployment.policy import Policy
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


def change(store: ChampionStore, action: Action, version: int, share: float = 0.0) -> Change:
    at = datetime(2013, 12, 1, tzinfo=UTC)
    return store.change("flight_delay", action, version, share=share, who="me", why="a test", at=at)


@pytest.fixture
def three(store: ChampionStore) -> ChampionStore:
    """Three champions, one after the other."""
    for digest in ("a", "b", "c"):
        store.promote(replace(PROMOTION, digest=digest))
    return store


def versions(store: ChampionStore) -> tuple[int, list[int], list[int]]:
    """Champion, fallbacks, withdrawn."""
    present = store.deployment("flight_delay")
    assert present is not None
    return (
        present.champion.version,
        [each.version for each in present.previous],
        [each.version for each in present.withdrawn],
    )


def test_a_rollback_goes_to_the_champion_before_and_the_bad_one_is_no_fallback(three: ChampionStore) -> None:
    assert versions(three) == (3, [2, 1], [])
    change(three, "rollback", 2)
    assert versions(three) == (2, [1], [3])
    change(three, "promote", 3)
    assert versions(three) == (3, [2, 1], [])
    change(three, "rollback", 1)
    assert versions(three) == (1, [], [2, 3])
    assert [each.action for each in three.changes("flight_delay")] == [
        *(["promote"] * 3),
        *("rollback", "promote", "rollback"),
    ]


def test_an_alias_that_is_there_already_is_not_moved_again(three: ChampionStore) -> None:
    newest = three.changes("flight_delay")[-1]
    assert change(three, "promote", 3) == newest
    canary = change(three, "canary", 1, 0.1)
    assert change(three, "canary", 1, 0.1) == canary
    assert change(three, "canary", 1, 0.2).number == canary.number + 1


def test_a_canary_and_a_shadow_end_when_they_become_the_champion_or_are_taken_away(
    three: ChampionStore,
) -> None:
    change(three, "canary", 1, 0.1)
    change(three, "shadow", 2)
    present = three.deployment("flight_delay")
    assert present is not None
    assert (present.canary.version, present.share, present.shadow.version) == (1, 0.1, 2)  # type: ignore[union-attr]
    assert [each.version for each in present.releases] == [3, 1, 2]
    change(three, "promote", 1)
    change(three, "shadow", 0)
    present = three.deployment("flight_delay")
    assert present is not None
    assert (present.canary, present.share, present.shadow) == (None, 0.0, None)


@pytest.mark.parametrize(
    ("action", "version", "share", "said"),
    [
        ("promote", 9, 0.0, "got version 9; released: 1, 2, 3"),
        ("promote", 0, 0.0, "got version 0"),
        ("rollback", 0, 0.0, "got version 0"),
        ("rollback", 9, 0.0, "got version 9"),
        ("canary", 1, 1.5, "share of 1.5"),
        ("canary", 1, 0.0, "share of 0.0"),
        ("canary", 3, 0.1, "the champion is 3"),
        ("shadow", 3, 0.0, "the champion is 3"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(
    three: ChampionStore, action: Action, version: int, share: float, said: str
) -> None:
    before = three.changes("flight_delay")
    with pytest.raises(ConfigurationError, match=said):
        change(three, action, version, share)
    assert three.changes("flight_delay") == before


def test_a_version_that_was_no_champion_is_no_goal_of_a_rollback(three: ChampionStore) -> None:
    challenger = three.release(replace(PROMOTION, digest="d"))
    with pytest.raises(ConfigurationError, match="earlier champions: 2, 1"):
        change(three, "rollback", challenger.version)


def test_a_challenger_is_released_without_being_the_champion(store: ChampionStore) -> None:
    challenger = store.release(PROMOTION)
    assert store.champion("flight_delay") is None
    assert ChampionStore(str(store._database.engine.url)).champion("flight_delay") is None
    assert store.release(PROMOTION) == challenger
    change(store, "promote", challenger.version)
    assert store.champion("flight_delay") == challenger


def test_another_policy_or_threshold_is_another_release(store: ChampionStore) -> None:
    first = store.promote(PROMOTION)
    second = store.promote(replace(PROMOTION, policy=Policy(deadline_ms=5.0, entity=("tailnum",))))
    third = store.promote(replace(PROMOTION, figures={**PROMOTION.figures, "threshold": 0.4}))
    assert [each.version for each in (first, second, third)] == [1, 2, 3]
    assert store.find("flight_delay", 2).policy.entity == ("tailnum",)
    with pytest.raises(NotFound):
        store.find("flight_delay", 4)


def test_a_history_of_before_there_were_aliases_is_taken_over(tmp_path: Path) -> None:
    """The table as an earlier version made it, in use with two releases."""
    (tmp_path / "deep").mkdir()
    with sqlite3.connect(tmp_path / "deep" / "state.sqlite") as raw:
        raw.execute(
            "CREATE TABLE champion_history (use_case VARCHAR(200), version INTEGER, digest VARCHAR(200), "
            "model VARCHAR(200), feature_set_id VARCHAR(200), figures JSON, as_of VARCHAR(10), released_at "
            "DATETIME, released_by VARCHAR(200), why TEXT, PRIMARY KEY (use_case, version))"
        )
        for version in (1, 2):
            told = ("flight_delay", version, f"d{version}", "lightgbm", "fs", "{}", "2013-10-01")
            raw.execute(
                "INSERT INTO champion_history VALUES (?,?,?,?,?,?,?,?,?,?)",
                (*told, "2013-11-01 00:00:00.000000", "dagster", "best"),
            )
    store = ChampionStore(url(tmp_path))
    assert versions(store) == (2, [1], [])
    assert store.newest() == {"flight_delay": 2}
    assert store.promote(PROMOTION).version == 3
    assert versions(ChampionStore(url(tmp_path))) == (3, [2, 1], [])
