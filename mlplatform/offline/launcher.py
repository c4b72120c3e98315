"""Dagster's default run launcher, which also tells Dagster's run monitoring whether a run's worker lives.

The code server notices a worker that is killed; but when it is killed as well, or the machine stops, a run
stays STARTED for ever, since the default launcher cannot be asked. This one can: it notes on the run which
process works at it. Run monitoring then fails the run, and `run_retries` of dagster.yaml starts it again.
It must not fail or retry a run itself, nor say of a worker that it is dead unless that is certain.
"""

import re
from typing import Any

import msgspec
from dagster import DagsterEventType, DagsterRun
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, LaunchRunContext, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._serdes import ConfigurableClassData

from mlplatform.crosscutting.process_identity import ProcessIdentity, identity_of, is_dead, this_machine
from mlplatform.offline.run_tags import WORKER_TAG

_LOCAL = ("localhost", "127.0.0.1", "::1")
_PID = re.compile(r"Started process for run \(pid: (\d+)\)")


class Launcher(DefaultRunLauncher):
    """What `run_launcher` of our dagster.yaml names."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Any) -> "Launcher":
        """The launcher; it takes no configuration."""
        return cls(inst_data=inst_data)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes: run monitoring asks for every run that is STARTED."""
        return True

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run's worker, and note which process it is."""
        run_id = context.dagster_run.run_id
        # First, since a retry has the tags of the run that failed, and with them its worker.
        self._note(run_id, this_machine())
        super().launch_run(context)
        run = self._instance.get_run_by_id(run_id)
        pid = self._pid(run_id) if run is not None and _is_local(run) else 0
        if pid:
            self._note(run_id, identity_of(pid))

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """FAILED if the worker is certainly dead, else RUNNING."""
        worker = worker_of(run)
        if worker is None or not (_is_local(run) or worker.pid):
            return CheckRunHealthResult(WorkerStatus.RUNNING, "it is not this machine's to judge")
        if not worker.pid:  # whoever launched it ended before it had noted the process
            worker = msgspec.structs.replace(worker, pid=self._pid(run.run_id))
        if not is_dead(worker):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"process {worker.pid} on {worker.host} is gone")

    def _note(self, run_id: str, worker: ProcessIdentity) -> None:
        self._instance.add_run_tags(run_id, {WORKER_TAG: msgspec.json.encode(worker).decode()})

    def _pid(self, run_id: str) -> int:
        """Of the run's worker, as it says itself; 0 if it has not yet."""
        found = self._instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT)
        pids = [match[1] for event in found if (match := _PID.match(event.message))]
        return int(pids[-1]) if pids else 0


def worker_of(run: DagsterRun) -> ProcessIdentity | None:
    """The process at work at a run, as its tag says; None if nobody noted it."""
    try:
        return msgspec.json.decode(run.tags.get(WORKER_TAG, ""), type=ProcessIdentity)
    except msgspec.DecodeError:
        return None


def _is_local(run: DagsterRun) -> bool:
    """Whether the code server that started the worker is on the machine of whoever launched the run."""
    try:
        told = msgspec.json.decode(run.tags.get(GRPC_INFO_TAG, ""), type=dict[str, Any])
    except msgspec.DecodeError:
        return False
    return told.get("host") in _LOCAL
