"""The event log with kept connections writes what Dagster's own reads, and the other way round."""

from pathlib import Path

import dagster as dg
from dagster._core.storage.event_log import SqliteEventLogStorage

from mlplatform.offline.event_log import KEPT, EventLog

DAYS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-11")


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def daily() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"rows": 3})


def _instance(folder: Path, log: SqliteEventLogStorage) -> dg.DagsterInstance:
    return dg.DagsterInstance.local_temp(
        str(folder),
        overrides={
            "event_log_storage": {
                "module": type(log).__module__,
                "class": type(log).__name__,
                "config": {"base_dir": str(folder / "events")},
            }
        },
    )


def _materialise(instance: dg.DagsterInstance, first: str, last: str) -> None:
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    assert dg.materialize([daily], instance=instance, tags=tags).success


def test_both_classes_read_what_the_other_wrote(tmp_path: Path) -> None:
    ours, theirs = EventLog(str(tmp_path / "a")), SqliteEventLogStorage(str(tmp_path / "b"))
    with _instance(tmp_path, ours) as instance:
        _materialise(instance, "2024-01-01", "2024-01-05")
    with _instance(tmp_path, theirs) as instance:
        assert len(instance.get_materialized_partitions(daily.key)) == 5
        _materialise(instance, "2024-01-06", "2024-01-10")
    with _instance(tmp_path, ours) as instance:
        assert len(instance.get_materialized_partitions(daily.key)) == 10
        runs = instance.get_runs()
        assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS] * 2
        assert all(instance.all_logs(run.run_id) for run in runs)


def test_it_keeps_a_bounded_number_of_connections(tmp_path: Path) -> None:
    log = EventLog(str(tmp_path))
    for number in range(KEPT + 5):
        with log.run_connection(f"run-{number}") as connection:
            assert connection.exec_driver_sql("select count(*) from event_logs").scalar() == 0

    assert len(log._engines) == KEPT
    with log.run_connection("run-0") as connection:
        assert connection.exec_driver_sql("select 1").scalar() == 1
    log.dispose()
    assert not log._engines
