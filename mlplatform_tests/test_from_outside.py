"""The component works from outside: a Dagster project of its own, in its own folder, uses the package."""

import re
import sys
from pathlib import Path

import pytest

from mlplatform.offline.assets._package import CHECKS
from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world

PYPROJECT = """\
[project]
name = "shop"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["mlplatform"]

[tool.dagster]
module_name = "shop.definitions"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "shop"
"""
DEFINITIONS = """\
from dagster.components import load_defs

import shop.defs

defs = load_defs(shop.defs)
"""
MATERIALISE = """\
# What a person clicks in the Dagster UI: every asset, each over all its partitions, in five runs.
import json
import sys
from datetime import date, timedelta

from dagster import AssetSelection, DagsterInstance

from shop.definitions import defs


def days(first, last):
    return [str(first + timedelta(days=n)) for n in range((last - first).days + 1)]


def groups(*names):
    return AssetSelection.groups(*(f"late_orders_{name}" for name in names))


daily = days(date(2025, 3, 1), date(2025, 4, 29))
static = AssetSelection.keys("late_orders/raw_warehouses", "late_orders/warehouses")
runs = [
    (static, None),
    (groups("ingestion", "preparation") - static, daily),
    (groups("segregation", "training", "evaluation", "deployment"), ["2025-04-08"]),
    (groups("scoring"), [day for day in daily if day >= "2025-04-08"]),
    (groups("monitoring"), ["2025-04-01"]),
]
told = {"materialised": [], "checks": {}}
with DagsterInstance.ephemeral() as instance:
    for selection, partitions in runs:
        tags, one = {}, None
        if partitions and len(partitions) == 1:
            (one,) = partitions
        elif partitions:
            tags["dagster/asset_partition_range_start"] = partitions[0]
            tags["dagster/asset_partition_range_end"] = partitions[-1]
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=list(selection.resolve(defs.resolve_asset_graph())),
            partition_key=one,
            tags=tags,
        )
        events = result.get_asset_materialization_events()
        told["materialised"] += [event.asset_key.path[-1] for event in events]
        for check in result.get_asset_check_evaluations():
            told["checks"][check.check_name] = check.passed
told["materialised"] = sorted(set(told["materialised"]))
json.dump(told, sys.stdout)
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The other project; it knows nothing of this repository but the installed package."""
    project = tmp_path / "shop-project"
    defs = project / "shop" / "defs"
    world.make_use_case(defs)
    (project / "pyproject.toml").write_text(PYPROJECT)
    (project / "shop" / "__init__.py").touch()
    (defs / "__init__.py").touch()
    (project / "shop" / "definitions.py").write_text(DEFINITIONS)
    (project / "materialise.py").write_text(MATERIALISE)
    return project


@pytest.mark.slow
def test_its_whole_graph_materialises_to_the_tables_of_a_run(shop: Path, finished: Finished) -> None:
    home = shop / "home"
    said = world.process([sys.executable, "-W", "ignore", "materialise.py"], home=home, cwd=shop)
    assert said.returncode == 0, said.stderr[-3000:]
    told = world.one_object(said.stdout)
    first = world.one_object(finished.first_run.stdout)
    beside = re.compile(
        r"batches|quarantine|split_declaration|feature_declarations|condition_.*|repairs_.*"
    )  # tables that are no assets
    tables = {name for name in first["rows"] if not beside.fullmatch(name)}
    assert told["materialised"] == sorted({*tables, "release"})
    checks = ("contract", "condition", "no_leakage", "better_than_rate_table", "served_parity", *CHECKS)
    assert told["checks"] == dict.fromkeys(checks, True)
    world.assert_same_tables(world.tables(home), world.tables(finished.home))
    status = world.cli("status", "--json", home=home, cwd=shop)
    champion = world.one_object(status.stdout)["use_cases"][world.NAME]["champion"]
    assert {champion[key] for key in ("model", "version", "digest")} == {
        first["champion"][key] for key in ("model", "version", "digest")
    }


@pytest.mark.slow
def test_dagster_itself_finds_and_accepts_it(shop: Path) -> None:
    said = world.process(
        [sys.executable, "-m", "dagster", "definitions", "validate"], home=shop / "home", cwd=shop
    )
    assert said.returncode == 0, said.stderr
    assert "Validation successful for code location shop" in said.stdout + said.stderr


@pytest.mark.slow
def test_a_wrong_key_is_told_by_dagster_with_its_line(shop: Path) -> None:
    world.edit(shop / "shop" / "defs" / world.NAME / "defs.yaml", "title: Late", "titel: Late")
    said = world.process([sys.executable, "-c", "import shop.definitions"], home=shop / "home", cwd=shop)
    assert said.returncode != 0
    assert "defs.yaml:5" in said.stderr
    assert "titel" in said.stderr
