"""The champion rule: chooses on validation figures only, and may refuse all."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.evaluation.champion import choose
from mlplatform.stages.evaluation.judged import Candidate
from mlplatform.stages.evaluation.rule import Rule

FIGURES = {"log_loss": 0.59, "roc_auc": 0.62, "rows": 100.0, "base_rate": 0.2}
BASELINE = [Candidate("d-base", "rate_table", FIGURES)]
RULE = Rule(metric="log_loss", minimum_gain=0.01, highest_plausible={"roc_auc": 0.83})


def candidate(
    name: str, log_loss: float, roc_auc: float = 0.75, test: dict[str, float] | None = None
) -> Candidate:
    figures = {**FIGURES, "log_loss": log_loss, "roc_auc": roc_auc}
    return Candidate(f"d-{name}", name, figures, test or {})


def test_the_best_wins_and_each_gets_one_sentence() -> None:
    lightgbm, logistic = candidate("lightgbm", 0.45), candidate("logistic", 0.48)
    verdict = choose(RULE, [logistic, lightgbm], BASELINE)
    assert verdict.winner == lightgbm
    assert verdict.reasons == {
        "d-logistic": "logistic not chosen: log_loss 0.4800 is no better than lightgbm's 0.4500.",
        "d-lightgbm": "lightgbm chosen: best log_loss 0.4500; beats rate_table by 0.1400.",
    }


def test_higher_is_better_for_auc() -> None:
    low, high = candidate("low", 0.40, roc_auc=0.70), candidate("high", 0.50, roc_auc=0.78)
    assert choose(Rule(metric="roc_auc"), [low, high], BASELINE).winner == high


def test_a_probable_leak_is_refused_and_the_next_best_wins() -> None:
    leak, honest = candidate("leak", 0.29, roc_auc=0.9135), candidate("honest", 0.45, roc_auc=0.80)
    verdict = choose(RULE, [leak, honest], BASELINE)
    assert verdict.winner == honest
    assert "0.9135 is above the highest plausible 0.8300" in verdict.reasons["d-leak"]


def test_the_highest_plausible_itself_is_plausible() -> None:
    assert choose(RULE, [candidate("edge", 0.45, roc_auc=0.83)], BASELINE).winner is not None


def test_all_may_be_refused() -> None:
    verdict = choose(RULE, [candidate("shuffled", 0.60), candidate("rate_table", 0.59)], BASELINE)
    assert verdict.winner is None
    assert (
        "gains -0.0100 over rate_table (0.5900), at least 0.0100 is needed" in verdict.reasons["d-shuffled"]
    )
    assert "gains +0.0000" in verdict.reasons["d-rate_table"]


def test_a_gain_of_zero_is_not_enough_without_a_minimum_either() -> None:
    verdict = choose(Rule(), [candidate("same", 0.59)], BASELINE)
    assert verdict.winner is None
    assert "more than 0 is needed" in verdict.reasons["d-same"]


def test_the_champion_must_be_beaten_by_the_minimum_on_the_same_rows() -> None:
    champion = candidate("old", 0.455)
    refused = choose(RULE, [candidate("new", 0.450)], BASELINE, champion)
    assert refused.winner is None
    assert "gains +0.0050 over the champion old (0.4550)" in refused.reasons["d-new"]
    won = choose(RULE, [candidate("new", 0.440)], BASELINE, champion)
    assert won.reasons["d-new"].endswith("beats rate_table by 0.1500 and the champion old by 0.0150.")


def test_the_champion_itself_is_no_winner() -> None:
    champion = candidate("old", 0.45)
    verdict = choose(RULE, [champion], BASELINE, champion)
    assert verdict.winner is None
    assert verdict.reasons == {"d-old": "old is the present champion already."}


def test_no_candidates_no_winner() -> None:
    assert choose(RULE, [], BASELINE).winner is None


losses = st.lists(st.floats(0.3, 0.7), min_size=1, max_size=6)


@given(losses, st.randoms(use_true_random=False))
def test_order_does_not_matter(figures: list[float], random) -> None:
    candidates = [candidate(f"m{i % 2}-{i}", figure) for i, figure in enumerate(figures)]
    shuffled = random.sample(candidates, len(candidates))
    assert choose(RULE, candidates, BASELINE) == choose(RULE, shuffled, BASELINE)


@given(losses, st.floats(0.0, 1.0))
def test_test_figures_never_decide(figures: list[float], temptation: float) -> None:
    plain = [candidate(f"m{i}", figure) for i, figure in enumerate(figures)]
    tempting = [
        candidate(f"m{i}", figure, test={"log_loss": temptation * i, "roc_auc": 1.0})
        for i, figure in enumerate(figures)
    ]
    first, second = choose(RULE, plain, BASELINE), choose(RULE, tempting, BASELINE)
    assert first.reasons == second.reasons
    assert (first.winner and first.winner.digest) == (second.winner and second.winner.digest)


@given(losses, st.one_of(st.none(), st.floats(0.3, 0.7)))
def test_a_winner_beats_all_it_must_beat(figures: list[float], present: float | None) -> None:
    candidates = [candidate(f"m{i}", figure) for i, figure in enumerate(figures)]
    champion = None if present is None else candidate("champion", present)
    verdict = choose(RULE, candidates, BASELINE, champion)
    assert len(verdict.reasons) == len(candidates)
    if verdict.winner is not None:
        best = verdict.winner.validation["log_loss"]
        assert best == min(figures)
        assert FIGURES["log_loss"] - best >= RULE.minimum_gain
        assert present is None or present - best >= RULE.minimum_gain


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"metric": "accuracy"}, "'accuracy'; allowed: log_loss, brier, roc_auc"),
        ({"minimum_gain": -0.1}, "minimum_gain = -0.1"),
        ({"minimum_gain": math.nan}, "minimum_gain = nan"),
        ({"highest_plausible": {"log_loss": 0.3}}, "'log_loss'; allowed: roc_auc"),
        ({"highest_plausible": {"roc_auc": math.inf}}, "highest_plausible.roc_auc = inf"),
    ],
)
def test_a_wrong_rule_is_refused(rule: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Rule(**rule)  # type: ignore[arg-type]


def test_figures_from_other_rows_are_refused() -> None:
    other = Candidate("d", "m", {**FIGURES, "rows": 99.0})
    with pytest.raises(ConfigurationError, match="rows = 99, the baseline on 100"):
        choose(RULE, [other], BASELINE)


def test_missing_infinite_and_doubled_candidates_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="baseline rate_table has no figure 'log_loss'; it has roc_auc"
    ):
        choose(RULE, [], [Candidate("d", "rate_table", {"roc_auc": 0.6})])
    with pytest.raises(ConfigurationError, match="candidate m has no figure 'roc_auc'"):
        choose(RULE, [Candidate("d", "m", {"log_loss": 0.4})], BASELINE)
    with pytest.raises(ModelError, match="candidate bad has log_loss = nan"):
        choose(RULE, [candidate("bad", math.nan)], BASELINE)
    with pytest.raises(ConfigurationError, match="2 candidates with 1 different"):
        choose(RULE, [candidate("a", 0.4), candidate("a", 0.4)], BASELINE)
