"""What Dagster loads in a demonstration: its one use case."""

from pathlib import Path

from dagster import Definitions, in_process_executor

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.log_lines import run_loggers
from mlplatform.offline.use_case import definitions

_settings = Settings.load()
_declared = project.load(Path(__file__).parent / "flight_delay")
# Steps of a run share its process: one of its own costs each of them two seconds.
defs = Definitions.merge(
    definitions(_declared, _settings),
    Definitions(executor=in_process_executor, loggers=run_loggers(_settings)),
)
