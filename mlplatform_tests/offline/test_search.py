"""A declared search: on training rows alone, kept as a table, the candidate trained with what it found."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlplatform.errors import ConfigurationError, ModelError, NotFound
from mlplatform.offline import project
from mlplatform.offline.assets._shared import key
from mlplatform.offline.plan import steps
from mlplatform.offline.search_declared import section
from mlplatform.offline.searched import SCHEMA, searched
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import Lake
from mlplatform_tests.offline.deployed import Platform
from mlplatform_tests.small.world import edit, make_use_case

TREE = "      params: { max_depth: 4, min_samples_leaf: 40 }\n"
SEARCH = (
    "      params: { max_depth: 4 }\n"
    "      search:\n"
    "        trials: 5\n"
    "        rows: 0.75\n"
    "        folds: 2\n"
    "        space:\n"
    "          max_depth: { low: 1, high: 6 }\n"
    "          min_samples_leaf: { low: 5, high: 200, log: true }\n"
    "          ccp_alpha: [0.0, 0.001]\n"
)
MADE = ("search_decision_tree", "candidate_decision_tree")


def platform_with(tmp_path: Path, search: str = SEARCH) -> Platform:
    folder = make_use_case(tmp_path / "project", short=True)
    edit(folder / "defs.yaml", TREE, search)
    return Platform.at(project.load(folder), "memory://", tmp_path / "home")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Features, split, search and candidate of 20 days."""
    with platform_with(tmp_path_factory.mktemp("search")) as platform:
        platform.materialise("raw_warehouses", "warehouses")
        platform.over(platform.declared.days(), "raw_orders", "orders", "features")
        platform.materialise("split", *MADE, partition_key=as_of(platform))
        yield platform


def as_of(platform: Platform) -> str:
    return str(platform.declared.config.split.as_of)


def read(platform: Platform, table: str) -> pl.DataFrame:
    with closing(Lake.from_settings(platform.settings)) as lake:
        return lake.read(platform.declared.table(table))


def write_split(platform: Platform, split: pl.DataFrame) -> None:
    with closing(Lake.from_settings(platform.settings)) as lake:
        lake.write(platform.declared.table("split"), split, [as_of(platform)])


def test_every_trial_is_a_row_that_of_the_declared_parameters_the_first(trained: Platform) -> None:
    table = read(trained, MADE[0]).sort("trial")
    assert table.columns == list(SCHEMA)
    assert table["trial"].to_list() == list(range(6))
    assert table["params"][0] == "{}"
    assert all(set(json.loads(text)) == set(searched_names(trained)) for text in table["params"][1:])
    assert set(table["metric"]) == {"log_loss"}
    complete = table.filter(state="complete")
    assert table.filter("best")["value"].to_list() == [complete["value"].min()]
    assert complete["folds"].list.len().to_list() == [2] * complete.height
    assert table.filter(pl.col("state") != "complete")["value"].null_count() == 6 - complete.height


def searched_names(platform: Platform) -> list[str]:
    return sorted(section(platform.declared, "decision_tree").space)


def test_the_candidate_is_trained_with_the_best_on_every_training_row(trained: Platform) -> None:
    (digest,) = read(trained, MADE[1])["digest"]
    stored = CandidateStore(trained.settings.candidates).get(trained.declared.name, digest)
    best = json.loads(read(trained, MADE[0]).filter("best")["params"][0])
    assert stored.params == {"max_depth": 4} | best
    with closing(Lake.from_settings(trained.settings)) as lake:
        assert searched(trained.declared, lake, "decision_tree", as_of(trained)) == stored.params
        assert searched(trained.declared, lake, "logistic_regression", as_of(trained)) == {"max_iter": 200}
    assert stored.metadata.rows == read(trained, "split").filter(part="train").height


def test_rows_that_are_not_trained_on_have_no_say(trained: Platform) -> None:
    """Other labels in validation and test give the same search; other labels in training another."""
    before, split = read(trained, MADE[0]).drop("fit_seconds"), read(trained, "split")
    judged = pl.col("part") != "train"
    try:
        for turned, same in ((judged, True), (~judged & (pl.col("order_id") % 3 == 0), False)):
            flipped = pl.when(turned).then(~pl.col("label")).otherwise("label")
            write_split(trained, split.with_columns(label=flipped))
            trained.materialise(MADE[0], partition_key=as_of(trained))
            assert read(trained, MADE[0]).drop("fit_seconds").equals(before) is same
    finally:
        write_split(trained, split)
        trained.materialise(MADE[0], partition_key=as_of(trained))
    assert_frame_equal(read(trained, MADE[0]).drop("fit_seconds"), before)


def test_it_says_how_it_went_while_it_does_and_afterwards(trained: Platform) -> None:
    done = trained.materialise(MADE[0], partition_key=as_of(trained))
    said = [entry.user_message for entry in trained.instance.all_logs(done.run_id)]
    assert any(line.startswith("declared parameters: log_loss 0.") for line in said)
    assert sum(line.startswith("trial ") for line in said) == 5
    (made,) = done.asset_materializations_for_node(f"{trained.declared.name}__{MADE[0]}")
    told = made.metadata
    assert set(told["best parameters"].value) == {"max_depth", *searched_names(trained)}  # type: ignore[arg-type]
    assert told["complete"].value + told["given up"].value + told["failed"].value == 5  # type: ignore[operator]
    assert told["log_loss"].value <= told["with the declared parameters"].value  # type: ignore[operator]
    assert "data:image/png;base64" in str(told["history"].value)
    assert {"best trials", "at the edge", "best trial"} <= set(told)


def test_the_graph_has_a_search_only_where_one_is_declared(tmp_path: Path, trained: Platform) -> None:
    with platform_with(tmp_path, TREE) as plain:
        without = plain.defs.resolve_asset_graph().get_all_asset_keys()
        planned = {asset for step in steps(plain.declared) for asset in step.assets}
        before, after = versions(plain), versions(trained)
    made = key(trained.declared, MADE[0])
    graph = trained.defs.resolve_asset_graph()
    assert set(graph.get_all_asset_keys()) == {*without, made}
    assert {asset for step in steps(trained.declared) for asset in step.assets} == {*planned, made}
    assert made in graph.get(key(trained.declared, MADE[1])).parent_keys
    assert graph.get(made).group_name == "late_orders_training"
    assert changed(before, after) >= {MADE[1], "evaluation_decision_tree", "champion"}
    assert not changed(before, after) & {"split", "features", "candidate_logistic_regression"}


def versions(platform: Platform) -> dict[str, str]:
    graph = platform.defs.resolve_asset_graph()
    return {k.path[-1]: str(graph.get(k).code_version) for k in graph.get_all_asset_keys()}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("old", "new", "also"),
    [
        ("trials: 5", "trials: 6", set()),
        ("high: 6", "high: 7", set()),
        ("        trials: 5\n", "        trials: 5\n        metric: brier\n", set()),
        ("", "", {"champion"}),
    ],
)
def test_another_search_or_metric_makes_search_and_candidate_stale(
    tmp_path: Path, trained: Platform, old: str, new: str, also: set[str]
) -> None:
    with platform_with(tmp_path, SEARCH.replace(old, new)) as other:
        folder = other.declared.folder
    if also:
        edit(folder / "defs.yaml", "    metric: log_loss\n", "    metric: brier\n")
    with Platform.at(project.load(folder), "memory://", tmp_path / "other") as other:
        found = changed(versions(trained), versions(other))
    assert {*MADE, *also} <= found
    assert not found & {"split", "candidate_logistic_regression", "candidate_rate_table"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max_depth: { low", "max_dept: { low", r"tree\.search\.space\.max_dept: .*allowed: max_depth"),
        ("high: 6", "high: 31", r"models\.decision_tree\.search\.space\.max_depth: .*got max_depth: 31"),
        ("[0.0, 0.001]", "[0.0, -1.0]", r"search\.space\.ccp_alpha: .*got ccp_alpha: -1.0"),
        ("low: 1,", "low: 1.5,", r"search\.space\.max_depth: .*got max_depth: 1.5"),
        ("low: 1,", "low: 9,", "got low 9 and high 6; allowed: low below high"),
        ("low: 5, high: 200", "low: 0, high: 200", "got low 0 with log; allowed: low above 0"),
        ("{ low: 1, high: 6 }", "{ low: 1 }", "has no range; allowed: low and high, or a list of values"),
        ("[0.0, 0.001]", "{ values: [0.0], low: 1 }", "has values and a range"),
        ("[0.0, 0.001]", "[]", r"got values \[\]; allowed: at least one"),
        ("trials: 5", "trials: 5\n        metric: rmse", r"search\.metric: got 'rmse', which judges"),
        ("trials: 5", "trials: 5\n        metric: f1", "the search names the metric 'f1'"),
        ("trials: 5", "trails: 5", "unknown key; allowed: trials, rows, seed"),
        ("rows: 0.75", "rows: 1.5", "less than or equal to 1"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_before_anything_runs(late_orders: Path, old: str, new: str, said: str) -> None:
    edit(late_orders / "defs.yaml", TREE, SEARCH.replace(old, new))
    (problem, *_) = project.problems(late_orders)
    assert pl.Series([str(problem)]).str.contains(said).all(), str(problem)
    assert problem.line
    assert problem.line > 30


def test_parameters_within_a_parameter_may_be_searched(late_orders: Path) -> None:
    facade = (
        "      type: scikit_learn\n"
        "      params: { estimator: sklearn.tree.DecisionTreeClassifier, params: { max_depth: 3 } }\n"
        "      search: { space: { params.min_samples_leaf: { low: 5, high: 50 } } }\n"
    )
    edit(late_orders / "defs.yaml", "      type: rate_table\n      params: { by: [warehouse] }\n", facade)
    assert project.problems(late_orders) == []
    edit(late_orders / "defs.yaml", "params.min_samples_leaf", "params.min_leaf")
    (problem,) = project.problems(late_orders)
    assert "models.rate_table.search.space.params.min_leaf: " in str(problem)


def test_too_few_rows_and_no_rows_are_told(tmp_path: Path, trained: Platform) -> None:
    with closing(Lake.from_settings(trained.settings)) as lake:
        with pytest.raises(NotFound, match=r"search_decision_tree has no best trial as of 2025-03-10"):
            searched(trained.declared, lake, "decision_tree", "2025-03-10")
        with pytest.raises(ConfigurationError, match="declares no search"):
            section(trained.declared, "rate_table")
        with pytest.raises(NotFound, match="no model 'forest'; it has: rate_table"):
            section(trained.declared, "forest")
    crowded = SEARCH.replace("folds: 2", "folds: 20")
    with platform_with(tmp_path, crowded) as other:
        other.settings = trained.settings
        with pytest.raises(ConfigurationError, match=r"days for 20 folds; allowed: folds that each"):
            run_search(other)


def run_search(platform: Platform) -> None:
    from mlplatform.offline.searched import search_model

    with closing(Lake.from_settings(platform.settings)) as lake:
        search_model(platform.declared, lake, "decision_tree", as_of(platform))


def test_if_every_trial_fails_there_is_no_table_to_train_from(tmp_path: Path, trained: Platform) -> None:
    """Training labels that are all the same teach nothing."""
    split = read(trained, "split")
    try:
        write_split(trained, split.with_columns(label=pl.lit(True)))
        with pytest.raises(ModelError, match=r"all 6 trials of the search failed.*both 0 and 1 are needed"):
            run_search(trained)
    finally:
        write_split(trained, split)
