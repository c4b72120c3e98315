"""`mlplatform features`: every declared feature with its type, with a lake and without one."""

from pathlib import Path
from typing import Any

from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Zygote

TYPES = {
    "warehouse": ("Category", "string"),
    "weight": ("Row", "int"),
    "weekday": ("Row", "int"),
    "minutes_promised": ("Row", "int"),
    "packers_by_warehouse": ("Static", "int"),
    "orders_count_1d_by_warehouse": ("Agg", "int"),
    "hours_to_ship_mean_1d_by_warehouse": ("Agg", "float"),
    "late_mean_3d_by_warehouse": ("Agg", "float"),
    "late_mean_7d_by_warehouse": ("Agg", "float"),
    "days_late_last_by_warehouse": ("Last", "int"),
    "orders_open_count_4d_after_1d_by_warehouse": ("Open", "int"),
}
FROM_TABLES = {"packers_by_warehouse", "days_late_last_by_warehouse"}


def listed(mlplatform: Zygote, home: Path, project: Path) -> dict[str, Any]:
    said = mlplatform.run("features", world.NAME, "--json", home=home, cwd=project)
    assert (said.returncode, said.stderr) == (0, "")
    return world.one_object(said.stdout)


def test_with_tables(finished: Finished, mlplatform: Zygote) -> None:
    told = listed(mlplatform, finished.home, finished.project)
    assert told["use_case"] == world.NAME
    assert told["feature_set"].startswith("late_orders@")
    assert {row["name"]: (row["kind"], row["type"]) for row in told["features"]} == TYPES
    assert not any(row["step"] for row in told["features"])
    definitions = {row["name"]: row["definition"] for row in told["features"]}
    assert definitions["late_mean_3d_by_warehouse"] == (
        "mean of late over the last 3d of deliveries, by warehouse"
    )


def test_before_there_are_tables(late_orders: Path, tmp_path: Path, mlplatform: Zygote) -> None:
    home = tmp_path / "home"
    told = listed(mlplatform, home, late_orders.parent)
    expected = {name: "unknown" if name in FROM_TABLES else kind for name, (_, kind) in TYPES.items()}
    assert {row["name"]: row["type"] for row in told["features"]} == expected
    assert not home.exists()


def test_for_people_and_with_a_step(late_orders: Path, tmp_path: Path, mlplatform: Zygote) -> None:
    world.edit(late_orders / "features.py", 'Row("weight",', 'Row("_weight",')
    said = mlplatform.run("features", world.NAME, home=tmp_path / "home", cwd=late_orders.parent)
    assert said.returncode == 0, said.stderr
    assert "10 features, 1 steps for others" in said.stdout
    told = listed(mlplatform, tmp_path / "home", late_orders.parent)
    assert [row["name"] for row in told["features"] if row["step"]] == ["_weight"]
