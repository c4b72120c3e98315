"""Planted faults: the rule refuses each bad model on its ground and takes the good one, 20 seeds of 20."""

import pytest
from msgspec.structs import replace

from mlplatform.stages.evaluation.champion import choose
from mlplatform.stages.evaluation.constant import constant
from mlplatform.stages.evaluation.judged import Candidate
from mlplatform.stages.evaluation.rule import Rule
from mlplatform_tests.stages.evaluation.planted import candidates

RULE = Rule(
    metric="log_loss",
    minimum_gain=0.02,  # by luck alone, a model of shuffled labels gained up to 0.01
    beat=("rate_table", "constant"),
    confidence=0.9,
    slice_tolerance=0.02,
    max_calibration_error=0.05,
    highest_plausible={"roc_auc": 0.9},
)
GROUNDS = {
    "shuffled": (
        "over rate_table",
        "over constant",
        "over the champion champion",
        "at least 0.0200 is needed",
    ),
    "leaking": ("is above the highest plausible 0.9000, so a feature probably knows the outcome",),
    "worse_at_lga": ("on the slice origin=LGA", "worse than that of the champion champion"),
    "overbalanced": ("its calibration error", "is above the allowed 0.0500"),
}


def _baselines(models: dict[str, Candidate]) -> list[Candidate]:
    baseline = models.pop("rate_table")
    return [baseline, constant("log_loss", baseline)]


@pytest.mark.parametrize("seed", range(20))
def test_each_bad_model_is_refused_on_its_ground_and_the_good_one_taken(seed: int) -> None:
    models = dict(candidates(seed))
    baselines, present = _baselines(models), models.pop("champion")
    for name, said in GROUNDS.items():
        verdict = choose(RULE, [models[name]], baselines, present)
        assert verdict.winner is None, name
        for ground in said:
            assert ground in verdict.reasons[f"d-{name}"]
    verdict = choose(RULE, list(models.values()), baselines, present)
    assert verdict.winner == models["good"], verdict.reasons["d-good"]
    assert verdict.reasons["d-good"].startswith("good chosen: best log_loss")


@pytest.mark.parametrize("seed", range(20))
def test_before_there_is_a_champion_the_baseline_is_the_measure(seed: int) -> None:
    models = dict(candidates(seed))
    verdict = choose(RULE, list(models.values()), _baselines(models))
    assert verdict.winner == models["good"]
    assert verdict.reasons["d-champion"].startswith("champion not chosen")
    for name in ("shuffled", "leaking", "overbalanced"):
        assert f"{name} refused" in verdict.reasons[f"d-{name}"]


def test_a_model_that_hides_one_bad_slice_gains_on_the_whole() -> None:
    models = dict(candidates(0))
    lax = replace(RULE, slice_tolerance=None)
    verdict = choose(lax, [models["worse_at_lga"]], _baselines(models), models["champion"])
    assert verdict.winner == models["worse_at_lga"]
