"""A declared selection: ranked on training rows alone, and the models trained on what it leaves."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlplatform.offline import project
from mlplatform.offline.assets import observation
from mlplatform.offline.assets._shared import key
from mlplatform.offline.plan import steps
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import Lake
from mlplatform_tests.offline.deployed import Platform
from mlplatform_tests.small.world import edit, make_use_case

SELECTION = "  selection: { strategy: chi_squared, options: { most: 3 } }\n"
CANDIDATES = ("candidate_logistic_regression", "candidate_decision_tree")


def platform_with(tmp_path: Path, selection: str = SELECTION) -> Platform:
    folder = make_use_case(tmp_path / "project", short=True)
    edit(folder / "defs.yaml", "\n  models:\n", f"\n{selection}  models:\n")
    edit(folder / "features.py", "Static, col\n", "Static, TargetRate, col\n")
    edit(folder / "features.py", 'Category("warehouse"),', 'Category("warehouse"), TargetRate("warehouse"),')
    return Platform.at(project.load(folder), "memory://", tmp_path / "home")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Features, split, ranking and two candidates of 20 days."""
    with platform_with(tmp_path_factory.mktemp("selection")) as platform:
        platform.materialise("raw_warehouses", "warehouses")
        platform.over(platform.declared.days(), "raw_orders", "orders", "features")
        platform.materialise("split", "ranking", *CANDIDATES, partition_key=as_of(platform))
        yield platform


def as_of(platform: Platform) -> str:
    return str(platform.declared.config.split.as_of)


def read(platform: Platform, table: str) -> pl.DataFrame:
    with closing(Lake.from_settings(platform.settings)) as lake:
        return lake.read(platform.declared.table(table))


def chosen(platform: Platform) -> FeatureSet:
    return platform.declared.feature_set.only(read(platform, "ranking").filter("selected")["feature"])


def test_the_ranking_is_a_table_with_every_feature(trained: Platform) -> None:
    ranking, whole = read(trained, "ranking"), trained.declared.feature_set
    assert sorted(ranking["feature"]) == sorted(whole.names)
    assert ranking["selected"].to_list() == [True] * 3 + [False] * (len(whole.names) - 3)
    assert ranking["rank"].to_list() == list(range(1, len(whole.names) + 1))
    assert set(ranking["strategy"]) == {"chi_squared"}
    assert set(ranking["feature_set"]) == {chosen(trained).id} != {whole.id}


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_candidates_are_of_the_selected_features(trained: Platform, candidate: str) -> None:
    (digest,) = read(trained, candidate)["digest"]
    stored = CandidateStore(trained.settings.candidates).get(trained.declared.name, digest)
    fitted = FittedFeatureSet.from_json(stored.feature_set)
    assert fitted.feature_set == chosen(trained)
    assert stored.golden.names == fitted.names
    assert len(fitted.names) == 3
    assert read(trained, candidate)["feature_set"].to_list() == [fitted.id]


def test_rows_that_are_not_trained_on_have_no_say(trained: Platform) -> None:
    """Other labels in validation and test give the same ranking; other labels in training another."""
    before, split = read(trained, "ranking"), read(trained, "split")
    judged = pl.col("part") != "train"
    for turned, same in ((judged, True), (~judged & (pl.col("order_id") % 3 == 0), False)):
        other = split.with_columns(label=pl.when(turned).then(~pl.col("label")).otherwise("label"))
        with closing(Lake.from_settings(trained.settings)) as lake:
            lake.write(trained.declared.table("split"), other, [as_of(trained)])
        trained.materialise("ranking", partition_key=as_of(trained))
        assert read(trained, "ranking").equals(before) is same
    with closing(Lake.from_settings(trained.settings)) as lake:
        lake.write(trained.declared.table("split"), split, [as_of(trained)])
    trained.materialise("ranking", partition_key=as_of(trained))
    assert_frame_equal(read(trained, "ranking"), before)


def test_without_a_selection_there_is_no_ranking(tmp_path: Path, trained: Platform) -> None:
    with platform_with(tmp_path, "") as plain:
        keys = plain.defs.resolve_asset_graph().get_all_asset_keys()
        assert key(plain.declared, "ranking") not in keys
        by_itself = {key(plain.declared, name) for name in observation.NAMES}
        planned = {asset for step in steps(plain.declared) for asset in step.assets}
        assert planned == set(keys) - by_itself
    planned = {asset for step in steps(trained.declared) for asset in step.assets}
    assert planned == set(keys) - by_itself | {key(trained.declared, "ranking")}


def versions(platform: Platform) -> dict[str, str]:
    graph = platform.defs.resolve_asset_graph()
    return {k.path[-1]: str(graph.get(k).code_version) for k in graph.get_all_asset_keys()}


def test_another_selection_makes_ranking_and_candidates_stale(tmp_path: Path, trained: Platform) -> None:
    with platform_with(tmp_path, SELECTION.replace("most: 3", "most: 4")) as other:
        before, after = versions(trained), versions(other)
    changed = {name for name in before if before[name] != after[name]}
    assert {"ranking", *CANDIDATES} <= changed
    assert not changed & {"split", "features", "orders", "drift_report"}


@pytest.mark.parametrize(
    ("old", "new", "said", "at"),
    [
        ("chi_squared", "chi_square", "got selector 'chi_square'; allowed: chi_sq", "selection.strategy"),
        ("most: 3", "most: 0", "selection.options: selection 'chi_squared': got most 0; allowed", ""),
        ("most: 3", "mots: 3", r"selection.options: .*got options \['mots'\].*allowed: most, at_least", ""),
        ("most: 3", "at_least: much", "got at_least 'much'; allowed: a number", ""),
        ("chi_squared, options: { most: 3 }", "keep, options: { names: [x] }", "got names .'x'", ""),
        ("options:", "option:", "unknown key; allowed: strategy, options", "selection.option"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_before_anything_runs(
    tmp_path: Path, old: str, new: str, said: str, at: str
) -> None:
    with platform_with(tmp_path) as platform:
        folder = platform.declared.folder
    edit(folder / "defs.yaml", SELECTION, SELECTION.replace(old, new))
    (problem, *_) = project.problems(folder)
    assert pl.Series([str(problem)]).str.contains(said).all(), str(problem)
    assert problem.key == at
    assert problem.line
    assert problem.hint


@pytest.mark.slow
def test_a_target_rate_is_trained_out_of_fold_and_watched_for_drift(
    tmp_path: Path, trained: Platform
) -> None:
    features, ranking = read(trained, "features"), read(trained, "ranking")
    assert features["target_rate_by_warehouse"].to_list() == features["warehouse"].to_list()
    assert "target_rate_by_warehouse" in ranking["feature"].to_list()
    keep = SELECTION.replace(
        "chi_squared, options: { most: 3 }", "keep, options: { names: [target_rate_by_warehouse] }"
    )
    with platform_with(tmp_path, keep) as platform:
        platform.materialise("raw_warehouses", "warehouses")
        platform.over(platform.declared.days(), "raw_orders", "orders", "features")
        platform.materialise("split", "ranking", CANDIDATES[1], partition_key=as_of(platform))
        platform.materialise("drift_report", partition_key="2025-03-01")
        (digest,) = read(platform, CANDIDATES[1])["digest"]
        stored = CandidateStore(platform.settings.candidates).get(platform.declared.name, digest)
        kinds = dict(read(platform, "drift_report").select("feature", "kind").iter_rows())
    rates = FittedFeatureSet.from_json(stored.feature_set).rates["target_rate_by_warehouse"].by_key
    assert set(rates) == {"HAM", "LYS", "WAW"}
    golden = {row[0] for row in stored.golden.rows[:-2]}
    assert not golden & set(rates.values())
    assert len(golden) > len(rates)
    assert kinds["target_rate_by_warehouse"] == kinds["warehouse"]
