"""The report joins evaluators; one's figure may not contradict another's."""

import json
from pathlib import Path

import numpy as np
import pytest

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.evaluation.report import evaluate_all, overlay
from mlplatform.stages.evaluation.values import Bar, Evaluation, Picture

Y, P = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.8, 0.7, 0.1])
NAMES = ["roc", "precision_recall", "calibration", "log_loss"]


def test_report_holds_every_figure_and_those_of_the_set() -> None:
    report = evaluate_all(NAMES, Y, P)
    assert list(report.figures) == [
        "average_precision",
        "base_rate",
        "brier",
        "ece",
        "log_loss",
        "mean_score",
        "roc_auc",
        "rows",
    ]
    assert report.figures["rows"] == 4.0
    assert report.figures["base_rate"] == 0.5
    assert sorted(report.pictures) == ["calibration", "precision_recall", "roc"]


def test_equal_reports_are_equal_bytes_whatever_the_order_of_names() -> None:
    report, other = evaluate_all(NAMES, Y, P), evaluate_all(NAMES[::-1], Y, P)
    assert report.figures_json() == other.figures_json()
    assert report.json() == other.json()
    assert json.loads(report.figures_json()) == report.figures


def test_unknown_evaluator_lists_what_there_is() -> None:
    with pytest.raises(ConfigurationError, match=r"got evaluator 'rock'; allowed: .*roc") as error:
        evaluate_all(["rock"], Y, P)
    assert "'roc'" in error.value.hint


OUTSIDE = """
from mlplatform.stages.evaluation.values import Evaluation

def evaluate(y, p):
    return RETURNED
"""


@pytest.mark.parametrize(
    ("returned", "error", "said"),
    [
        ("Evaluation({'share_above_half': float((p > 0.5).mean())})", None, ""),
        ("Evaluation({'roc_auc': 0.25})", ConfigurationError, "gives roc_auc = 0.25, which is already 0.75"),
        ("Evaluation({'odd': float('nan')})", ModelError, "gave odd = nan"),
        ("{'odd': 1.0}", ConfigurationError, "returned a dict"),
    ],
)
def test_outside_evaluator_by_dotted_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, returned: str, error: type[Exception] | None, said: str
) -> None:
    package = f"outside_{abs(hash(returned))}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "mine.py").write_text(OUTSIDE.replace("RETURNED", returned))
    monkeypatch.syspath_prepend(str(tmp_path))
    names = ["roc", f"{package}.mine"]
    if error is None:
        assert evaluate_all(names, Y, P).figures["share_above_half"] == 0.75
    else:
        with pytest.raises(error, match=said):
            evaluate_all(names, Y, P)


def test_overlay_names_lines_by_model_in_order() -> None:
    picture = evaluate_all(["roc"], Y, P).pictures["roc"]
    both = overlay({"lightgbm": picture, "rate_table": picture})
    assert [line.label for line in both.lines] == ["lightgbm", "rate_table"]
    assert [line.figure for line in both.lines] == ["AUC 0.7500", "AUC 0.7500"]
    assert both.references == picture.references


def test_overlay_keeps_the_names_of_several_lines() -> None:
    groups = np.array([0, 0, 1, 1])
    picture = evaluate_all(["ranking"], Y, P, known={"groups": groups}).pictures["ranking"]
    both = overlay({"validation": picture, "test": picture})
    labels = [f"{name} · {part}" for part in ("validation", "test") for name in ("hit rate", "NDCG")]
    assert [line.label for line in both.lines] == labels


def test_overlay_puts_bars_of_one_name_side_by_side() -> None:
    first = Picture(title="t", x_label="x", bars=(Bar("EWR", 0.5), Bar("JFK", 0.4)))
    second = Picture(title="t", x_label="x", bars=(Bar("LGA", 0.7), Bar("EWR", 0.6)))
    both = overlay({"validation": first, "test": second})
    assert [(bar.label, bar.value) for bar in both.bars] == [
        ("EWR · validation", 0.5),
        ("EWR · test", 0.6),
        ("JFK · validation", 0.4),
        ("LGA · test", 0.7),
    ]


def test_one_more_evaluation_joins_but_may_not_contradict() -> None:
    report = evaluate_all(["roc"], Y, P)
    picture = Picture(title="t", x_label="x", bars=(Bar("EWR", 0.5),))
    joined = report.joined("by origin", Evaluation({"roc_auc[origin=EWR]": 0.5}, picture))
    assert list(joined.figures) == ["base_rate", "roc_auc", "roc_auc[origin=EWR]", "rows"]
    assert list(joined.pictures) == ["by origin", "roc"]
    with pytest.raises(ConfigurationError, match="'other' gives rows = 9"):
        report.joined("other", Evaluation({"rows": 9.0}))
