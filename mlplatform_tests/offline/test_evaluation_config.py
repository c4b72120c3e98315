"""What defs.yaml may say of champion and slices, and what is refused."""

from pathlib import Path

import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError
from mlplatform.offline import project
from mlplatform.offline.assets.evaluation import evaluation_version
from mlplatform.offline.config import Champion
from mlplatform.offline.use_case import definitions
from mlplatform.stages.evaluation.rule import Rule
from mlplatform.stages.evaluation.slices import MINIMUM_ROWS
from mlplatform_tests.small.world import edit

RULE = "    metric: log_loss\n    beat: rate_table\n"


def declared(folder: Path, champion: str = RULE, slices: str = ""):
    edit(folder / "defs.yaml", f"  champion:\n{RULE}", f"{slices}  champion:\n{champion}")
    return project.load(folder)


def test_one_baseline_or_several(late_orders: Path) -> None:
    assert Champion().rule == Rule()
    assert Champion(beat="decision_tree").rule.beat == ("decision_tree",)  # type: ignore[arg-type]
    loaded = declared(late_orders, "    beat: [rate_table, constant]\n")
    assert loaded.config.champion.rule.beat == ("rate_table", "constant")


def test_every_part_of_the_rule_may_be_declared(late_orders: Path) -> None:
    told = (
        "    metric: brier\n    minimum_gain: 0.002\n    confidence: 0.9\n    surely_above: 0.001\n"
        "    slice_tolerance: 0.01\n    max_calibration_error: 0.05\n"
        "    highest_plausible: { roc_auc: 0.9 }\n"
    )
    loaded = declared(late_orders, told, "  slices: [warehouse, { column: weekday, min_rows: 50 }, month]\n")
    assert loaded.config.champion.rule == Rule(
        metric="brier",
        minimum_gain=0.002,
        confidence=0.9,
        surely_above=0.001,
        slice_tolerance=0.01,
        max_calibration_error=0.05,
        highest_plausible={"roc_auc": 0.9},
    )
    slices = [(each.column, each.min_rows) for each in loaded.config.slices]
    assert slices == [("warehouse", MINIMUM_ROWS), ("weekday", 50), ("month", MINIMUM_ROWS)]


@pytest.mark.parametrize(
    ("champion", "said"),
    [
        ("    confidence: 1.5\n", "confidence"),
        ("    slice_tolerance: 0.1\n", "slices is empty"),
        ("    beat: []\n", "beat"),
        ("    beat: [rate_table, rate_table]\n", "different models"),
        ("    beat: [rate_table, coin]\n", "champion.beat is 'coin'; allowed: a model of this use case"),
        ("    highest_plausible: { log_loss: 0.1 }\n", "names the metric 'log_loss'; allowed: roc_auc"),
        ("    metric: accuracy\n", "metric"),
    ],
)
def test_a_rule_that_cannot_be_is_a_problem(late_orders: Path, champion: str, said: str) -> None:
    edit(late_orders / "defs.yaml", f"  champion:\n{RULE}", f"  champion:\n{champion}")
    (problem,) = project.problems(late_orders)
    assert said in f"{problem.key} {problem.message}"
    assert problem.line


def test_slices_by_what_rows_do_not_have_are_refused(late_orders: Path, tmp_path: Path) -> None:
    loaded = declared(late_orders, slices="  slices: [colour]\n")
    with pytest.raises(ConfigurationError, match=r"slices names 'colour'; allowed: order_id, .*, month"):
        definitions(loaded, Settings.load({"MLPLATFORM_HOME": str(tmp_path)}))


def test_the_threshold_and_the_metric_matter_only_to_evaluations_that_use_them(late_orders: Path) -> None:
    def version(old: str, new: str) -> str:
        text = (late_orders / "defs.yaml").read_text()
        edit(late_orders / "defs.yaml", old, new)
        found = evaluation_version(project.load(late_orders), "rate_table")
        (late_orders / "defs.yaml").write_text(text)
        return found

    before = evaluation_version(project.load(late_orders), "rate_table")
    assert version("threshold: 0.5", "threshold: 0.4") == before
    assert version("metric: log_loss", "metric: brier") == before
    edit(late_orders / "defs.yaml", "[roc, log_loss]", "[roc, log_loss, confusion]")
    edit(late_orders / "defs.yaml", "  champion:\n", "  slices: [warehouse]\n  champion:\n")
    before = evaluation_version(project.load(late_orders), "rate_table")
    assert version("threshold: 0.5", "threshold: 0.4") != before
    assert version("metric: log_loss", "metric: brier") != before
