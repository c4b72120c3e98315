"""What of a use case is missing, and which change of a declaration makes what of it stale."""

# ruff: noqa: E501  (a table of changes, a line each)

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance, Definitions

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.assets import observation
from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared
from mlplatform.offline.plan import Step, missing, steps
from mlplatform.offline.use_case import definitions
from mlplatform_tests.small import world

DAILY, TRAINING = 1, 2


@pytest.fixture
def declared(tmp_path: Path) -> Declared:
    return project.load(world.make_use_case(tmp_path, short=True))


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


def defs_of(declared: Declared) -> Definitions:
    return definitions(declared, Settings.load({"MLPLATFORM_HOME": str(declared.folder / "home")}))


@pytest.fixture
def defs(declared: Declared) -> Definitions:
    return defs_of(declared)


def versions(defs: Definitions) -> dict[str, str]:
    keys = defs.resolve_asset_graph().get_all_asset_keys()
    return {key.path[-1]: str(defs.resolve_assets_def(key).code_versions_by_key[key]) for key in keys}


def materialise(
    instance: DagsterInstance,
    defs: Definitions,
    step: Step,
    leave_out: tuple[tuple[str, str | None], ...] = (),
) -> None:
    """Tell the instance that the step was done, but for some (asset, partition)."""
    for asset in step.assets:
        tags = {"dagster/code_version": versions(defs)[asset.path[-1]]}
        for partition in step.partitions or (None,):
            if (asset.path[-1], partition) not in leave_out:
                instance.report_runless_asset_event(
                    AssetMaterialization(asset, partition=partition, tags=tags)
                )


def names(step: Step | None) -> set[str]:
    return set() if step is None else {asset.path[-1] for asset in step.assets}


class TestSteps:
    def test_every_asset_is_in_one_step_after_what_it_needs(
        self, declared: Declared, defs: Definitions
    ) -> None:
        graph = defs.resolve_asset_graph()
        place = {asset: number for number, step in enumerate(steps(declared)) for asset in step.assets}
        assert sum(len(step.assets) for step in steps(declared)) == len(place)
        by_itself = {key(declared, name) for name in observation.NAMES}  # as answers and outcomes come
        assert set(place) == set(graph.get_all_asset_keys()) - by_itself
        for asset, number in place.items():
            assert all(place[parent] <= number for parent in graph.get(asset).parent_keys)

    def test_partitions_are_those_of_the_assets(self, declared: Declared, defs: Definitions) -> None:
        graph = defs.resolve_asset_graph()
        for step in steps(declared):
            for asset in step.assets:
                definition = graph.get(asset).partitions_def
                has = set(definition.get_partition_keys()) if definition else set()
                assert set(step.partitions or ()) <= has
                assert bool(step.partitions) == (definition is not None)

    def test_spans_are_for_people(self, declared: Declared) -> None:
        assert [step.span for step in steps(declared)] == [
            "",
            "2025-03-01 to 2025-03-20",
            "2025-03-14",
            "2025-03-14 to 2025-03-20",
            "2025-03-01",
        ]


class TestMissing:
    def test_everything_at_first_and_nothing_at_the_end(
        self, declared: Declared, defs: Definitions, instance: DagsterInstance
    ) -> None:
        for step in steps(declared):
            assert missing(step, defs, instance) == step
            materialise(instance, defs, step)
            assert missing(step, defs, instance) is None

    def test_one_day_of_one_asset(
        self, declared: Declared, defs: Definitions, instance: DagsterInstance
    ) -> None:
        step = steps(declared)[DAILY]
        materialise(instance, defs, step, leave_out=(("orders", "2025-03-05"),))
        rest = missing(step, defs, instance)
        assert (names(rest), rest and rest.partitions) == ({"orders"}, ("2025-03-05",))

    def test_days_apart_make_one_range(
        self, declared: Declared, defs: Definitions, instance: DagsterInstance
    ) -> None:
        step = steps(declared)[DAILY]
        materialise(instance, defs, step, leave_out=(("orders", "2025-03-05"), ("features", "2025-03-08")))
        rest = missing(step, defs, instance)
        assert names(rest) == {"orders", "features"}
        assert rest is not None
        assert rest.partitions == tuple(f"2025-03-0{day}" for day in (5, 6, 7, 8))

    def test_an_asset_without_partitions(
        self, declared: Declared, defs: Definitions, instance: DagsterInstance
    ) -> None:
        step = steps(declared)[0]
        materialise(instance, defs, step, leave_out=(("warehouses", None),))
        assert names(missing(step, defs, instance)) == {"warehouses"}

    def test_a_package_that_was_not_released_is_tested_again(
        self, declared: Declared, defs: Definitions, instance: DagsterInstance
    ) -> None:
        step = steps(declared)[TRAINING]
        assert step.partitions is not None
        materialise(instance, defs, step, leave_out=(("release", step.partitions[0]),))
        assert names(missing(step, defs, instance)) == {"package", "release"}

    def test_a_date_of_training_is_current_by_its_own_version(
        self, declared: Declared, defs: Definitions, instance: DagsterInstance
    ) -> None:
        step = steps(declared)[TRAINING]
        materialise(instance, defs, step)
        world.edit(declared.folder / "defs.yaml", "max_depth: 4", "max_depth: 5")
        changed = project.load(declared.folder)
        now = defs_of(changed)
        asset = next(each for each in step.assets if each.path[-1] == "candidate_decision_tree")
        other = Step("another date", (asset,), ("2025-03-10",))
        materialise(instance, now, other)
        assert missing(other, now, instance) is None
        rest = missing(steps(changed)[TRAINING], now, instance)
        assert names(rest) == {
            "candidate_decision_tree",
            "evaluation_decision_tree",
            "champion",
            "package",
            "release",
        }

    def test_another_code_version_makes_all_of_an_asset_missing(
        self, declared: Declared, defs: Definitions, instance: DagsterInstance
    ) -> None:
        before = steps(declared)
        for step in before:
            materialise(instance, defs, step)
        world.edit(
            declared.folder / "features.py",
            'by="warehouse", value="packers"',
            'by="warehouse", value="packers", name="p"',
        )
        changed = project.load(declared.folder)
        rest = [missing(step, defs_of(changed), instance) for step in steps(changed)]
        assert names(rest[DAILY]) == {"features"}
        assert rest[DAILY] is not None
        assert rest[DAILY].partitions == before[DAILY].partitions
        assert rest[0] is None
        assert [names(step) for step in rest[2:]] == [names(step) for step in before[2:]]


AFTER_SCORES = {"scores", "performance"}
AFTER_RELEASE = {"package", "release", *AFTER_SCORES}
AFTER_TRAINING = {"champion", *AFTER_RELEASE}
AFTER_SPLIT = {
    f"{kind}_{name}" for kind in ("candidate", "evaluation") for name in world.MODELS
} | AFTER_TRAINING
AFTER_FEATURES = {"split", "drift_report", *AFTER_SPLIT}
CHANGES = {
    "the title": ("defs.yaml", "title: Late orders", "title: Orders", set()),
    "a comment": ("features.py", "DAYS_OF_GRACE = 0", "DAYS_OF_GRACE = 0  # none", set()),
    "a reference": ("defs.yaml", "  champion:\n", "  references: [{ name: x, figures: { brier: 1 } }]\n  champion:\n", set()),
    "the threshold": ("defs.yaml", "threshold: 0.5", "threshold: 0.4", AFTER_RELEASE),
    "a model's parameter": ("defs.yaml", "max_depth: 4", "max_depth: 5", {"candidate_decision_tree", "evaluation_decision_tree", *AFTER_TRAINING}),
    "how it is served": ("defs.yaml", "  champion:\n", "  serving: { deadline_ms: 20 }\n  champion:\n", AFTER_RELEASE),
    "the rule": ("defs.yaml", "metric: log_loss", "metric: brier", AFTER_TRAINING),
    "the evaluators": ("defs.yaml", "[roc, log_loss]", "[log_loss, roc, calibration]", AFTER_TRAINING | {f"evaluation_{n}" for n in world.MODELS}),
    "a length of the split": ("defs.yaml", "test: 4d", "test: 3d", {"split", *AFTER_SPLIT}),
    "the declared drift report": ("defs.yaml", "  champion:\n", "  drift: { report: [weight] }\n  champion:\n", {"drift_report"}),
    "a feature's window": ("features.py", '"mean", "3d", "late"', '"mean", "2d", "late"', {"features", *AFTER_FEATURES}),
    "a cleaning function": ("features.py", 'how="semi"', 'how="left"', {"orders", "features", *AFTER_FEATURES}),
    "a constant it uses": ("features.py", "DAYS_OF_GRACE = 0", "DAYS_OF_GRACE = 1", {"orders", "features", *AFTER_FEATURES}),
    "a helper it uses": ("features.py", "%H:%M:%SZ", "%H:%M:%S%Z", {"orders", "features", *AFTER_FEATURES}),
    "a rule of a contract": ("features.py", "max=40_000", "max=9_000", {"orders", "features", *AFTER_FEATURES}),
    "a static table's contract": ("features.py", "packers = dy.Int64(min=1)", "packers = dy.Int64(min=20)", {"warehouses", "orders", "features", *AFTER_FEATURES}),
    "a type of a contract": ("features.py", "customer = dy.Int64", "customer = dy.Int32", {"raw_orders", "orders", "features", *AFTER_FEATURES}),
    "the place of the data": ("defs.yaml", "path: data/orders-*.csv", "path: orders/*.csv", {"raw_orders", "orders", "features", *AFTER_FEATURES}),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_makes_stale_what_depends_on_it_and_nothing_else(declared: Declared, change: str) -> None:
    name, old, new, expected = CHANGES[change]
    before = versions(defs_of(declared))
    world.edit(declared.folder / name, old, new)
    after = versions(defs_of(project.load(declared.folder)))
    assert {asset for asset in after if after[asset] != before[asset]} == expected


def test_versions_are_the_same_in_every_process(declared: Declared, defs: Definitions) -> None:
    again = project.load(declared.folder)
    assert versions(defs_of(again)) == versions(defs)
    assert AssetKey([world.NAME, "features"]) in {key for step in steps(again) for key in step.assets}
