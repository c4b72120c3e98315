"""The condition of a data set in its cleaned asset: stored, shown, and a block that blocks."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
from dagster import AssetCheckSeverity, MarkdownMetadataValue

from mlplatform.offline import project
from mlplatform.offline.assets._shared import key
from mlplatform.stores.lake import Lake
from mlplatform_tests.offline.deployed import Platform
from mlplatform_tests.small.world import edit, make_use_case

RULES = """
      repairs:
        - { column: weight_g, above: 20000, to: limit }
        - { column: weight_g, fill: 500 }
      condition:
        - { column: weight_g, max_missing: LIMIT, severity: block }
        - { column: customer, max_outliers: 0 }
"""


def platform_with(tmp_path: Path, limit: float) -> Platform:
    folder = make_use_case(tmp_path / "project", short=True)
    edit(
        folder / "defs.yaml",
        "      clean: clean_orders",
        f"{RULES.replace('LIMIT', str(limit))}      clean: clean_orders",
    )
    return Platform.at(project.load(folder), "memory://", tmp_path / "home")


@pytest.fixture
def sound(tmp_path: Path) -> Iterator[Platform]:
    with platform_with(tmp_path, 0.5) as platform:
        platform.materialise("raw_warehouses", "warehouses")
        yield platform


def read(platform: Platform, table: str) -> pl.DataFrame:
    with closing(Lake.from_settings(platform.settings)) as lake:
        return lake.read(platform.declared.table(table))


def test_every_repair_is_counted_and_shown(sound: Platform) -> None:
    days = sound.declared.days()
    result = sound.over(days, "raw_orders", "orders")
    raw, cleaned, counts = read(sound, "raw_orders"), read(sound, "orders"), read(sound, "repairs_orders")
    heavy, missing = raw.filter(pl.col("weight_g") > 20_000).height, raw["weight_g"].null_count()
    sums = dict(counts.group_by("repair").agg(pl.col("repaired").sum()).iter_rows())
    assert sums == {"above 20000 → limit": heavy, "missing → 500": missing}
    assert cleaned["weight_g"].null_count() == 0
    assert cleaned["weight_g"].max() == 20_000
    (event,) = [
        event for event in result.get_asset_materialization_events()
        if event.asset_key == key(sound.declared, "orders") and event.partition == days[0]
    ]  # fmt: skip
    metadata = event.materialization.metadata
    assert metadata["repaired values"].value == heavy + missing
    assert isinstance(metadata["missing values"], MarkdownMetadataValue)
    assert f"condition, {days[-1]}" in metadata


def test_a_day_alone_has_the_condition_it_has_in_a_range(sound: Platform) -> None:
    days = sound.declared.days()
    sound.over(days, "raw_orders", "orders")
    whole = read(sound, "condition_orders")
    sound.over([days[-1]], "raw_orders", "orders")
    assert read(sound, "condition_orders").height == whole.height
    alone = read(sound, "condition_orders").filter(partition_key=days[-1])
    pl.testing.assert_frame_equal(alone, whole.filter(partition_key=days[-1]), rel_tol=1e-6)


def test_a_blocking_finding_stops_what_comes_after(tmp_path: Path) -> None:
    with platform_with(tmp_path, 0.0) as platform:
        platform.materialise("raw_warehouses", "warehouses")
        job = platform.defs.resolve_implicit_global_asset_job_def()
        days = platform.declared.days()
        result = job.execute_in_process(
            instance=platform.instance,
            asset_selection=[key(platform.declared, name) for name in ("raw_orders", "orders", "features")],
            tags={
                "dagster/asset_partition_range_start": days[0],
                "dagster/asset_partition_range_end": days[-1],
            },
            raise_on_error=False,
        )
        assert not result.success
        (check,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "condition"]
        assert not check.passed
        assert check.severity == AssetCheckSeverity.ERROR
        assert "weight_g: " in str(check.metadata["which"])
        with closing(Lake.from_settings(platform.settings)) as lake:
            assert not lake.exists(platform.declared.table("features"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("column: weight_g, fill", "column: wieght, fill", r"repairs: .*got column 'wieght'; allowed"),
        ("column: customer, max", "column: consumer, max", r"condition has column 'consumer'; allowed"),
        ("fill: 500", "fill: many", r"repairs: .*many"),
        ("max_outliers: 0", "max_outliers: 2", "less than or equal to 1"),
        ("max_outliers: 0", "max_outlier: 0", "unknown key"),
    ],
)  # fmt: skip
def test_a_wrong_rule_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    with platform_with(tmp_path, 0.5) as platform:
        folder = platform.declared.folder
    edit(folder / "defs.yaml", old, new)
    (problem, *_) = project.problems(folder)
    assert pl.Series([str(problem)]).str.contains(said).all(), str(problem)
    assert problem.line
