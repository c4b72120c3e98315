"""`mlplatform replay` of one real day to a real broker and to the service, and the pace of it."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.ingestion import day_tables, running, service
from mlplatform.cli.replay import Timed, batches
from mlplatform.crosscutting.bus import open_bus
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.online.events import Incoming
from mlplatform.stores.lake import Lake
from mlplatform_tests.crosscutting.brokers import Broker, free_port
from mlplatform_tests.small.zygote import Zygote

DAY = "2013-02-08"
COUNTS = {"schedule": 930, "weather": 72, "departure": 458, "cancellation": 472}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose lake has the cleaned tables of one day."""
    home = tmp_path_factory.mktemp("replay") / "home"
    declared = project.load(project.find("flight_delay", Path.cwd()))
    with closing(Lake.from_settings(Settings.load({"MLPLATFORM_HOME": str(home)}))) as lake:
        for name, rows in day_tables(declared, DAY).items():
            daily = declared.config.data_sets[name].daily
            lake.write(declared.table(name), rows, [DAY] if daily else None)
    return home


@pytest.fixture(scope="module")
def broker(home: Path) -> Iterator[Broker]:
    with Broker(home) as broker:
        yield broker


def test_a_day_by_the_bus_and_then_by_http(home: Path, broker: Broker, mlplatform: Zygote) -> None:
    words = ["replay", "flight_delay", "--from", DAY, "--json"]
    said = mlplatform.run(*words, home=home, cwd=home, MLPLATFORM_BROKER_URL=broker.url)
    assert said.returncode == 0, said.stderr
    result = json.loads(said.stdout)
    assert {**result["events"], "arrival": None} == {**COUNTS, "arrival": None}
    assert result["total"] == result["new"] == sum(result["events"].values())
    with closing(open_bus(broker.url)) as bus:
        stored = bus.read(SOURCE_EVENT, 0, 10_000)
        times = [received.envelope.time for received in stored]
        assert len(times) == result["total"]
        assert times == sorted(times)
        port = free_port()
        settings = Settings.load(
            {
                "MLPLATFORM_HOME": str(home),
                "MLPLATFORM_BROKER_URL": broker.url,
                "MLPLATFORM_INGESTION_PORT": str(port),
            }
        )
        with running([service(settings)]):
            again = mlplatform.run(
                *[*words, "--via", "http"], home=home, cwd=home, MLPLATFORM_INGESTION_PORT=str(port)
            )
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout)["events"] == result["events"]
        assert bus.last(SOURCE_EVENT) == stored[-1].sequence, "the same events were stored twice"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--from", "2012-01-01"], 2, "got day '2012-01-01'; allowed: 2013-01-01 to 2013-12-31"),
        (["--from", "2013-02-08", "--to", "2013-02-07"], 2, "--to 2013-02-07 is before --from 2013-02-08"),
        (["--speed", "fast"], 2, "got speed 'fast'; allowed: max, or a number above 0"),
        (["--from", "2013-02-09"], 1, "the cleaned tables have no rows of 2013-02-09 to 2013-02-09"),
        (["--from", DAY, "--via", "http"], 1, "no ingestion service answers"),
    ],
)
def test_what_goes_wrong(words: list[str], code: int, said: str, home: Path, mlplatform: Zygote) -> None:
    port = str(free_port())
    ended = mlplatform.run(
        "replay", "flight_delay", *words, home=home, cwd=home, MLPLATFORM_INGESTION_PORT=port
    )
    assert (ended.returncode, ended.stdout) == (code, ""), ended.stderr
    assert "Traceback" not in ended.stderr
    assert said in " ".join(ended.stderr.replace("│", " ").split())


def test_without_a_lake_it_says_how_to_make_one(tmp_path: Path, mlplatform: Zygote) -> None:
    ended = mlplatform.run("replay", "flight_delay", home=tmp_path / "home", cwd=tmp_path)
    assert ended.returncode == 1
    assert "`mlplatform run flight_delay` makes them" in " ".join(ended.stderr.split())


def timed(second: float) -> Timed:
    at = datetime(2013, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    return Timed("s", "k", Incoming(str(second), at, None, b"{}"))


def test_the_pace_is_that_of_the_events() -> None:
    now, slept = 100.0, list[float]()

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    events = [timed(second) for second in (0, 0, 60, 60, 61)]
    sent = [
        ([each.event.id for each in batch], now)
        for batch in batches(events, 60, now=lambda: now, sleep=sleep)
    ]
    assert [ids for ids, _ in sent] == [["0", "0"], ["60", "60"], ["61"]]
    assert [at for _, at in sent] == pytest.approx([100, 101, 101 + 1 / 60])
    assert sum(slept) == pytest.approx(61 / 60)


def test_at_full_speed_batches_are_bounded() -> None:
    sizes = [len(batch) for batch in batches([timed(second) for second in range(2500)], None)]
    assert sizes == [1000, 1000, 500]
