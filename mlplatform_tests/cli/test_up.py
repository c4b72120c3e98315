"""`mlplatform up`: it becomes usable, it ends without a trace, and it says what is in its way."""

import json
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from mlplatform.crosscutting.bus import open_bus
from mlplatform.crosscutting.bus.topics import RAW_DATA_EXTRACTED, RawDataExtracted
from mlplatform.crosscutting.settings import Settings
from mlplatform.stores.lake import Lake, Table
from mlplatform_tests.cli.platform_up import PlatformUp, alive, wait_until
from mlplatform_tests.small.zygote import Ended, Zygote

DAY = "2013-05-05"


@pytest.fixture
def up(tmp_path: Path) -> Iterator[PlatformUp]:
    with PlatformUp(tmp_path) as running:
        yield running


def test_everything_answers_and_ctrl_c_ends_everything(up: PlatformUp) -> None:
    graph = httpx.post(f"{up.ui}/graphql", json={"query": "{ assetNodes { groupName } }"}, timeout=60)
    groups = {node["groupName"] for node in graph.json()["data"]["assetNodes"]}
    assert {"flight_delay_ingestion", "flight_delay_monitoring"} <= groups
    assert httpx.get(f"{up.scoring}/docs").is_success
    assert httpx.get(f"{up.scoring}/v2/health/live").is_success
    with closing(open_bus(up.broker)) as bus:
        assert bus.last(RAW_DATA_EXTRACTED) == 0
    assert up.ui in up.out.read_text()
    assert up.scoring in up.out.read_text()

    # Dagster's retries of runs say so at their very first start, when there is nothing older.
    logs = "\n".join(line for line in up.logs().splitlines() if "No cursor for event type" not in line)
    assert not re.search("Traceback|error|warning", logs, re.I)

    started = up.processes()
    assert len(started) >= 5
    assert up.end(signal.SIGINT) == 0
    assert alive(started) == []
    said = up.err.read_text().splitlines()
    assert [line for line in said if "stopped" in line] == [
        "scoring: stopped",
        "batch scoring: stopped",
        "preparation: stopped",
        "dagster: stopped",
        "ingestion: stopped",
        "broker: stopped",
    ]
    # Dagster's daemon and code server end at the same moment: a sensor just asking logs that it got no
    # answer. Until then its log was as clean as the others.
    assert "Traceback" not in up.logs(but="dagster")


@pytest.mark.slow
def test_an_announced_day_reaches_the_lake_and_comes_back_as_a_message(up: PlatformUp) -> None:
    announced(up, "airports")
    announced(up, "flights", DAY)
    announced(up, "flights", "2013-05-06")
    airports, first, second = extracted(up, 3)
    assert (airports.data_set, airports.rows) == ("airports", 1458)
    assert [(first.partition, first.rows), (second.partition, second.rows)] == [
        (DAY, 912),
        ("2013-05-06", 980),
    ]
    settings = Settings.load({"MLPLATFORM_HOME": str(up.home)})
    with closing(Lake.from_settings(settings)) as lake:
        raw = lake.read(Table("flight_delay", "raw_flights"), partitions=[DAY])
        cleaned = lake.read(Table("flight_delay", "flights"), partitions=[DAY])
    assert raw["batch_id"].unique().to_list() == [first.batch_id]
    assert raw.height == cleaned.height == 912


def test_a_taken_port_is_one_error_with_a_hint_and_nothing_starts(tmp_path: Path, mlplatform: Zygote) -> None:
    platform = PlatformUp(tmp_path)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", int(platform.environment["MLPLATFORM_SCORING_PORT"])))
        holder.listen()
        ended = forked(mlplatform, platform, "up")
    assert ended.returncode == 1
    assert ended.stdout == ""
    error, hint = ended.stderr.splitlines()
    assert error.startswith("error: scoring: port ")
    assert "is taken" in error
    assert "MLPLATFORM_SCORING_PORT" in hint
    assert list(platform.home.glob("**/*.log")) == []


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("MLPLATFORM_HOME", "/dev/null/home", "MLPLATFORM_HOME"),
        ("MLPLATFORM_BROKER_URL", "kafka://127.0.0.1", "MLPLATFORM_BROKER_URL"),
        ("MLPLATFORM_BROKER_URL", "tls://127.0.0.1:1", "MLPLATFORM_BROKER_URL"),
        ("MLPLATFORM_UI_PORT", "http", "free port"),
    ],
)
def test_a_wrong_setting_is_one_error_with_a_hint(
    tmp_path: Path, setting: str, value: str, said: str, mlplatform: Zygote
) -> None:
    platform = PlatformUp(tmp_path)
    platform.environment[setting] = value
    ended = forked(mlplatform, platform, "up")
    assert (ended.returncode, ended.stdout) == (1, "")
    error, hint = ended.stderr.splitlines()
    assert error.startswith("error: ")
    assert said in hint


def test_announcing_what_cannot_be_is_wrong_use(tmp_path: Path, mlplatform: Zygote) -> None:
    platform = PlatformUp(tmp_path)
    for arguments, allowed in (
        (("nothing", DAY), "flights, weather, planes"),
        (("flights", "2014-01-01"), "2013-12-31"),
        (("flights",), "2013-01-01"),
    ):
        ended = forked(mlplatform, platform, "announce", "flight_delay", *arguments)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert allowed in " ".join(ended.stderr.replace("│", "").split())


def test_announcing_without_a_broker_says_how_to_get_one(tmp_path: Path, mlplatform: Zygote) -> None:
    words = ("announce", "flight_delay", "flights", DAY, "--json")
    ended = forked(mlplatform, PlatformUp(tmp_path), *words)
    assert (ended.returncode, ended.stdout) == (1, "")
    error, hint = ended.stderr.splitlines()
    assert error.startswith("error: No broker answers")
    assert "mlplatform up" in hint


def forked(mlplatform: Zygote, platform: PlatformUp, *arguments: str) -> Ended:
    """A command of a platform that does not run: without the seconds that a new process imports."""
    told = {name: value for name, value in platform.environment.items() if name.startswith("MLPLATFORM_")}
    home = Path(told.pop("MLPLATFORM_HOME"))
    return mlplatform.run(*arguments, home=home, cwd=platform.folder, **told)


def announced(up: PlatformUp, *arguments: str) -> None:
    """Announce data and wait until it is extracted, so that the messages come in a known order."""
    with closing(open_bus(up.broker)) as bus:
        before = len(bus.read(RAW_DATA_EXTRACTED, 0, 100))
    ended = up.cli("announce", "flight_delay", *arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert (said["topic"], said["data_set"]) == ("source-data-available", arguments[0])
    extracted(up, before + 1)


def extracted(up: PlatformUp, count: int) -> list[RawDataExtracted]:
    """The messages `raw-data-extracted`, as soon as there are that many."""
    with closing(open_bus(up.broker)) as bus:
        wait_until(lambda: len(bus.read(RAW_DATA_EXTRACTED, 0, 100)) >= count, 180, up.logs)
        return [message.envelope.data for message in bus.read(RAW_DATA_EXTRACTED, 0, 100)]
