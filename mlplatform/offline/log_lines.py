"""What Dagster's runs write to the console, as the services write their logs: one JSON object a line.

With MLPLATFORM_LOG_FORMAT=json only; else Dagster's own console logger stays. It must not change what goes to
the event log.
"""

import logging
from collections.abc import Mapping

from dagster import Field, InitLoggerContext, LoggerDefinition, logger

from mlplatform.crosscutting import logs
from mlplatform.crosscutting.settings import Settings
from mlplatform.crosscutting.tracing import of_run


def run_loggers(settings: Settings) -> Mapping[str, LoggerDefinition] | None:
    """The loggers of jobs; None: Dagster's own."""
    return {"console": json_lines} if settings.log_format == "json" else None


@logger(
    {
        "log_level": Field(str, default_value="INFO", is_required=False, description="From this level on."),
        "name": Field(str, default_value="dagster", is_required=False, description="Name of the logger."),
    },
    description="JSON lines on standard error, with the run's id and trace.",
)
def json_lines(init: InitLoggerContext) -> logging.Logger:
    """The console logger of a run; it takes the configuration of Dagster's own."""
    handler = logging.StreamHandler()
    handler.setFormatter(logs.formatter("dagster"))
    handler.addFilter(_about_run)
    made = logging.getLoggerClass()(init.logger_config["name"], init.logger_config["log_level"].upper())
    made.addHandler(handler)
    return made


def _about_run(record: logging.LogRecord) -> bool:
    """Take what Dagster knows of a record to where our formatter looks for it; nothing is left out."""
    run_id = (getattr(record, "dagster_meta", None) or {}).get("run_id")
    if run_id:
        record.run_id, record.traceparent = run_id, of_run(run_id)
    return True
