"""The lake keeps whole partitions: replaced in one commit, durable before it, never of another shape."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlplatform.errors import ConfigurationError, NotFound, SchemaMismatch, StoreError
from mlplatform.stores.lake import Lake, Table, Write, sync_path
from mlplatform.stores.lake_connection import load_extensions, locked

FLIGHTS = Table("flight_delay", "flights")
DAYS = ["2013-01-01", "2013-01-02", "2013-01-03"]


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    with closing(Lake(tmp_path / "lake" / "catalog.sqlite", tmp_path / "lake" / "data")) as lake:
        yield lake


def another(tmp_path: Path, **arguments: object) -> Lake:
    return Lake(tmp_path / "lake" / "catalog.sqlite", tmp_path / "lake" / "data", **arguments)  # type: ignore[arg-type]


def day(key: str, rows: int = 3, delay: float = 1.5) -> pl.DataFrame:
    start = datetime.fromisoformat("2013-01-01T05:00:00+00:00")
    return pl.DataFrame(
        {
            "partition_key": [key] * rows,
            "flight": list(range(rows)),
            "delay": [delay] * rows,
            "at": [start + timedelta(minutes=minute) for minute in range(rows)],
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


def days(keys: list[str] = DAYS, delay: float = 1.5) -> pl.DataFrame:
    return pl.concat([day(key, delay=delay) for key in keys])


class TestRoundTrip:
    def test_every_type_comes_back_as_it_was(self, lake: Lake) -> None:
        frame = pl.DataFrame(
            {
                "partition_key": DAYS,
                "text": ["Zürich ✈ 北京", None, 'it\'s "quoted"; --'],
                "number": [float("nan"), None, float("-inf")],
                "small": pl.Series([1, None, 255], dtype=pl.UInt8),
                "flag": [True, None, False],
                "day": [date(2013, 1, 1), None, date(1970, 1, 1)],
                "at": pl.Series(
                    [datetime(2013, 1, 1, 5, tzinfo=UTC), None, datetime(2013, 7, 1, tzinfo=UTC)]
                ),
                'odd "name"': ["a", "b", "c"],
                "many": [[1, 2], [], None],
            }
        )
        assert frame.schema["at"] == pl.Datetime("us", "UTC")
        assert lake.write(FLIGHTS, frame, DAYS) == 3
        assert_frame_equal(lake.read(FLIGHTS), frame)

    def test_another_zone_comes_back_as_the_same_instant_in_utc(self, lake: Lake) -> None:
        utc = day(DAYS[0])
        local = utc.with_columns(pl.col("at").dt.convert_time_zone("America/New_York"))
        lake.write(FLIGHTS, local, DAYS[:1])
        assert_frame_equal(lake.read(FLIGHTS), utc)

    def test_categories_are_stored_as_text(self, lake: Lake) -> None:
        lake.write(FLIGHTS, pl.DataFrame({"carrier": ["UA", "AA"]}, schema={"carrier": pl.Categorical}))
        lake.write(FLIGHTS, pl.DataFrame({"carrier": ["B6"]}, schema={"carrier": pl.Enum(["B6"])}))
        assert lake.read(FLIGHTS).to_dict(as_series=False) == {"carrier": ["B6"]}

    def test_a_table_named_like_a_keyword(self, lake: Lake) -> None:
        lake.write(Table("select", "order"), day(DAYS[0]), DAYS[:1])
        assert lake.row_count(Table("select", "order")) == 3

    def test_rows_come_by_partition_whatever_the_order_of_writing(self, lake: Lake) -> None:
        lake.write(FLIGHTS, days()[::-1], DAYS)
        lake.write(FLIGHTS, day(DAYS[0]), DAYS[:1])
        found = lake.read(FLIGHTS, columns=["flight"])["flight"].to_list()
        assert found == [0, 1, 2, 2, 1, 0, 2, 1, 0]

    def test_a_second_lake_object_sees_what_the_first_wrote(self, lake: Lake, tmp_path: Path) -> None:
        with closing(another(tmp_path)) as other:
            assert other.tables("flight_delay") == []
            lake.write(FLIGHTS, day(DAYS[0]), DAYS[:1])
            assert other.row_count(FLIGHTS) == 3
            lake.write(FLIGHTS, day(DAYS[1]), DAYS[1:2])
            assert other.partitions(FLIGHTS) == DAYS[:2]

    def test_a_moved_lake_still_opens(self, lake: Lake, tmp_path: Path) -> None:
        lake.write(FLIGHTS, days(), DAYS)
        lake.close()
        (tmp_path / "lake").rename(tmp_path / "moved")
        with closing(Lake(tmp_path / "moved/catalog.sqlite", tmp_path / "moved/data")) as moved:
            assert_frame_equal(moved.read(FLIGHTS), days())


class TestReading:
    @pytest.fixture(autouse=True)
    def written(self, lake: Lake) -> None:
        lake.write(FLIGHTS, days(), DAYS)

    def test_limits_are_included(self, lake: Lake) -> None:
        def keys(**limits: object) -> list[str]:
            return lake.read(FLIGHTS, **limits)["partition_key"].unique().sort().to_list()  # type: ignore[arg-type]

        assert keys(first=DAYS[1]) == DAYS[1:]
        assert keys(last=DAYS[1]) == DAYS[:2]
        assert keys(first=DAYS[1], last=DAYS[1]) == [DAYS[1]]
        assert keys(partitions=[DAYS[2], DAYS[0]]) == [DAYS[0], DAYS[2]]
        assert keys(partitions=DAYS, first=DAYS[2]) == [DAYS[2]]
        assert keys(partitions=[]) == []
        assert keys(partitions=["2099-01-01"]) == []

    def test_moments_choose_rows_by_any_of_their_times(self, lake: Lake) -> None:
        timed = Table("flight_delay", "timed")
        first = datetime(2013, 1, 1, 5, tzinfo=UTC)
        hour, minute = timedelta(hours=1), timedelta(minutes=1)
        stored = days().with_columns(end=pl.when(pl.col("flight") > 0).then(pl.col("at") + hour))
        lake.write(timed, stored, DAYS)
        for moments, flights in (
            ({"at": (first + minute, None)}, {1, 2}),
            ({"at": (None, first + minute)}, {0, 1}),
            ({"at": (first + minute, first + minute)}, {1}),
            ({"end": (None, None)}, {1, 2}),
            ({"at": (None, first), "end": (first + 62 * minute, None)}, {0, 2}),
            ({}, {0, 1, 2}),
        ):
            read = lake.read(timed, columns=["flight"], last=DAYS[1], moments=moments)
            assert sorted(read["flight"]) == sorted([*flights] * 2), moments
        with pytest.raises(NotFound, match="no column arrived"):
            lake.read(timed, moments={"arrived": (None, None)})

    def test_columns_come_as_asked(self, lake: Lake) -> None:
        assert lake.read(FLIGHTS, columns=["delay", "flight"], last=DAYS[0]).columns == ["delay", "flight"]

    def test_counting(self, lake: Lake) -> None:
        assert lake.row_count(FLIGHTS) == 9
        assert lake.partitions(FLIGHTS) == DAYS
        assert lake.tables("flight_delay") == ["flights"]
        assert lake.exists(FLIGHTS)
        assert not lake.exists(Table("flight_delay", "other"))

    def test_unknown_names_are_not_found(self, lake: Lake) -> None:
        with pytest.raises(NotFound, match=r"flight_delay\.nothing"):
            lake.read(Table("flight_delay", "nothing"))
        with pytest.raises(NotFound, match="no column dealy; it has partition_key, flight, delay, at"):
            lake.read(FLIGHTS, columns=["dealy"])

    def test_a_range_of_an_unpartitioned_table_is_refused(self, lake: Lake) -> None:
        lake.write(Table("flight_delay", "planes"), pl.DataFrame({"tail": ["N1"]}))
        with pytest.raises(NotFound, match="no column partition_key"):
            lake.read(Table("flight_delay", "planes"), first=DAYS[0])


def test_without_a_lake_reading_says_what_to_run_and_makes_nothing(lake: Lake, tmp_path: Path) -> None:
    for ask in (lambda: lake.read(FLIGHTS), lambda: lake.sql("SELECT 1")):
        with pytest.raises(NotFound) as caught:
            ask()
        assert "mlplatform run" in caught.value.hint
    assert (lake.partitions(FLIGHTS), lake.row_count(FLIGHTS), lake.tables("flight_delay")) == ([], 0, [])
    assert list(tmp_path.iterdir()) == []


def test_a_lake_whose_making_was_cut_short_is_completed_by_the_next_write(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake/catalog.sqlite").touch()
    assert not lake.exists(FLIGHTS)
    with pytest.raises(NotFound):
        lake.read(FLIGHTS)
    lake.write(FLIGHTS, days(), DAYS)
    assert_frame_equal(lake.read(FLIGHTS), days())


@pytest.mark.parametrize("name", ["", "Flights", "1st", "a b", 'a"b', "a.b", "../a", "ä", "a\n", "x" * 64])
def test_only_plain_table_names(name: str) -> None:
    for parts in ((name, "flights"), ("flight_delay", name)):
        with pytest.raises(ConfigurationError):
            Table(*parts)


class TestReplacing:
    @pytest.fixture(autouse=True)
    def written(self, lake: Lake) -> None:
        lake.write(FLIGHTS, days(), DAYS)

    def test_one_day_is_replaced_and_the_others_stay(self, lake: Lake) -> None:
        lake.write(FLIGHTS, day(DAYS[1], rows=5, delay=9.0), [DAYS[1]])
        assert_frame_equal(lake.read(FLIGHTS), pl.concat([day(DAYS[0]), day(DAYS[1], 5, 9.0), day(DAYS[2])]))

    def test_the_same_write_again_changes_nothing(self, lake: Lake) -> None:
        lake.write(FLIGHTS, days(), DAYS)
        lake.write(FLIGHTS, day(DAYS[1]), [DAYS[1]])
        assert_frame_equal(lake.read(FLIGHTS), days())

    def test_no_partitions_means_the_whole_table(self, lake: Lake) -> None:
        lake.write(FLIGHTS, day("2014-01-01"))
        assert lake.partitions(FLIGHTS) == ["2014-01-01"]

    def test_columns_are_matched_by_name(self, lake: Lake) -> None:
        reordered = day(DAYS[0], delay=7.0).select("at", "delay", "partition_key", "flight")
        lake.write(FLIGHTS, reordered, DAYS[:1])
        assert_frame_equal(lake.read(FLIGHTS, last=DAYS[0]), day(DAYS[0], delay=7.0))

    def test_a_mismatch_names_every_column(self, lake: Lake) -> None:
        wrong = day(DAYS[0]).drop("at").with_columns(pl.col("flight").cast(pl.String), gust=pl.lit(1.0))
        with pytest.raises(SchemaMismatch) as caught:
            lake.write(FLIGHTS, wrong, DAYS[:1])
        message = str(caught.value)
        assert "at is missing (allowed: TIMESTAMP WITH TIME ZONE)" in message
        assert "flight is VARCHAR (allowed: BIGINT)" in message
        assert "gust is unexpected (got: DOUBLE)" in message
        assert "evolve=True" in caught.value.hint
        assert_frame_equal(lake.read(FLIGHTS), days())

    def test_evolve_adds_the_new_column_and_nothing_else(self, lake: Lake) -> None:
        lake.write(FLIGHTS, day(DAYS[0]).with_columns(gust=pl.lit(1.0)), DAYS[:1], evolve=True)
        assert lake.read(FLIGHTS)["gust"].to_list() == [1.0] * 3 + [None] * 6
        with pytest.raises(SchemaMismatch, match="flight is missing"):
            lake.write(FLIGHTS, day(DAYS[0]).drop("flight"), DAYS[:1], evolve=True)

    def test_a_column_of_nulls_needs_a_type(self, lake: Lake) -> None:
        untyped = day(DAYS[0]).with_columns(gust=pl.lit(None))
        with pytest.raises(SchemaMismatch, match="'gust' has no type"):
            lake.write(FLIGHTS, untyped, DAYS[:1], evolve=True)
        with pytest.raises(SchemaMismatch, match="'gust' has no type"):
            lake.write(Table("flight_delay", "fresh"), untyped, DAYS[:1])
        assert not lake.exists(Table("flight_delay", "fresh"))

    def test_nothing_to_write_is_refused_and_keeps_the_old_rows(self, lake: Lake) -> None:
        with pytest.raises(StoreError, match="no rows for '2013-01-01'"):
            lake.write(FLIGHTS, day(DAYS[0]).clear(), DAYS[:1])
        with pytest.raises(StoreError, match="no rows for '2013-01-02'"):
            lake.write(FLIGHTS, days([DAYS[0], DAYS[2]]), DAYS)
        with pytest.raises(StoreError, match="no rows for 'the whole table'"):
            lake.write(FLIGHTS, day(DAYS[0]).clear())
        with pytest.raises(StoreError, match="no partition"):
            lake.write(FLIGHTS, day(DAYS[0]).clear(), [])
        assert_frame_equal(lake.read(FLIGHTS), days())

    def test_an_empty_partition_that_is_said_to_be_right(self, lake: Lake) -> None:
        lake.write(FLIGHTS, day(DAYS[0]).clear(), DAYS[:1], allow_empty=True)
        assert lake.partitions(FLIGHTS) == DAYS[1:]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (pl.lit("2099-01-01"), "rows of '2099-01-01' are not among"),
            (pl.lit(None, pl.String), "rows of 'None' are not among"),
            (pl.lit(20130101), "must be a String column"),
        ],
    )
    def test_rows_of_other_partitions_are_refused(self, lake: Lake, change: pl.Expr, message: str) -> None:
        with pytest.raises(StoreError, match=message):
            lake.write(FLIGHTS, days().with_columns(partition_key=change), DAYS)
        assert_frame_equal(lake.read(FLIGHTS), days())

    def test_a_write_that_fails_late_keeps_the_old_rows(self, lake: Lake, tmp_path: Path) -> None:
        broken = [True]

        def full_disk(path: Path) -> None:
            if broken[0]:
                raise OSError(28, "No space left on device")

        with closing(another(tmp_path, sync=full_disk)) as failing:
            with pytest.raises(StoreError, match="No space left") as caught:
                failing.write(FLIGHTS, days(delay=9.0), DAYS)
            assert "disk" in caught.value.hint
            assert_frame_equal(lake.read(FLIGHTS), days())
            lake.write(FLIGHTS, day(DAYS[0], delay=2.0), DAYS[:1])
            broken[0] = False
            failing.write(FLIGHTS, days(delay=9.0), DAYS)
        assert_frame_equal(lake.read(FLIGHTS), days(delay=9.0))

    def test_drop_forgets_the_shape_too(self, lake: Lake) -> None:
        lake.drop(FLIGHTS)
        assert not lake.exists(FLIGHTS)
        lake.write(FLIGHTS, day(DAYS[0]).drop("at"), DAYS[:1])
        assert lake.row_count(FLIGHTS) == 3

    def test_maintenance_merges_files_and_changes_no_row(self, lake: Lake, tmp_path: Path) -> None:
        for key in DAYS:
            lake.write(FLIGHTS, day(key), [key])
        orphan = tmp_path / "lake/data/flight_delay/flights/left-over.parquet"
        orphan.write_bytes(b"PAR1")
        lake.maintain(keep=timedelta(0))
        assert_frame_equal(lake.read(FLIGHTS), days())
        assert len(list((tmp_path / "lake/data").rglob("*.parquet"))) == 1
        lake.maintain()
        assert_frame_equal(lake.read(FLIGHTS), days())


KEYS = [
    "it's",
    "a?b",
    "x') OR 1=1 --",
    "'; DROP TABLE lake.flight_delay.flights; --",
    "%",
    "_",
    "\\",
    "",
    "ünï ✈",
    "a\nb",
    "1,2",
]


@pytest.mark.parametrize("key", KEYS)
def test_a_partition_key_is_only_a_value(lake: Lake, key: str) -> None:
    lake.write(FLIGHTS, days(), DAYS)
    lake.write(FLIGHTS, day(key), [key])
    lake.write(FLIGHTS, day(key, rows=2), [key])
    assert_frame_equal(lake.read(FLIGHTS, partitions=[key]), day(key, rows=2))
    assert_frame_equal(lake.read(FLIGHTS, partitions=DAYS), days())


READING = """
import sys
from pathlib import Path
from mlplatform.stores.lake import Lake, Table
lake, table = Lake(Path("lake/catalog.sqlite"), Path("lake/data")), Table("flight_delay", "flights")
assert lake.read(table, first="2013-01-02", partitions=["2013-01-02"]).height == 3
assert (lake.tables("flight_delay"), len(lake.partitions(table))) == (["flights"], lake.row_count(table) / 3)
assert lake.sql("SELECT count(*) FROM flight_delay.flights").item() == 9
sys.exit("pandas" in sys.modules)
"""


def test_who_only_reads_the_lake_does_not_wait_for_pandas(lake: Lake, tmp_path: Path) -> None:
    lake.write(FLIGHTS, days(), DAYS)
    subprocess.run([sys.executable, "-c", READING], cwd=tmp_path, check=True)


class TestDurability:
    def test_files_are_synced_before_the_commit_is_visible(self, tmp_path: Path) -> None:
        seen: list[tuple[Path, int]] = []
        with closing(another(tmp_path)) as reader:

            def watch(path: Path) -> None:
                seen.append(
                    (path, reader.row_count(FLIGHTS) if (tmp_path / "lake/catalog.sqlite").exists() else 0)
                )
                sync_path(path)

            with closing(another(tmp_path, sync=watch)) as lake:
                lake.write(FLIGHTS, day(DAYS[0]), DAYS[:1])
                assert {rows for path, rows in seen if path.suffix == ".parquet"} == {0}
                data = tmp_path / "lake" / "data"
                synced = {path for path, rows in seen if rows == 0}
                assert {data, data / "flight_delay", data / "flight_delay/flights"} < synced
                assert set(data.rglob("*.parquet")) < synced

                # Half of a file's rows: the file that lists the deleted rows is new too.
                lake.write(FLIGHTS, days(DAYS[1:]), DAYS[1:])
                seen.clear()
                before = set(data.rglob("*.parquet"))
                lake.write(FLIGHTS, day(DAYS[1], rows=4), [DAYS[1]])
                new = set(data.rglob("*.parquet")) - before
                assert len(new) == 2
                assert new < {path for path, rows in seen if rows == 9}

    def test_no_row_is_kept_in_the_catalogue(self, lake: Lake, tmp_path: Path) -> None:
        lake.write(FLIGHTS, day(DAYS[0], rows=1), DAYS[:1])
        assert len(list((tmp_path / "lake/data").rglob("*.parquet"))) == 1

    def test_extension_signatures_are_checked(self) -> None:
        with duckdb.connect(":memory:") as connection:
            load_extensions(connection)
            allowed = connection.execute("SELECT current_setting('allow_unsigned_extensions')").fetchall()
        assert allowed == [(False,)]


PLANES = Table("flight_delay", "planes")


class TestSeveralTables:
    @pytest.fixture(autouse=True)
    def written(self, lake: Lake) -> None:
        lake.write(FLIGHTS, days(), DAYS)

    def counts(self, lake: Lake) -> tuple[int, int]:
        return lake.row_count(FLIGHTS), lake.row_count(PLANES)

    def test_they_are_written_in_one_commit(self, lake: Lake) -> None:
        snapshots = "SELECT count(*) AS n FROM ducklake_snapshots('lake')"
        before = lake.sql(snapshots)["n"][0]
        lake.write_all(
            [
                Write(FLIGHTS, day(DAYS[1], rows=5, delay=9.0), [DAYS[1]]),
                Write(PLANES, pl.DataFrame({"tail": ["N1", "N2"]})),
                Write(Table("other_case", "seats"), pl.DataFrame({"seats": [3]})),
            ]
        )
        assert_frame_equal(lake.read(FLIGHTS), pl.concat([day(DAYS[0]), day(DAYS[1], 5, 9.0), day(DAYS[2])]))
        assert sorted(lake.read(PLANES)["tail"]) == ["N1", "N2"]
        assert lake.read(Table("other_case", "seats"))["seats"].to_list() == [3]
        assert lake.sql(snapshots)["n"][0] == before + 1

    def test_each_is_asked_as_a_write_of_its_own(self, lake: Lake) -> None:
        wider = day(DAYS[0]).with_columns(gust=pl.lit(1.0))
        nothing = pl.DataFrame(schema={"tail": pl.String})
        lake.write_all(
            [Write(FLIGHTS, wider, DAYS[:1], evolve=True), Write(PLANES, nothing, allow_empty=True)]
        )
        assert lake.read(FLIGHTS)["gust"].null_count() == 6
        assert lake.exists(PLANES)
        assert self.counts(lake) == (9, 0)

    @pytest.mark.parametrize(
        "wrong",
        [
            Write(PLANES, pl.DataFrame({"tail": ["N1"]}), DAYS[:1]),
            Write(PLANES, pl.DataFrame({"tail": []}, schema={"tail": pl.String})),
            Write(PLANES, pl.DataFrame({"tail": [None]})),
            Write(FLIGHTS, day(DAYS[1]).drop("at"), [DAYS[1]]),
            Write(FLIGHTS, day(DAYS[1]), [DAYS[2]]),
        ],
    )
    def test_one_that_is_refused_refuses_all(self, lake: Lake, wrong: Write) -> None:
        sound = Write(FLIGHTS, day(DAYS[0], rows=7), DAYS[:1])
        fresh = Write(Table("flight_delay", "fresh"), pl.DataFrame({"n": [1]}))
        with pytest.raises(StoreError):
            lake.write_all([sound, fresh, wrong])
        assert_frame_equal(lake.read(FLIGHTS), days())
        assert lake.tables("flight_delay") == ["flights"]

    def test_a_failure_after_the_first_table_undoes_it(self, lake: Lake, tmp_path: Path) -> None:
        lake.write(PLANES, pl.DataFrame({"tail": ["N1"]}))
        synced: list[Path] = []

        def full_disk(path: Path) -> None:
            synced.append(path)
            if any("planes" in part for part in path.parts) and path.suffix == ".parquet":
                raise OSError(28, "No space left on device")

        writes = [
            Write(FLIGHTS, days(delay=9.0), DAYS),
            Write(PLANES, pl.DataFrame({"tail": ["N1", "N2", "N3"]})),
        ]
        with closing(another(tmp_path, sync=full_disk)) as failing:
            with pytest.raises(
                StoreError, match=r"flight_delay\.flights, flight_delay\.planes.*No space left"
            ):
                failing.write_all(writes)
            assert any("flights" in path.parts for path in synced)
            assert_frame_equal(lake.read(FLIGHTS), days())
            assert self.counts(lake) == (9, 1)
        lake.write_all(writes)
        assert_frame_equal(lake.read(FLIGHTS), days(delay=9.0))
        assert self.counts(lake) == (9, 3)

    def test_the_files_of_all_are_synced_before_the_commit_is_visible(
        self, lake: Lake, tmp_path: Path
    ) -> None:
        seen: list[tuple[Path, tuple[int, int]]] = []

        def watch(path: Path) -> None:
            seen.append((path, self.counts(lake)))
            sync_path(path)

        data = tmp_path / "lake" / "data"
        before = set(data.rglob("*.parquet"))
        with closing(another(tmp_path, sync=watch)) as watched:
            watched.write_all(
                [
                    Write(FLIGHTS, day("2013-01-04"), ["2013-01-04"]),
                    Write(PLANES, pl.DataFrame({"tail": ["N1"]})),
                ]
            )
        new = set(data.rglob("*.parquet")) - before
        assert {path.relative_to(data).parts[1] for path in new} == {"flights", "planes"}
        early = {path for path, counts in seen if counts == (9, 0)}
        assert new < early
        assert {
            data,
            data / "flight_delay",
            data / "flight_delay/flights",
            data / "flight_delay/planes",
        } < early
        assert self.counts(lake) == (12, 1)

    def test_a_reader_never_sees_one_without_the_other(self, lake: Lake, tmp_path: Path) -> None:
        lake.write(PLANES, pl.DataFrame({"tail": ["N0"]}))
        both = """SELECT (SELECT any_value(delay) FROM flight_delay.flights) AS flown,
                         (SELECT any_value(tail) FROM flight_delay.planes) AS tail"""
        lake.write(FLIGHTS, day(DAYS[0], delay=0.0))
        stop, seen = threading.Event(), set[tuple[float, str]]()

        def look() -> None:
            with closing(another(tmp_path)) as reader:
                while not stop.is_set():
                    seen.add(reader.sql(both).row(0))

        looking = threading.Thread(target=look)
        looking.start()
        try:
            for n in range(1, 9):
                lake.write_all(
                    [
                        Write(FLIGHTS, day(DAYS[0], delay=float(n))),
                        Write(PLANES, pl.DataFrame({"tail": [f"N{n}"]})),
                    ]
                )
        finally:
            stop.set()
            looking.join()
        assert seen
        assert {(flown, f"N{flown:.0f}") for flown, _ in seen} == seen

    def test_nothing_to_write(self, lake: Lake) -> None:
        lake.write_all([])
        assert self.counts(lake) == (9, 0)


class TestManyWriters:
    def test_threads_of_one_process_share_a_lake(self, lake: Lake) -> None:
        failures: list[BaseException] = []

        def work(key: str) -> None:
            try:
                for _ in range(4):
                    lake.write(FLIGHTS, day(key), [key])
                    assert lake.read(FLIGHTS, partitions=[key]).height == 3
            except BaseException as error:
                failures.append(error)
                raise

        threads = [threading.Thread(target=work, args=(key,)) for key in DAYS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert_frame_equal(lake.read(FLIGHTS), days())

    def test_two_processes_commit_fifteen_times_each(self, lake: Lake, tmp_path: Path) -> None:
        program = """
import sys; from pathlib import Path; import polars as pl
from mlplatform.stores.lake import Lake, Table
lake = Lake(Path(sys.argv[1]), Path(sys.argv[2]))
for n in range(15):
    key = f"2013-02-{n + 1:02}"  # the same keys in both: a first write of one conflicts in no row
    frame = pl.DataFrame({"partition_key": [key] * 20, "n": [n] * 20})
    lake.write(Table("flight_delay", "flights"), frame, [key])
"""
        command = [
            sys.executable,
            "-c",
            program,
            str(tmp_path / "lake/catalog.sqlite"),
            str(tmp_path / "lake/data"),
        ]
        writers = [subprocess.Popen(command) for _ in range(2)]
        assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
        assert lake.row_count(FLIGHTS) == 15 * 20
        assert len(lake.partitions(FLIGHTS)) == 15
        assert lake.sql("SELECT count(*) AS n FROM ducklake_snapshots('lake')")["n"][0] >= 30

    def test_a_writer_in_the_way_is_waited_for_and_then_named(self, lake: Lake, tmp_path: Path) -> None:
        lake.write(FLIGHTS, day(DAYS[0]), DAYS[:1])
        with closing(another(tmp_path, patience=0.2)) as hasty:
            with locked(tmp_path / "lake/catalog.sqlite.lock", 1), pytest.raises(StoreError) as caught:
                hasty.write(FLIGHTS, day(DAYS[1]), DAYS[1:2])
            assert "busy for 0.2 s" in str(caught.value)
            assert "Wait" in caught.value.hint
            hasty.write(FLIGHTS, day(DAYS[1]), DAYS[1:2])

    def test_a_foreign_writer_that_locks_the_catalogue_is_retried(self, lake: Lake, tmp_path: Path) -> None:
        lake.write(FLIGHTS, day(DAYS[0]), DAYS[:1])
        hold = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1], isolation_level=None) as other:
    other.execute("BEGIN IMMEDIATE"); print("held", flush=True); sys.stdin.read(); other.execute("ROLLBACK")
"""
        command = [sys.executable, "-c", hold, str(tmp_path / "lake/catalog.sqlite")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            assert holder.stdin is not None
            holder.stdout.readline()
            with closing(another(tmp_path, patience=0.1)) as hasty, pytest.raises(StoreError, match="busy"):
                hasty.write(FLIGHTS, day(DAYS[1]), DAYS[1:2])
            threading.Timer(2.0, holder.stdin.close).start()
            lake.write(FLIGHTS, day(DAYS[1]), DAYS[1:2])
        assert lake.partitions(FLIGHTS) == DAYS[:2]


class TestSql:
    @pytest.fixture(autouse=True)
    def written(self, lake: Lake) -> None:
        lake.write(FLIGHTS, days(), DAYS)

    def test_an_answer(self, lake: Lake) -> None:
        query = 'SELECT count(*) AS n, min("at") AS since FROM flight_delay.flights WHERE partition_key >= ?'
        answer = lake.sql(query, [DAYS[1]])
        assert answer["n"].to_list() == [6]
        assert answer.schema["since"] == pl.Datetime("us", "UTC")
        assert lake.sql("SHOW ALL TABLES")["name"].to_list() == ["flights"]
        assert lake.sql("DESCRIBE flight_delay.flights").height == 4

    @pytest.mark.parametrize(
        "query",
        [
            "DELETE FROM flight_delay.flights",
            "DROP TABLE flight_delay.flights",
            "COPY flight_delay.flights TO '{data}/stolen.parquet'",
            "SELECT 1; DELETE FROM flight_delay.flights",
            "EXPLAIN ANALYZE DELETE FROM flight_delay.flights",
            "ATTACH '{data}/x.db'",
            "SET threads = 1",
            "SELECT * FROM read_text('{outside}')",
            "SELECT * FROM ducklake_expire_snapshots('lake', older_than => now())",
            "SELECT * FROM ducklake_delete_orphaned_files('lake', cleanup_all => true)",
            "SELECT * FROM ducklake_cleanup_old_files('lake', cleanup_all => true)",
            "SELECT * FROM query('SELECT 1')",
            "",
            "SELEC 1",
            "SELECT * FROM flight_delay.nothing",
        ],
    )
    def test_it_can_only_ask(self, lake: Lake, tmp_path: Path, query: str) -> None:
        (tmp_path / "secret.txt").write_text("secret")
        (tmp_path / "lake/data/flight_delay/left-over.parquet").write_bytes(b"PAR1")
        before = sorted((tmp_path / "lake/data").rglob("*"))
        with pytest.raises(StoreError) as caught:
            lake.sql(query.format(data=tmp_path / "lake/data", outside=tmp_path / "secret.txt"))
        assert caught.value.hint
        assert sorted((tmp_path / "lake/data").rglob("*")) == before
        assert_frame_equal(lake.read(FLIGHTS), days())
