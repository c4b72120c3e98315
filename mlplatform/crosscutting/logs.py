"""How every process of the platform logs: one set-up, to standard error, as text or as JSON.

With MLPLATFORM_LOG_FORMAT=json each line is one JSON object: time (UTC), level, logger, message, process,
service, and where they are known use_case, prediction_id, run_id and traceparent. What is logged of a certain
thing gives these as `extra`; of the work in hand `tracing.py` knows them. It must not decide what is logged.
"""

import json
import logging
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from mlplatform.crosscutting import tracing
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError

FIELDS = ("use_case", "prediction_id", "run_id", "traceparent")
"""What a line tells where it is known."""
_LOG = logging.getLogger("mlplatform")


class JsonFormatter(logging.Formatter):
    """One JSON object a line; `more` is told in every line, such as the service."""

    def __init__(self, more: Mapping[str, Any]) -> None:
        super().__init__()
        self._more = more

    def format(self, record: logging.LogRecord) -> str:
        """A record as one line."""
        line: dict[str, Any] = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            **self._more,
            **_known(record),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """One line for a person, and tracebacks below it."""

    def format(self, record: logging.LogRecord) -> str:
        """A record as text."""
        known = "".join(f" {name}={value}" for name, value in _known(record).items())
        text = f"{_utc(record.created)} {record.levelname} {record.name}: {record.getMessage()}{known}"
        if record.exc_info and record.exc_info[0] is not None:
            text += "\n" + self.formatException(record.exc_info)
        return text


def set_up(settings: Settings, service: str, *, worker: int = 0) -> None:
    """Log to standard error as the settings say, from now on; `service` names the process in each line.

    Records of the platform count from the set level on, those of libraries from `warning` on.
    """
    handler = logging.StreamHandler()
    as_json = settings.log_format == "json"
    handler.setFormatter(formatter(service, worker) if as_json else TextFormatter())
    root, level = logging.getLogger(), settings.log_level.upper()
    for former in list(root.handlers):
        if isinstance(former.formatter, (JsonFormatter, TextFormatter)):
            root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(max(logging.WARNING, logging.getLevelName(level)))
    _LOG.setLevel(level)
    if as_json:  # whatever else goes to standard error would be no JSON
        logging.captureWarnings(True)
        sys.excepthook = _uncaught
        threading.excepthook = _uncaught_in_thread


def formatter(service: str, worker: int = 0) -> JsonFormatter:
    """The formatter of a service's lines, for handlers that others own."""
    return JsonFormatter({"service": service} | ({"worker": worker} if worker else {}))


def complain(error: MlplatformError) -> None:
    """Say why this process ends: to a person, or in the log that is JSON."""
    if any(isinstance(each.formatter, JsonFormatter) for each in logging.getLogger().handlers):
        _LOG.critical("%s", f"{error} {error.hint}".strip())
    else:
        print(f"{error}\n{error.hint}", file=sys.stderr)


def _known(record: logging.LogRecord) -> dict[str, str]:
    told = tracing.fields()
    found = {name: getattr(record, name, None) or told.get(name) for name in FIELDS}
    return {name: value for name, value in found.items() if value}


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        _LOG.critical("the process ends: %s", error, exc_info=(kind, error, trace))


def _uncaught_in_thread(hook: threading.ExceptHookArgs) -> None:
    if hook.exc_value is not None and not issubclass(hook.exc_type, SystemExit):
        name = hook.thread.name if hook.thread else "?"
        info = (hook.exc_type, hook.exc_value, hook.exc_traceback)
        _LOG.critical("the thread %s ends: %s", name, hook.exc_value, exc_info=info)
