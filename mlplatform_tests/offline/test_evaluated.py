"""Reports as rows of a table and back: the champion rule sees what the evaluators said."""

import numpy as np
import polars as pl

from mlplatform.offline import evaluated, rows
from mlplatform.stages.evaluation.report import Report, evaluate_all


def report(seed: int) -> Report:
    random = np.random.default_rng(seed)
    p = random.beta(2, 5, 600)
    y = (random.random(600) < p).astype(np.float64)
    days = pl.Series([f"2025-04-{n // 60 + 1:02d}" for n in range(600)])
    return evaluate_all(["roc", "log_loss", "calibration"], y, p, days=days)


REPORTS = {"validation": report(1), "test": report(2)}


def test_a_row_per_part_and_figure_with_its_interval() -> None:
    frame = evaluated.to_frame("2025-04-08", "tree", "d1", REPORTS)
    assert dict(frame.schema) == evaluated.SCHEMA
    assert frame.height == sum(len(each.figures) for each in REPORTS.values())
    loss = frame.row(by_predicate=(pl.col("part") == "test") & (pl.col("figure") == "log_loss"), named=True)
    ends = REPORTS["test"].interval("log_loss")
    assert ends is not None
    assert (loss["value"], loss["low"], loss["high"]) == (
        *(REPORTS["test"].figures["log_loss"], ends.low, ends.high),
    )
    ece = frame.filter(figure="ece")
    assert ece["low"].null_count() == ece["draws"].null_count() == 2


def test_the_rule_sees_what_was_reported() -> None:
    frame = evaluated.to_frame("2025-04-08", "tree", "d1", REPORTS)
    assert evaluated.of_frame(frame) == evaluated.of_reports("d1", "tree", REPORTS)
    assert evaluated.of_frame(frame, "another score").broken == "another score"


def test_a_table_from_before_there_were_intervals_has_no_draws() -> None:
    frame = evaluated.to_frame("2025-04-08", "tree", "d1", REPORTS).drop("low", "high", "draws")
    judged = evaluated.of_frame(frame)
    assert judged.draws == {}
    assert judged.validation == REPORTS["validation"].figures


def test_month_is_that_of_the_day_unless_a_feature_has_this_name() -> None:
    frame = pl.DataFrame({"day": ["2025-04-08", "2025-05-01"]})
    assert rows.column(frame, "month").to_list() == ["2025-04", "2025-05"]
    assert rows.column(frame.with_columns(month=pl.Series([4, 5])), "month").to_list() == [4, 5]
