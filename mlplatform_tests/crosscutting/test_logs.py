"""Logs: each line one JSON object with what is known, and a process whose every word is such a line."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlplatform.crosscutting import logs, tracing
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError, ServiceError
from mlplatform_tests.crosscutting.brokers import free_port

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LOG = logging.getLogger("mlplatform.tested")


@pytest.fixture
def root() -> Iterator[None]:
    """The logging of the test's process, put back as it was."""
    root, ours, hooks = logging.getLogger(), logging.getLogger("mlplatform"), (sys.excepthook,)
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    (sys.excepthook,) = hooks
    logging.captureWarnings(False)


def settings(**chosen: str) -> Settings:
    return Settings.load({f"MLPLATFORM_LOG_{name.upper()}": value for name, value in chosen.items()})


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.usefixtures("root")
def test_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(settings(format="json"), "scoring", worker=2)
    handlers = logging.getLogger().handlers  # pytest's would send the half of a pair on, which xdist cannot
    handlers[:] = [each for each in handlers if not type(each).__module__.startswith("_pytest")]
    with tracing.within(GIVEN, use_case="u"):
        LOG.info("two\nlines, %s", "\ud800é", extra={"prediction_id": "p", "unknown": "left out"})
    (line,) = lines(capsys.readouterr().err)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "mlplatform.tested",
        "message": "two\nlines, \ud800é",
        "process": os.getpid(),
        "service": "scoring",
        "worker": 2,
        "use_case": "u",
        "prediction_id": "p",
        "traceparent": GIVEN,
    }


@pytest.mark.usefixtures("root")
def test_an_exception_stays_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(settings(format="json"), "scoring")
    try:
        raise ValueError("a reason")
    except ValueError:
        LOG.exception("it failed")
    sys.excepthook(KeyError, KeyError("k"), None)
    caught, uncaught = lines(capsys.readouterr().err)
    assert caught["exception"].endswith("ValueError: a reason")
    assert (uncaught["level"], uncaught["logger"]) == ("critical", "mlplatform")


@pytest.mark.usefixtures("root")
def test_text_for_a_person_tells_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(settings(), "scoring")
    with tracing.within(GIVEN):
        LOG.warning("a word", extra={"prediction_id": "p"})
    said = capsys.readouterr().err
    assert said.endswith(f"WARNING mlplatform.tested: a word prediction_id=p traceparent={GIVEN}\n")


@pytest.mark.usefixtures("root")
def test_the_level_is_that_of_the_platform_and_set_up_again_nothing_is_told_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(2):
        logs.set_up(settings(format="json", level="debug"), "scoring")
    LOG.debug("ours")
    logging.getLogger("a.library").info("theirs")
    logging.getLogger("a.library").warning("theirs, and worth a word")
    assert [line["message"] for line in lines(capsys.readouterr().err)] == [
        "ours",
        "theirs, and worth a word",
    ]
    logs.set_up(settings(format="json", level="error"), "scoring")
    LOG.warning("too little")
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("root")
def test_why_a_process_ends(capsys: pytest.CaptureFixture[str]) -> None:
    error = ServiceError("the port is taken.", hint="Choose another.")
    logs.set_up(settings(), "scoring")
    logs.complain(error)
    assert capsys.readouterr().err == "the port is taken.\nChoose another.\n"
    logs.set_up(settings(format="json"), "scoring")
    logs.complain(error)
    (line,) = lines(capsys.readouterr().err)
    assert (line["level"], line["message"]) == ("critical", "the port is taken. Choose another.")


@pytest.mark.parametrize("wrong", [{"format": "yaml"}, {"level": "loud"}])
def test_other_words_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="allowed: ") as raised:
        settings(**wrong)
    assert raised.value.hint


def test_every_word_of_a_process_is_a_line_of_json(tmp_path: Path) -> None:
    chosen = {
        "MLPLATFORM_HOME": str(tmp_path),
        "MLPLATFORM_LOG_FORMAT": "json",
        "MLPLATFORM_BROKER_URL": "nats://127.0.0.1:1",
        "MLPLATFORM_INGESTION_PORT": str(free_port()),
    }
    command = [sys.executable, "-m", "mlplatform.online.ingestion_server", "u:s"]
    ended = subprocess.run(command, env={**os.environ, **chosen}, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = lines(ended.stderr)
    assert (line["level"], line["service"]) == ("critical", "ingestion")
    assert "No broker answers" in line["message"]
