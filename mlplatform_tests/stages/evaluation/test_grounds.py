"""Every ground for refusal: its limit, its words, and that one sentence names them all."""

import math

import pytest
from msgspec.structs import replace

from mlplatform.errors import ConfigurationError
from mlplatform.stages.evaluation.champion import choose
from mlplatform.stages.evaluation.constant import constant
from mlplatform.stages.evaluation.judged import Candidate
from mlplatform.stages.evaluation.rule import Rule

FIGURES = {
    "log_loss": 0.59,
    "roc_auc": 0.62,
    "ece": 0.01,
    "rows": 900.0,
    "base_rate": 0.2,
    "log_loss[origin=EWR]": 0.55,
    "log_loss[origin=JFK]": 0.60,
    "log_loss[origin=LGA]": 0.62,
    "rows[origin=EWR]": 300.0,
}
BASE = Candidate("d-base", "rate_table", FIGURES, draws={"log_loss": (0.58, 0.59, 0.60)})
RULE = Rule(minimum_gain=0.01)


def candidate(name: str = "new", draws: tuple[float, ...] = (), **figures: float) -> Candidate:
    """A candidate better than BASE on the whole and on every slice, but for what is given."""
    levels = {f"log_loss[origin={level}]": 0.5 for level in ("EWR", "JFK", "LGA")}
    validation = {**FIGURES, "log_loss": 0.5, "roc_auc": 0.7, **levels, **figures}
    return Candidate(f"d-{name}", name, validation, draws={"log_loss": draws} if draws else {})


def reason(rule: Rule, judged: Candidate, champion: Candidate | None = None) -> str:
    verdict = choose(rule, [judged], [BASE], champion)
    assert (verdict.winner is None) == (" chosen: " not in verdict.reasons[judged.digest])
    return verdict.reasons[judged.digest]


def test_golden_rows_that_do_not_replay() -> None:
    broken = replace(candidate(), broken="3 of 32 golden rows got another score.")
    assert reason(RULE, broken) == (
        "new refused: its golden rows do not replay (3 of 32 golden rows got another score)."
    )


def test_calibration_error() -> None:
    rule = replace(RULE, max_calibration_error=0.03)
    assert "chosen" in reason(rule, candidate(ece=0.03))
    assert "its calibration error 0.0310 is above the allowed 0.0300" in reason(rule, candidate(ece=0.031))


class TestConfidence:
    rule = replace(RULE, confidence=0.9)

    def test_a_sure_gain(self) -> None:
        assert "chosen" in reason(self.rule, candidate(draws=(0.50, 0.52, 0.51)))

    def test_an_unsure_one(self) -> None:
        said = reason(self.rule, candidate(draws=(0.59, 0.5, 0.5)))
        assert "its gain over rate_table is not sure: the 90% interval -0.0" in said
        assert said.endswith("does not lie above 0.")

    def test_a_bound_above_zero(self) -> None:
        assert "does not lie above 0.2" in reason(
            replace(self.rule, surely_above=0.2), candidate(draws=(0.50, 0.52, 0.51))
        )

    def test_the_champion_must_be_beaten_surely_as_well(self) -> None:
        new = candidate(draws=(0.50, 0.52, 0.51))
        champion = candidate("old", log_loss=0.52, draws=(0.52, 0.50, 0.54))
        assert "its gain over the champion old is not sure" in reason(self.rule, new, champion)

    def test_without_draws_nothing_is_sure(self) -> None:
        assert "its gain over rate_table has no interval" in reason(self.rule, candidate())


class TestSlices:
    rule = replace(RULE, slice_tolerance=0.02)

    def test_within_the_tolerance(self) -> None:
        assert "chosen" in reason(self.rule, candidate(**{"log_loss[origin=EWR]": 0.57}))

    def test_worse_by_more(self) -> None:
        assert (
            "on the slice origin=EWR its log_loss 0.5800 is 0.0300 worse than that of rate_table (0.5500), "
            "at most 0.0200 is allowed"
        ) in reason(self.rule, candidate(**{"log_loss[origin=EWR]": 0.58}))

    def test_the_worst_is_named_and_the_others_counted(self) -> None:
        worse = {"log_loss[origin=EWR]": 0.6, "log_loss[origin=JFK]": 0.7}
        assert "on the slice origin=JFK (and on 1 more)" in reason(self.rule, candidate(**worse))

    def test_the_champion_is_the_measure_once_there_is_one(self) -> None:
        champion = candidate("old", log_loss=0.55, **{"log_loss[origin=EWR]": 0.7})
        new = candidate(**{"log_loss[origin=EWR]": 0.7})
        assert "chosen" in reason(self.rule, new, champion)
        champion = candidate("old", log_loss=0.55, **{"log_loss[origin=EWR]": 0.4})
        assert "worse than that of the champion old (0.4000)" in reason(self.rule, candidate(), champion)

    def test_a_level_that_only_one_has_is_not_compared(self) -> None:
        assert "chosen" in reason(self.rule, candidate(**{"log_loss[origin=XXX]": 9.0}))

    def test_no_slices_is_an_error(self) -> None:
        bare = Candidate("d", "bare", {"log_loss": 0.5})
        with pytest.raises(ConfigurationError, match="bare has no log_loss on slices"):
            choose(self.rule, [bare], [BASE])


def test_one_sentence_names_every_ground() -> None:
    rule = replace(
        RULE,
        highest_plausible={"roc_auc": 0.8},
        max_calibration_error=0.05,
        slice_tolerance=0.0,
        confidence=0.9,
    )
    bad = candidate(
        "bad", log_loss=0.7, roc_auc=0.9, ece=0.2, draws=(0.7, 0.7, 0.7), **{"log_loss[origin=LGA]": 0.9}
    )
    said = reason(rule, replace(bad, broken="another score"))
    for ground in ("golden rows", "roc_auc 0.9000", "calibration", "gains -0.1100", "not sure", "origin=LGA"):
        assert ground in said
    assert said.count(". ") == 0
    assert said.startswith("bad refused: ")
    assert said.endswith(".")


def test_the_present_champion_with_a_fault_says_so() -> None:
    champion = replace(candidate("old"), broken="another score")
    assert reason(RULE, champion, champion) == (
        "old is the present champion already, but its golden rows do not replay (another score)."
    )


class TestSeveralBaselines:
    rule = replace(RULE, beat=("rate_table", "tree"))
    tree = candidate("tree", log_loss=0.55)

    def test_each_must_be_beaten(self) -> None:
        verdict = choose(self.rule, [candidate(log_loss=0.545)], [self.tree, BASE])
        assert verdict.reasons["d-new"] == (
            "new refused: log_loss 0.5450 gains +0.0050 over tree (0.5500), at least 0.0100 is needed."
        )
        verdict = choose(self.rule, [candidate()], [self.tree, BASE])
        assert verdict.reasons["d-new"].endswith("beats rate_table by 0.0900 and tree by 0.0500.")

    @pytest.mark.parametrize("given", [[BASE], [BASE, tree, BASE], [BASE, candidate("other")], []])
    def test_others_than_named_are_refused(self, given: list[Candidate]) -> None:
        with pytest.raises(ConfigurationError, match="the rule is to beat rate_table, tree"):
            choose(self.rule, [], given)


class TestConstant:
    def test_its_figures_follow_from_the_base_rate(self) -> None:
        like = replace(BASE, draws={"base_rate": (0.1, 0.5)}, test={"base_rate": 0.5})
        made = constant("log_loss", like)
        assert made.validation["log_loss"] == pytest.approx(-(0.2 * math.log(0.2) + 0.8 * math.log(0.8)))
        assert made.test["log_loss"] == pytest.approx(math.log(2))
        assert made.draws["log_loss"][1] == pytest.approx(math.log(2))
        assert constant("roc_auc", BASE).validation["roc_auc"] == 0.5
        assert constant("brier", BASE).validation["brier"] == pytest.approx(0.16)

    def test_better_than_a_rate_table_that_is_worse_than_nothing_is_not_enough(self) -> None:
        rule = replace(RULE, beat=("rate_table", "constant"))
        verdict = choose(rule, [candidate(log_loss=0.51)], [BASE, constant("log_loss", BASE)])
        assert "gains -0.0096 over constant (0.5004)" in verdict.reasons["d-new"]

    def test_other_metrics_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="'constant' by rmse; allowed: log_loss"):
            constant("rmse", BASE)


@pytest.mark.parametrize("metric", ["rmse", "mae", "r2", "ndcg_at_5", "top1_regret", "silhouette"])
def test_rules_of_other_tasks(metric: str) -> None:
    low, high = (Candidate(f"d{v}", f"m{v}", {metric: float(v)}) for v in (1, 3))
    verdict = choose(Rule(metric=metric), [low, high], [Candidate("b", "rate_table", {metric: 2.0})])
    assert verdict.winner == (high if metric in ("r2", "ndcg_at_5", "silhouette") else low)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"confidence": 1.0}, "confidence = 1.0; a number between 0 and 1"),
        ({"surely_above": -0.1}, "surely_above = -0.1"),
        ({"slice_tolerance": math.nan}, "slice_tolerance = nan"),
        ({"max_calibration_error": -1.0}, "max_calibration_error = -1.0"),
        ({"beat": ()}, "beat = \\[\\]; one or more"),
        ({"beat": ("a", "a")}, "one or more different models"),
    ],
)
def test_a_rule_without_a_meaning_is_refused(told: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Rule(**told)  # type: ignore[arg-type]
