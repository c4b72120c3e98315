"""Materialises a whole use case in the foreground: `mlplatform run`.

Each step is one run of Dagster over its whole range, in this process, recorded in the deployment's instance,
so that the Dagster UI shows it like any other run. What is materialised already is left alone.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TextIO

import msgspec
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, Definitions, RunsFilter
from dagster._core.utils import make_new_run_id

from mlplatform.crosscutting.process_identity import identity_of
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError, ServiceError
from mlplatform.offline import configuration_audit
from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared
from mlplatform.offline.independence import materialise_all
from mlplatform.offline.instance import instance_of as instance_of
from mlplatform.offline.instance import prepare_instance as prepare_instance
from mlplatform.offline.instance import unwritable
from mlplatform.offline.plan import Step, missing, steps
from mlplatform.offline.plugged import check_plugins
from mlplatform.offline.run_tags import PROCESS_TAG, WORKER_TAG
from mlplatform.offline.use_case import definitions
from mlplatform.stores import data_audit
from mlplatform.stores.lake import Lake

Progress = Callable[[Step, int, str], None]
"""Called with the step, how many of its assets are done, and the asset at work."""


@dataclass(frozen=True)
class Done:
    """A finished step: how many assets were materialised (0: all were there) and how long it took."""

    title: str
    span: str
    assets: int
    seconds: float


def run(declared: Declared, settings: Settings, progress: Progress = lambda *_: None) -> list[Done]:
    """Materialise everything of a use case that is missing.

    Raises
    ------
    MlplatformError
        the error of the asset that failed; what was materialised before it is kept, and other models are
        trained and judged before it is raised.
    ServiceError
        if another run of this kind is going on in the same home.
    """
    return materialise(declared, settings, steps(declared), progress)


def materialise(
    declared: Declared, settings: Settings, wanted: Sequence[Step], progress: Progress = lambda *_: None
) -> list[Done]:
    """Materialise what is missing of some steps, in order.

    Raises
    ------
    MlplatformError, ServiceError
        as `run`.
    """
    check_plugins(declared)
    defs = definitions(declared, settings)
    finished = []
    with _alone(settings.home), instance_of(settings) as instance:
        # Not before: what is declared wrongly must leave nothing behind.
        configuration_audit.record(declared, settings, why="loaded by `mlplatform run`")
        data_audit.catch_up(settings)
        _reap(instance)
        for step in wanted:
            started = time.perf_counter()
            rest = missing(step, defs, instance)
            if rest is not None:
                materialise_all(
                    rest,
                    defs,
                    instance,
                    lambda part, run_id: _materialise(part, defs, instance, progress, run_id=run_id),
                )
            seconds = time.perf_counter() - started
            finished.append(Done(step.title, step.span, len(rest.assets) if rest else 0, seconds))
    return finished


def ingest(
    declared: Declared, settings: Settings, data_set: str, partition: str, told: Mapping[str, str]
) -> None:
    """Ingest one delivery of one partition (WHOLE: of a data set that has none) and clean what came of it.

    Parameters
    ----------
    told
        tags of the run: where the delivery is and what it must be (`assets.ingestion`).

    Raises
    ------
    MlplatformError
        if the delivery is refused or cannot be read; what was served before still is.
    """
    defs, cleaned = definitions(declared, settings), []
    if data_set in declared.tables:
        with closing(Lake.from_settings(settings)) as lake:
            reads = declared.config.data_sets[data_set].reads
            cleaned = [data_set] if all(lake.exists(declared.table(name)) for name in reads) else []
    assets = tuple(key(declared, name) for name in [f"raw_{data_set}", *cleaned])
    step = Step(data_set, assets, (partition,) if data_set in declared.daily else None)
    with _alone(settings.home), instance_of(settings) as instance:
        _reap(instance)
        _materialise(step, defs, instance, lambda *_: None, told)


def _materialise(
    step: Step,
    defs: Definitions,
    instance: DagsterInstance,
    progress: Progress,
    told: Mapping[str, str] = MappingProxyType({}),
    run_id: str = "",
) -> None:
    worker = msgspec.json.encode(identity_of(os.getpid())).decode()
    tags = {PROCESS_TAG: str(os.getpid()), WORKER_TAG: worker, **told}
    one = step.partitions[0] if step.partitions and len(step.partitions) == 1 else None
    if step.partitions and one is None:
        tags["dagster/asset_partition_range_start"] = step.partitions[0]
        tags["dagster/asset_partition_range_end"] = step.partitions[-1]
    run_id = run_id or make_new_run_id()
    with _watched(step, instance, run_id, progress):
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            instance=instance,
            asset_selection=list(step.assets),
            partition_key=one,
            tags=tags,
            run_id=run_id,
            raise_on_error=True,
        )
    if not result.success:
        raise MlplatformError(f"step {step.title!r} failed.", hint="The Dagster UI shows the run's log.")


@contextmanager
def _watched(step: Step, instance: DagsterInstance, run_id: str, progress: Progress) -> Iterator[None]:
    """Report the run's steps while they come and go."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.4):
            events = instance.get_records_for_run(
                run_id, of_type={DagsterEventType.STEP_START, DagsterEventType.STEP_SUCCESS}
            ).records
            kinds = [record.event_log_entry.get_dagster_event() for record in events]
            started = [e.step_key for e in kinds if e.event_type == DagsterEventType.STEP_START]
            ended = [e.step_key for e in kinds if e.event_type == DagsterEventType.STEP_SUCCESS]
            running = [name for name in started if name not in ended]
            progress(step, len(ended), (running or [""])[-1] or "")

    watcher = threading.Thread(target=watch, daemon=True)
    progress(step, 0, "")
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    progress(step, len(step.assets), "")


def _reap(instance: DagsterInstance) -> None:
    """Mark foreground runs as failed whose process was killed; nothing else would.

    Whoever holds the lock of foreground runs is the only one: every other that is not over is dead.
    """
    unfinished = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]
    for run in instance.get_runs(RunsFilter(statuses=unfinished)):
        # A run repeated from the Dagster UI has the tags of the first one, but another process.
        if PROCESS_TAG in run.tags and run.parent_run_id is None:
            instance.report_run_failed(run, "The process of this run was killed.")


def _lock_file(home: Path) -> TextIO:
    try:
        home.mkdir(parents=True, exist_ok=True)
        return (home / "run.lock").open("a+")
    except OSError as error:
        raise unwritable(home, error) from error


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold the lock of foreground runs of this home; the kernel frees it when the process ends."""
    with _lock_file(home) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise ServiceError(
                f"another `mlplatform run` (process {file.read().strip() or '?'}) is at work in {home}.",
                hint="Wait for it, or set MLPLATFORM_HOME to another folder.",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
