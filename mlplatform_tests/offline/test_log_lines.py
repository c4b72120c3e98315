"""What a Dagster run writes to the console with MLPLATFORM_LOG_FORMAT=json."""

import json

import pytest
from dagster import DagsterInstance, Definitions, OpExecutionContext, job, op

from mlplatform.crosscutting.settings import Settings
from mlplatform.crosscutting.tracing import of_run
from mlplatform.offline.log_lines import run_loggers


@op
def says_something(context: OpExecutionContext) -> None:
    context.log.info("a word from %s", "an op")


@job
def small() -> None:
    says_something()


def test_lines_have_the_run_and_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    loggers = run_loggers(Settings.load({"MLPLATFORM_LOG_FORMAT": "json"}))
    defs = Definitions(jobs=[small], loggers=loggers)
    config = {"loggers": {"console": {"config": {"log_level": "INFO"}}}}
    with DagsterInstance.ephemeral() as instance:
        run = defs.resolve_job_def("small").execute_in_process(instance=instance, run_config=config)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    (said,) = [line for line in lines if "a word from an op" in line["message"]]
    assert (said["service"], said["level"], said["logger"]) == ("dagster", "info", "dagster")
    assert (said["run_id"], said["traceparent"]) == (run.run_id, of_run(run.run_id))


def test_otherwise_dagster_writes_as_it_does() -> None:
    assert run_loggers(Settings.load({})) is None
