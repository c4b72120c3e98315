"""Dagster's home of a deployment and its dagster.yaml. It must not start runs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from dagster import DagsterInstance

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import StoreError

_INSTANCE = """\
# Written by mlplatform. Edit it to use PostgreSQL or another launcher; it is not written again then.
telemetry:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 2
  pools:  # of each source (source_<name>) and store (store_lake); `dagster instance concurrency set` for one
    default_limit: 2
    granularity: run
run_launcher:  # Dagster's default one, which can also be asked whether a run's worker lives
  module: mlplatform.offline.launcher
  class: Launcher
run_monitoring:  # fails runs whose worker was killed
  enabled: true
  poll_interval_seconds: 5
run_retries:  # and they are tried again; a step that failed is not, it has retries of its own
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false
event_log_storage:
  module: mlplatform.offline.event_log
  class: EventLog
  config: {}
"""
_EARLIER = {
    "31668485f97730c0496dd49d53eab5e203fc1878d4cf256d28a3e1628f9f3e8e",
    "596e1286e5d2b24f32728d575e41340fc3e8635392a2e09a0de01d0bae363f06",
    "39b8c6b9b3cb01d67f837f9bbd56841813efcb98b5a7e7a8c052f0517f4484f1",
}
"""SHA-256 of what earlier versions wrote: such a file was not edited, and is brought up to date."""


@contextmanager
def instance_of(settings: Settings) -> Iterator[DagsterInstance]:
    """The Dagster instance of a deployment, made at its first use."""
    prepare_instance(settings)
    os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
    with DagsterInstance.get() as instance:
        yield instance


def prepare_instance(settings: Settings) -> Path:
    """Make Dagster's home with its configuration, unless it is there; returns the folder."""
    folder = settings.dagster_home
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "dagster.yaml"
        if not file.exists() or sha256(file.read_bytes()).hexdigest() in _EARLIER:
            file.write_text(_INSTANCE)
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


def unwritable(folder: Path, error: OSError) -> StoreError:
    """What to say of a folder that cannot be written."""
    return StoreError(
        f"the folder {folder} cannot be used: {error}.",
        hint="Set MLPLATFORM_HOME to a folder you can write to.",
    )
