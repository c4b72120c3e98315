"""Every task through the whole pipeline: from the raw delivery to batch scores, performance and a summary."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError
from mlplatform.offline import project, rows
from mlplatform.offline.run import run
from mlplatform.offline.summary import summary
from mlplatform.stages.evaluation.metrics import CHIEF
from mlplatform.stores.lake import Lake, Table
from mlplatform_tests.small.world import edit, make_use_case

MODELS = """\
  models:
    rate_table:
      type: rate_table
      params: { by: [warehouse] }
    logistic_regression:
      type: logistic_regression
      params: { max_iter: 200 }
    decision_tree:
      type: decision_tree
      params: { max_depth: 4, min_samples_leaf: 40 }

  evaluators: [roc, log_loss]

  champion:
    metric: log_loss
    beat: rate_table
"""
REGRESSION = """\
  models:
    constant:
      type: constant
    decision_tree:
      type: decision_tree
      params: { max_depth: 4, min_samples_leaf: 40 }

  champion:
    metric: mae
    beat: [constant]
"""
CLUSTERING = """\
  models:
    two:
      type: k_means
      params: { n_clusters: 2 }
    four:
      type: k_means
      params: { n_clusters: 4 }

  champion:
    metric: silhouette
    beat: [four]
"""
RANKING = """\
  models:
    constant:
      type: constant
    lightgbm:
      type: lightgbm
      params: { num_iterations: 30, min_data_in_leaf: 10 }

  champion:
    metric: ndcg_at_5
    beat: [constant]
"""
LABEL = "  label: { column: late, threshold: 0.5 }\n"


def done(folder: Path, home: Path) -> tuple[dict[str, pl.DataFrame], dict[str, Any]]:
    """The tables and the summary of a use case that has been run."""
    declared, settings = project.load(folder), Settings.load({"MLPLATFORM_HOME": str(home)})
    run(declared, settings)
    with closing(Lake.from_settings(settings)) as lake:
        names = [name for name in lake.tables(declared.name) if not name.startswith(("raw_", "features"))]
        tables = {name: lake.read(Table(declared.name, name)) for name in names}
    said = summary(declared, settings)
    assert set(said["metrics"]) <= set(CHIEF[declared.config.task])
    return tables, said


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    return make_use_case(tmp_path, short=True)


@pytest.mark.slow
def test_regression_on_shuffled_rows(orders: Path, tmp_path: Path) -> None:
    edit(orders / "defs.yaml", "test: 4d }", "test: 4d, shuffle_within: true }")
    edit(orders / "defs.yaml", LABEL, "  task: regression\n\n  label: { column: days_late }\n")
    edit(orders / "defs.yaml", MODELS, REGRESSION)
    tables, said = done(orders, tmp_path / "home")
    assert said["champion"]["model"] == "decision_tree"
    assert said["metrics"]["mae"] < said["models"]["constant"]["mae"]
    assert "class" not in tables["scores"].columns
    joined = tables["scores"].join(tables["orders"], on="order_id").drop_nulls("days_late")
    mae = (joined["score"] - joined["days_late"]).abs().mean()
    months = tables["performance"]
    assert (months["mae"] * months["n"]).sum() / months["n"].sum() == pytest.approx(mae)
    declared, settings = project.load(orders), Settings.load({"MLPLATFORM_HOME": str(tmp_path / "home")})
    with closing(Lake.from_settings(settings)) as lake:
        trained_on = rows.of_part(declared, lake, "2025-03-14", "train")["order_id"].to_list()
    divided = tables["split"].filter(part="train").sort("place")["order_id"].to_list()
    assert trained_on == [id for id in divided if id in set(trained_on)]
    assert trained_on != sorted(trained_on)


@pytest.mark.slow
def test_clustering(orders: Path, tmp_path: Path) -> None:
    edit(orders / "defs.yaml", LABEL, "  task: clustering\n")
    edit(orders / "defs.yaml", MODELS, CLUSTERING)
    tables, said = done(orders, tmp_path / "home")
    assert "performance" not in tables
    assert tables["split"]["label"].is_null().all()
    assert set(said["models"]) == {"two", "four"}
    if said["champion"]:
        assert tables["scores"]["cluster"].to_list() == tables["scores"]["score"].cast(pl.Int64).to_list()


def test_ranking(orders: Path, tmp_path: Path) -> None:
    lists = "  lists: { by: express, worth: days_late }\n"
    edit(orders / "defs.yaml", LABEL, f"  task: ranking\n\n  label: {{ column: hours_to_ship }}\n\n{lists}")
    edit(orders / "defs.yaml", MODELS, RANKING)
    edit(
        orders / "features.py",
        '        key=("order_id",),\n        facts',
        '        key=("express", "order_id"),\n        facts',
    )
    tables, said = done(orders, tmp_path / "home")
    evaluation = tables["evaluation_lightgbm"].filter(part="test")
    figures = dict(evaluation.select("figure", "value").iter_rows())
    assert figures["groups"] == 2
    worth = tables["orders"]["days_late"]
    assert worth.min() <= figures["top1_mean"] <= worth.max()  # type: ignore[operator]
    assert said["models"]["lightgbm"]["ndcg_at_5"] > 0.0
    assert said["champion"]["model"] == "lightgbm"
    ranks = tables["scores"].sort("partition_key", "express", "rank")
    assert ranks.select(pl.col("rank") == pl.int_range(1, pl.len() + 1).over("partition_key", "express"))[
        "rank"
    ].all()


@pytest.mark.slow
def test_forecasting_on_real_departures(tmp_path: Path) -> None:
    folder = tmp_path / "departures_forecast"
    shutil.copytree(project.BUILT_IN / "departures_forecast", folder)
    edit(folder / "defs.yaml", "last: 2013-12-31", "last: 2013-03-10")
    edit(folder / "defs.yaml", "as_of: 2013-10-01", "as_of: 2013-02-20")
    edit(folder / "defs.yaml", "{ validation: 1mo, test: 2mo }", "{ validation: 1w, test: 10d }")
    edit(folder / "features.py", "LAGS = 14 * 24", "LAGS = 3 * 24")
    edit(folder / "defs.yaml", ", lag_168]", "]")
    tables, said = done(folder, tmp_path / "home")
    figures = said["models"]["arima"]
    # The seasonal naive model and the evaluator's own naive forecast are one and the same.
    naive = said["models"]["seasonal_naive"]
    assert naive["mae"] == pytest.approx(naive["mae_naive"])
    assert naive["mase"] == pytest.approx(1.0)
    assert figures["mae"] < 0.9 * naive["mae"]
    assert said["champion"]["model"] == "arima"
    assert set(tables["scores"]["step"]) == set(range(1, 25))


WRONG = {
    "a ranking without lists": (
        "task: ranking\n\n  label: { column: late }",
        "task ranking has label of label",
    ),
    "lists without a ranking": (
        "label: { column: late }\n\n  lists: { by: order_id }",
        "task classification has",
    ),
    "clusters with a label": ("task: clustering\n\n  label: { column: late }", "allowed: none of them"),
    "a forecast without steps": (
        "task: forecasting\n\n  label: { column: late }\n\n  series: { time: placed, start: promised }",
        "series.steps",
    ),
    "no task of ours": ("task: guessing\n\n  label: { column: late }", "task"),
    "no label": ("task: regression", "task regression has none"),
    "a metric of another task": ("task: regression\n\n  label: { column: days_late }", "log_loss"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_the_task_is_refused_early(case: str, orders: Path) -> None:
    told, said = WRONG[case]
    edit(orders / "defs.yaml", LABEL, f"  {told}\n")
    with pytest.raises(ConfigurationError) as refused:
        project.load(orders)
    assert said in str(refused.value)


def test_a_list_is_told_by_columns_of_the_key(orders: Path) -> None:
    edit(
        orders / "defs.yaml",
        LABEL,
        "  task: ranking\n\n  label: { column: days_late }\n\n  lists: { by: express }\n",
    )
    edit(orders / "defs.yaml", MODELS, RANKING)
    with pytest.raises(ConfigurationError, match=r"task ranking is told by 'express'; allowed: .*order_id"):
        project.load(orders)


def test_a_key_has_no_name_of_ours(orders: Path) -> None:
    edit(
        orders / "features.py", 'key=("order_id",),\n        facts', 'key=("order_id", "day"),\n        facts'
    )
    with pytest.raises(ConfigurationError, match="the spine's key has day; allowed: any name but"):
        project.load(orders)
