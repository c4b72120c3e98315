"""`mlplatform run` on a small use case, what the other commands then say, and their one JSON object."""

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.stores.lake import Lake
from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Zygote

ORDERS = world.DAYS * world.ORDERS_A_DAY
STEPS = [
    ("registers", 2),
    ("daily data and features", 3),
    ("training, evaluation, deployment", 10),
    ("batch scores", 1),
    ("monitoring", 2),
]


def lake_of(home: Path) -> Lake:
    return Lake.from_settings(Settings.load({"MLPLATFORM_HOME": str(home)}))


class TestFirstRun:
    def test_says_one_json_object_and_its_progress_elsewhere(self, finished: Finished) -> None:
        said = finished.first_run
        assert said.returncode == 0, said.stderr
        result = world.one_object(said.stdout)
        assert [(step["title"], step["assets_materialised"]) for step in result["steps"]] == STEPS
        for title, _ in STEPS:
            assert title in said.stderr
        assert "Traceback" not in said.stderr

    def test_materialises_every_table(self, finished: Finished) -> None:
        result = world.one_object(finished.first_run.stdout)
        rows, partitions = result["rows"], result["partitions"]
        assert {rows[name] for name in ("raw_orders", "orders", "features")} == {ORDERS}
        assert rows["warehouses"] == len(world.WAREHOUSES)
        assert rows["scores"] == 22 * world.ORDERS_A_DAY
        assert partitions["features"] == world.DAYS
        assert partitions["scores"] == 22
        assert {partitions[f"candidate_{name}"] for name in world.MODELS} == {1}
        expected = {"raw_orders", "raw_warehouses", "orders", "warehouses", "features", "split"}
        expected |= {"champion", "package"}
        expected |= {f"{kind}_{name}" for kind in ("candidate", "evaluation") for name in world.MODELS}
        expected |= {"batches", "quarantine", "split_declaration", "feature_declarations"}
        expected |= {
            f"{kind}_{name}" for kind in ("condition", "repairs") for name in ("orders", "warehouses")
        }
        assert set(rows) == expected | {"scores", "drift_report", "performance"}
        assert (rows["batches"], rows["quarantine"]) == (world.DAYS + 1, 0)

    def test_chooses_a_champion_that_knows_something(self, finished: Finished) -> None:
        result = world.one_object(finished.first_run.stdout)
        champion, models = result["champion"], result["models"]
        assert (champion["model"], champion["version"]) == ("logistic_regression", 1)
        assert champion["digest"] == models["logistic_regression"]["digest"]
        assert result["metrics"]["log_loss"] < models["rate_table"]["log_loss"] - 0.02
        assert result["metrics"]["roc_auc"] > 0.7

    def test_the_champion_scored_every_later_order(self, finished: Finished) -> None:
        champion = world.one_object(finished.first_run.stdout)["champion"]
        tables = world.tables(finished.home)
        scores, orders = tables["scores"], tables["orders"]
        later = orders.filter(pl.col("partition_key") >= "2025-04-08")
        assert scores["order_id"].sort().to_list() == later["order_id"].sort().to_list()
        assert scores.select("model", "version", "digest").unique().row(0) == (
            champion["model"],
            champion["version"],
            champion["digest"],
        )
        assert scores["score"].is_between(0, 1).all()
        assert (scores["class"] == (scores["score"] >= 0.5)).all()

    def test_orders_whose_outcome_is_open_take_no_part(self, finished: Finished) -> None:
        tables = world.tables(finished.home)
        still_open = tables["orders"].filter(pl.col("late").is_null()).height
        assert still_open > 50
        assert tables["split"].height == ORDERS - still_open
        assert tables["split"]["label"].null_count() == 0


class TestSecondRun:
    def test_materialises_nothing_and_changes_nothing(self, finished: Finished, mlplatform: Zygote) -> None:
        snapshots = "SELECT max(snapshot_id) AS n FROM ducklake_snapshots('lake')"
        before = world.tables(finished.home)
        with closing(lake_of(finished.home)) as lake:
            writes = lake.sql(snapshots)["n"][0]
        again = mlplatform.run("run", world.NAME, "--json", home=finished.home, cwd=finished.project)
        assert again.returncode == 0, again.stderr
        result, first = world.one_object(again.stdout), world.one_object(finished.first_run.stdout)
        assert [step["assets_materialised"] for step in result["steps"]] == [0] * len(STEPS)
        for key in ("champion", "metrics", "models", "partitions", "rows"):
            assert result[key] == first[key]
        world.assert_same_tables(world.tables(finished.home), before)
        with closing(lake_of(finished.home)) as lake:
            assert lake.sql(snapshots)["n"][0] == writes

    def test_speaks_to_people_without_json(self, finished: Finished, mlplatform: Zygote) -> None:
        said = mlplatform.run("run", world.NAME, home=finished.home, cwd=finished.folder.parent)
        assert said.returncode == 0
        for text in ("3,600", "logistic_regression version 1", "Test figures", "batch scores", "reports"):
            assert text in said.stdout, said.stdout


class TestJson:
    """Standard output is one JSON object and nothing else, also where there is nothing yet."""

    def test_status(self, finished: Finished, mlplatform: Zygote) -> None:
        said = mlplatform.run("status", "--json", home=finished.home, cwd=finished.project)
        assert (said.returncode, said.stderr) == (0, "")
        told = world.one_object(said.stdout)
        assert told["home"] == str(finished.home)
        assert set(told["services"]) == {"ui", "scoring", "ingestion", "broker"}
        assert set(told["use_cases"]) == {*project.use_cases(project.BUILT_IN), world.NAME}
        mine, first = told["use_cases"][world.NAME], world.one_object(finished.first_run.stdout)
        assert {"model", "version", "digest"} <= set(mine["champion"])
        assert {"roc_auc", "log_loss", "brier"} <= set(mine["metrics"])
        for key in ("champion", "metrics", "partitions", "rows"):
            assert mine[key] == first[key]
        assert told["use_cases"]["flight_delay"]["champion"] is None
        assert told["health"]["state"] == "problem"  # no service runs
        states = {part["name"]: part["state"] for part in told["health"]["parts"]}
        assert (states["scoring"], states["runs"], states["webhooks"]) == ("problem", "ok", "ok")

    def test_status_that_checks(self, tmp_path: Path, mlplatform: Zygote) -> None:
        said = mlplatform.run("status", "--check", home=tmp_path / "home", cwd=tmp_path)
        assert (said.returncode, said.stderr) == (1, "")
        assert " problem  Dagster daemons  never ran here" in said.stdout

    def test_status_of_nothing(self, tmp_path: Path, mlplatform: Zygote) -> None:
        said = mlplatform.run("status", "--json", home=tmp_path / "home", cwd=tmp_path)
        assert (said.returncode, said.stderr) == (0, "")
        told = world.one_object(said.stdout)["use_cases"]["flight_delay"]
        assert (told["champion"], told["metrics"], told["rows"]) == (None, {}, {})
        assert not (tmp_path / "home").exists()

    def test_status_of_a_wrong_declaration(
        self, late_orders: Path, tmp_path: Path, mlplatform: Zygote
    ) -> None:
        world.edit(late_orders / "defs.yaml", "title: Late", "titel: Late")
        said = mlplatform.run("status", "--json", home=tmp_path / "home", cwd=late_orders.parent)
        assert (said.returncode, said.stderr) == (0, "")
        told = world.one_object(said.stdout)["use_cases"][world.NAME]
        assert "defs.yaml:4: title: is missing" in told["problem"]

    def test_sql(self, finished: Finished, mlplatform: Zygote) -> None:
        query = (
            "SELECT warehouse, count(*) AS n, min(placed) AS first "
            "FROM late_orders.orders GROUP BY 1 ORDER BY 1"
        )
        said = mlplatform.run("sql", query, "--json", home=finished.home, cwd=finished.project)
        assert (said.returncode, said.stderr) == (0, "")
        told = world.one_object(said.stdout)
        assert (told["columns"], told["row_count"]) == (["warehouse", "n", "first"], 3)
        assert [row[0] for row in told["rows"]] == sorted(world.WAREHOUSES)
        assert sum(row[1] for row in told["rows"]) == ORDERS
        assert told["rows"][0][2].startswith("2025-03-01 0")

    def test_sql_of_values_json_has_no_word_for(self, finished: Finished, mlplatform: Zygote) -> None:
        query = (
            "SELECT 'nan'::DOUBLE AS a, 'inf'::DOUBLE AS b, NULL AS c, DATE '2025-03-01' AS d,"
            " 1.5::DECIMAL(9,2) AS e, [1, 2] AS g, {'h': 1} AS h, 'a'::BLOB AS i"
        )
        said = mlplatform.run("sql", query, "--json", home=finished.home, cwd=finished.project)
        assert said.returncode == 0, said.stderr
        json.loads(said.stdout, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))

    def test_validate(self, late_orders: Path, tmp_path: Path, mlplatform: Zygote) -> None:
        said = mlplatform.run("validate", "--json", home=tmp_path / "home", cwd=late_orders.parent)
        assert (said.returncode, said.stderr) == (0, "")
        told = world.one_object(said.stdout)
        names = sorted([*project.use_cases(project.BUILT_IN), world.NAME])
        assert sorted(told.pop("serving")) == names
        assert told == {"valid": True, "use_cases": names, "problems": []}
        world.edit(late_orders / "defs.yaml", "title: Late", "titel: Late")
        said = mlplatform.run(
            "validate", world.NAME, "--json", home=tmp_path / "home", cwd=late_orders.parent
        )
        assert (said.returncode, said.stderr) == (1, "")
        told = world.one_object(said.stdout)
        assert told["valid"] is False
        assert [(p["key"], p["line"]) for p in told["problems"]] == [("title", 4), ("titel", 5)]
        assert all(p["file"] == str(late_orders / "defs.yaml") and p["hint"] for p in told["problems"])


def test_the_installed_command_is_this_one(late_orders: Path, tmp_path: Path) -> None:
    """The console script in a process of its own, as everybody starts it."""
    said = world.cli("validate", world.NAME, home=tmp_path / "home", cwd=late_orders.parent)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("late_orders: valid\n")


@pytest.mark.slow
def test_the_declared_example_is_scored_by_a_service_started_for_it(
    late_orders: Path, tmp_path: Path
) -> None:
    world.edit(
        late_orders / "defs.yaml",
        "  champion:\n",
        "  example: { order_id: 99999, warehouse: HAM, weight_g: 900, express: true,\n"
        '    placed: "2025-04-29T10:00:00Z", promised: "2025-05-01T10:00:00Z" }\n  champion:\n',
    )
    said = world.cli("run", world.NAME, "--json", home=tmp_path / "home", cwd=late_orders.parent)
    assert said.returncode == 0, said.stderr
    result = world.one_object(said.stdout)
    assert 0 < result["answer"]["score"] < 1
    assert result["answer"]["prediction_id"]
    assert result["steps"][-1]["title"] == "one online score"


@pytest.mark.slow
def test_reports_for_people_are_written_when_they_are_declared(late_orders: Path, tmp_path: Path) -> None:
    world.edit(
        late_orders / "defs.yaml", "  champion:\n", "  drift: { report: [weight, warehouse] }\n  champion:\n"
    )
    said = world.cli("run", world.NAME, "--json", home=tmp_path / "home", cwd=late_orders.parent)
    assert said.returncode == 0, said.stderr
    reports = Path(world.one_object(said.stdout)["places"]["reports"])
    names = ["drift-2025-04-08-to-2025-04-18", "drift-2025-04-19-to-2025-04-29"]
    kinds = (".json", ".snapshot.gz")
    assert sorted(file.name for file in reports.iterdir()) == [f"{n}{kind}" for n in names for kind in kinds]
    told = json.loads((reports / f"{names[0]}.json").read_text())
    assert (told["first"], told["last"], len(told["figures"])) == ("2025-04-08", "2025-04-18", 11)
    columns = {metric["config"].get("column") for metric in told["evidently"]["metrics"]}
    assert columns >= {"weight", "warehouse"}
    page, snapshot = tmp_path / "page.html", reports / f"{names[0]}.snapshot.gz"
    making = [sys.executable, "-m", "mlplatform.online.report_page", str(snapshot), str(page)]
    subprocess.run(making, check=True, timeout=300)
    assert "<html" in page.read_text()[:2000].lower()
