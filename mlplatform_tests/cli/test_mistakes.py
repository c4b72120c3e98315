"""What goes wrong gets one error with a hint and no traceback; exit code 1, or 2 for wrong use."""

import fcntl
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.stores.lake import Lake, Table
from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Ended, Zygote


def the_error(said: Ended, code: int = 1) -> str:
    """The one error on standard error; nothing is on standard output."""
    assert said.returncode == code, said.stderr
    assert said.stdout == ""
    assert "Traceback" not in said.stderr
    assert said.stderr.count("error: ") == 1, said.stderr
    assert said.stderr.count("hint:  ") == 1, said.stderr
    return said.stderr[said.stderr.index("error: ") :]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "Missing argument 'USE_CASE'"),
        (["walk"], "No such command 'walk'"),
        (["run", world.NAME, "--jason"], "No such option: --jason"),
        (["sql", "SELECT 1", "--limit", "0"], "should be greater than or equal to 1"),
        (["sql", "SELECT 1", "--limit", "many"], "should be a valid integer"),
        (["serve", "--port", "65536"], "should be less than or equal to 65535"),
        (["score", world.NAME, "colour=red"], "got 'colour=red'; allowed: name=value with a name out of"),
        (["score", world.NAME, "weight_g=heavy"], "is not of type int"),
        (["score", world.NAME, "{no json"], "not JSON"),
    ],
)
def test_wrong_use(words: list[str], said: str, finished: Finished, mlplatform: Zygote) -> None:
    ended = mlplatform.run(*words, home=finished.home, cwd=finished.project)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Traceback" not in ended.stderr
    assert said in " ".join(ended.stderr.replace("│", " ").split())


@pytest.mark.parametrize("command", ["run", "score", "validate"])
def test_an_unknown_use_case_is_wrong_use(command: str, late_orders: Path, mlplatform: Zygote) -> None:
    said = mlplatform.run(command, "late_order", home=late_orders / "home", cwd=late_orders.parent)
    known = ", ".join(sorted([*project.use_cases(project.BUILT_IN), "late_orders"]))
    assert f"there is no use case 'late_order'; there are: {known}." in the_error(said, 2)
    assert "Did you mean 'late_orders'?" in said.stderr


class TestDeclaration:
    @pytest.mark.parametrize(
        ("file", "old", "new", "said"),
        [
            ("defs.yaml", "threshold: 0.5", "threshold: half", "defs.yaml:29: label.threshold: got 'half'"),
            ("defs.yaml", "max_iter:", "max_itre:", "models.logistic_regression.params: logistic_regr"),
            ("features.py", "DAYS_OF_GRACE = 0", "DAYS_OF_GRACE = (", "features.py:8: SyntaxError"),
        ],
    )
    def test_a_mistake_stops_a_run_before_anything_is_done(
        self, file: str, old: str, new: str, said: str, late_orders: Path, mlplatform: Zygote
    ) -> None:
        world.edit(late_orders / file, old, new)
        home = late_orders / "home"
        ended = mlplatform.run("run", world.NAME, home=home, cwd=late_orders.parent)
        assert said in the_error(ended)
        assert not home.exists()

    def test_validate_names_every_mistake_with_its_line(self, late_orders: Path, mlplatform: Zygote) -> None:
        world.edit(late_orders / "defs.yaml", "title: Late", "titel: Late")
        ended = mlplatform.run("validate", home=late_orders / "home", cwd=late_orders.parent)
        sound = "".join(f"{name}: valid\n" for name in project.use_cases(project.BUILT_IN))
        assert (ended.returncode, ended.stdout) == (1, sound)
        lines = ended.stderr.splitlines()
        assert [line for line in lines if not line.startswith("  hint: ")] == [
            f"{late_orders}/defs.yaml:4: title: is missing",
            next(line for line in lines if line.startswith(f"{late_orders}/defs.yaml:5: titel: unknown key")),
        ]
        assert "  hint: Did you mean 'title'?" in lines


@pytest.fixture
def registered(late_orders: Path, mlplatform: Zygote) -> Path:
    """A use case whose warehouses are saved and whose orders are not there yet."""
    (late_orders / "data").rename(late_orders / "later")
    (late_orders / "data").mkdir()
    (late_orders / "later" / "warehouses.csv").rename(late_orders / "data" / "warehouses.csv")
    said = mlplatform.run("run", world.NAME, home=late_orders / "home", cwd=late_orders.parent)
    assert "no file matches 'data/orders-*.csv'" in the_error(said)
    for name in ("orders-1.csv", "orders-2.csv"):
        (late_orders / "later" / name).rename(late_orders / "data" / name)
    return late_orders


class TestData:
    def test_a_delivery_that_cannot_be_taken_is_named_and_loses_nothing(
        self, registered: Path, mlplatform: Zygote
    ) -> None:
        file, home = registered / "data" / "orders-2.csv", registered / "home"
        sound = file.read_text()
        for damage, said in [
            (sound.replace("warehouse,", "wharehouse,", 1), "(missing: warehouse; unexpected: wharehouse)"),
            (sound[:5000] + ",,,,,,,,,,,,\n" + sound[5000:], "refused, row-length: orders-2.csv: line "),
        ]:
            file.write_text(damage)
            ended = mlplatform.run("run", world.NAME, home=home, cwd=registered.parent)
            assert said in the_error(ended)
            assert "orders-2.csv" in ended.stderr
        lake = Lake.from_settings(Settings.load({"MLPLATFORM_HOME": str(home)}))
        with closing(lake):
            tables = set(lake.tables(world.NAME))
            assert {"batches", "quarantine", "raw_warehouses", "warehouses"} <= tables
            assert not [name for name in tables if name.endswith("orders")]
            assert lake.read(Table(world.NAME, "warehouses"))["packers"].sort().to_list() == [18, 40, 55]

    def test_days_with_too_many_wrong_rows_are_refused_and_the_others_are_there(
        self, registered: Path, mlplatform: Zygote
    ) -> None:
        file, home = registered / "data" / "orders-2.csv", registered / "home"
        file.write_text(file.read_text().replace(",HAM,", ",HAM,heavy"))
        said = the_error(mlplatform.run("run", world.NAME, home=home, cwd=registered.parent))
        assert "refused, too-many-rejected: " in said
        assert "type: weight_g is not Int64" in said
        with closing(Lake.from_settings(Settings.load({"MLPLATFORM_HOME": str(home)}))) as lake:
            first, second = "2025-03-01", "2025-03-31"
            assert lake.partitions(Table(world.NAME, "raw_orders"))[::29] == [first, "2025-03-30"]
            batches = lake.read(Table(world.NAME, "batches"))
            refused = batches.filter(status="refused")["partition"].sort()
            assert (refused.min(), refused.len()) == (second, world.DAYS // 2)
            quarantine = lake.read(Table(world.NAME, "quarantine"))
            assert set(quarantine["partition"]) == set(refused)
            assert set(quarantine["reason"]) == {"type: weight_g is not Int64"}


class TestPlaces:
    def test_a_home_that_cannot_be_made(self, late_orders: Path, tmp_path: Path, mlplatform: Zygote) -> None:
        file = tmp_path / "file"
        file.write_text("mine")
        ended = mlplatform.run("run", world.NAME, home=file / "home", cwd=late_orders.parent)
        said = the_error(ended)
        assert str(file) in said
        assert "Set MLPLATFORM_HOME to a folder you can write to." in said
        assert file.read_text() == "mine"

    def test_another_run_is_at_work(self, late_orders: Path, mlplatform: Zygote) -> None:
        home = late_orders / "home"
        home.mkdir()
        with (home / "run.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write("4711")
            file.flush()
            ended = mlplatform.run("run", world.NAME, home=home, cwd=late_orders.parent)
        assert "another `mlplatform run` (process 4711) is at work" in the_error(ended)

    def test_a_damaged_catalogue(self, late_orders: Path, mlplatform: Zygote) -> None:
        catalogue = late_orders / "home" / "lake" / "catalog.sqlite"
        catalogue.parent.mkdir(parents=True)
        catalogue.write_bytes(b"no database at all, " * 500)
        for words in (["sql", "SELECT 1"], ["run", world.NAME], ["status"]):
            ended = mlplatform.run(*words, home=late_orders / "home", cwd=late_orders.parent)
            assert "not a database" in the_error(ended)
        assert catalogue.read_bytes() == b"no database at all, " * 500

    def test_no_lake_yet(self, tmp_path: Path, mlplatform: Zygote) -> None:
        ended = mlplatform.run("sql", "SELECT 1", home=tmp_path / "home", cwd=tmp_path)
        assert "Run `mlplatform run` first" in the_error(ended)

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ("SELEC 1", "syntax error"),
            ("SELECT * FROM late_orders.order", "Table with name order does not exist"),
            ("DROP TABLE late_orders.orders", "SELECT"),
            (
                "SELECT max(shipped) - min(shipped) AS span FROM late_orders.orders",
                "span month_day_nano_interval",
            ),
        ],
    )
    def test_a_query_that_cannot_be_answered(
        self, query: str, said: str, finished: Finished, mlplatform: Zygote
    ) -> None:
        ended = mlplatform.run("sql", query, home=finished.home, cwd=finished.project)
        assert said in the_error(ended)

    def test_a_state_database_that_is_none(self, finished: Finished, mlplatform: Zygote) -> None:
        ended = mlplatform.run(
            "status", home=finished.home, cwd=finished.project, MLPLATFORM_STATE_URL="nonsense"
        )
        assert "cannot use the given URL for the champion history" in the_error(ended)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


class TestServices:
    def test_a_port_that_is_taken(self, taken: int, tmp_path: Path, mlplatform: Zygote) -> None:
        ended = mlplatform.run("serve", "--port", str(taken), home=tmp_path / "home", cwd=tmp_path)
        assert str(taken) in the_error(ended)

    def test_a_port_that_is_none(self, tmp_path: Path, mlplatform: Zygote) -> None:
        ended = mlplatform.run("status", home=tmp_path, cwd=tmp_path, MLPLATFORM_UI_PORT="http")
        assert "MLPLATFORM_UI_PORT is 'http'; a port is a whole number from 1 to 65535" in the_error(ended)

    def test_nothing_that_scores(self, taken: int, late_orders: Path, mlplatform: Zygote) -> None:
        free = str(taken + 1 if taken < 65535 else taken - 1)
        ended = mlplatform.run(
            *("score", world.NAME, "warehouse=HAM"),
            home=late_orders / "home",
            cwd=late_orders.parent,
            MLPLATFORM_SCORING_PORT=free,
        )
        assert f"nothing answers at http://127.0.0.1:{free}" in the_error(ended)

    def test_a_broker_that_is_down(self, finished: Finished, mlplatform: Zygote) -> None:
        """No run waits for the broker (the first one had none): the sensors publish from the event log."""
        down = {"MLPLATFORM_BROKER_URL": "nats://127.0.0.1:9"}
        told = mlplatform.run("status", "--json", home=finished.home, cwd=finished.project, **down)
        assert world.one_object(told.stdout)["services"]["broker"] == "not running"
        said = mlplatform.run(
            "announce", world.NAME, "orders", "2025-03-01", home=finished.home, cwd=finished.project, **down
        )
        assert "nats://127.0.0.1:9" in the_error(said)
