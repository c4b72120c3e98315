"""What people are shown of an evaluation: figures of the whole apart from those of slices and from counts."""

import numpy as np
import polars as pl

from mlplatform.offline import evaluated, figures
from mlplatform.stages.evaluation.report import Report, evaluate_all
from mlplatform.stages.evaluation.slices import by_level


def report(seed: int, rows: int, levels: int) -> Report:
    random = np.random.default_rng(seed)
    p = random.beta(2, 5, rows)
    y = (random.random(rows) < p).astype(np.float64)
    days = pl.Series([f"2025-04-{n % 10 + 1:02d}" for n in range(rows)])
    place = pl.Series("place", [f"[{n % levels}=]" for n in range(rows)])
    made = evaluate_all(["roc", "log_loss"], y, p, days=days)
    return made.joined("slices by place", by_level("log_loss", y, p, place, 50))


REPORTS = {"validation": report(1, 600, 2), "test": report(2, 900, 3)}
TABLE = evaluated.to_frame("2025-04-08", "tree", "d1", REPORTS)


def test_the_whole_has_neither_slices_nor_counts() -> None:
    shown = figures.of_the_whole(TABLE)
    assert set(shown["figure"]) == {"base_rate", "brier", "log_loss", "roc_auc"} & set(shown["figure"])
    assert {"log_loss", "roc_auc"} <= set(shown["figure"])
    loss = shown.row(by_predicate=pl.col("figure") == "log_loss", named=True)
    ends = REPORTS["test"].interval("log_loss")
    assert ends is not None
    assert (loss["validation"], loss["test"]) == tuple(
        REPORTS[part].figures["log_loss"] for part in ("validation", "test")
    )
    assert loss["test 90 %"] == f"{round(ends.low, 4)} to {round(ends.high, 4)}"


def test_slices_have_a_row_per_level_and_a_level_of_one_part_is_empty_on_the_other() -> None:
    shown = figures.of_slices(TABLE)
    assert shown["slice"].unique().to_list() == ["place"]
    assert shown["level"].to_list() == ["[0=]", "[1=]", "[2=]"]
    first, _, last = shown.to_dicts()
    assert first["log_loss test"] == REPORTS["test"].figures["log_loss[place=[0=]]"]
    assert (first["rows validation"], first["rows test"]) == (300, 300)
    assert (last["log_loss validation"], last["rows validation"], last["rows test"]) == (None, None, 300)


def test_without_slices_there_is_no_row() -> None:
    plain = evaluated.to_frame(
        "2025-04-08", "tree", "d1", {part: Report(each.figures, {}) for part, each in REPORTS.items()}
    )
    assert figures.of_slices(plain.filter(~pl.col("figure").str.contains("[", literal=True))).height == 0


def test_rows_are_counted_by_part() -> None:
    assert figures.counted(TABLE) == {"validation": 600, "test": 900}
