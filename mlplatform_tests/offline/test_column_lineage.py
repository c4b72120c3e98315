"""Column lineage in Dagster: what a real run attached to features, scores and cleaned tables."""

from typing import Any

import pytest
from dagster import AssetKey, DagsterInstance, TableColumnLineage

from mlplatform.features import FeatureSet, Row, col
from mlplatform.offline import project
from mlplatform.offline.column_lineage import LINEAGE, of_scores
from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world


@pytest.fixture(scope="module")
def instance(finished: Finished) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(finished.home / "dagster"))
        with DagsterInstance.get() as opened:
            yield opened


def lineage(instance: DagsterInstance, name: str) -> dict[str, set[str]]:
    """Per column the columns it is made of, of the newest event of an asset."""
    event = instance.get_latest_materialization_event(AssetKey([world.NAME, name]))
    assert event is not None
    assert event.asset_materialization is not None
    value = event.asset_materialization.metadata[LINEAGE].value
    assert isinstance(value, TableColumnLineage)
    return {
        column: {"/".join([*dep.asset_key.path[1:], dep.column_name]) for dep in deps}
        for column, deps in value.deps_by_column.items()
    }


def test_features_are_made_of_columns_of_cleaned_tables(instance: DagsterInstance) -> None:
    found = lineage(instance, "features")
    assert found["warehouse"] == {"orders/warehouse"}
    assert found["packers_by_warehouse"] == {
        "warehouses/warehouse",
        "warehouses/packers",
        "orders/warehouse",
    }
    assert found["late_mean_3d_by_warehouse"] == {
        f"orders/{name}" for name in ("delivered", "late", "order_id", "placed", "warehouse")
    }


def test_scores_rest_on_every_feature_of_the_model(instance: DagsterInstance) -> None:
    features, scores = lineage(instance, "features"), lineage(instance, "scores")
    assert scores["score"] == scores["class"]
    assert {name.removeprefix("features/") for name in scores["score"]} < set(features)
    assert "features/late_mean_7d_by_warehouse" in scores["score"]
    assert scores["order_id"] == {"features/order_id"}


def test_cleaned_tables_tell_of_columns_that_came_through_unchanged(instance: DagsterInstance) -> None:
    orders, warehouses = lineage(instance, "orders"), lineage(instance, "warehouses")
    assert orders["customer"] == {"raw_orders/customer"}
    assert "placed" not in orders, "it is made of a text, by code"
    assert warehouses == {name: {f"raw_warehouses/{name}"} for name in ("batch_id", "warehouse", "packers")}


def test_only_one_event_of_a_run_carries_it(instance: DagsterInstance) -> None:
    records = instance.fetch_materializations(AssetKey([world.NAME, "features"]), limit=1000).records
    carrying = [r for r in records if LINEAGE in r.asset_materialization.metadata]  # type: ignore[union-attr]
    assert len(records) == world.DAYS
    assert [record.partition_key for record in carrying] == ["2025-04-29"]


def test_a_model_of_another_feature_set_rests_on_cleaned_tables(finished: Finished) -> None:
    declared = project.load(finished.folder)
    moved = FeatureSet("other", declared.feature_set.spine, [Row("renamed", col("placed").weekday("UTC"))])
    told = of_scores(declared, moved, ["order_id", "score", "model"])[LINEAGE].deps_by_column
    assert {dep.asset_key.path[-1] for dep in told["score"]} == {"orders"}
    assert set(told) == {"order_id", "score"}
