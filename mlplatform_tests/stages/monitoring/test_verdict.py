"""Verdicts of accuracy and calibration: paired on the same rows, sure over blocks, said in one sentence."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.monitoring.verdict import RollbackRule, Verdict, judge

START = datetime(2013, 9, 1, tzinfo=UTC)
RULE = RollbackRule(settle_hours=0.0, days=60.0)
NAMES: dict[str, Any] = {"version": "version 7", "reference": "version 6"}


def answers(noise: float = 0.0, lift: float = 0.0, *, days: int = 14, seed: int = 0) -> pl.DataFrame:
    """300 answers a day; logits of the version are the true ones plus noise and a lift."""
    random = np.random.default_rng(seed)
    n = 300 * days
    bad_day = np.repeat(random.normal(0.0, 0.7, days), 300)  # what all rows of a day share
    seen = random.normal(-1.2, 1.0, n)
    logit = seen + noise * random.normal(size=n) + lift
    at = [START + timedelta(minutes=4.8 * row) for row in range(n)]
    return pl.DataFrame(
        {
            "prediction_id": [str(row) for row in range(n)],
            "at": at,
            "score": share(logit),
            "reference": share(seen),
            "outcome": random.random(n) < share(seen + bad_day),
        }
    ).with_columns(block=pl.col("at").dt.date().cast(pl.String))


def share(logit: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))


def test_noise_makes_a_version_worse_and_the_sentence_says_by_how_much() -> None:
    verdict = judge(answers(noise=1.0), RULE, "probability", **NAMES)
    assert verdict.worse
    assert verdict.low is not None
    assert verdict.excess is not None
    assert 0.02 < verdict.low < verdict.excess
    assert verdict.gain == -verdict.excess
    assert (verdict.n, verdict.blocks, verdict.total) == (4_200, 14, 4_200)
    head, days = verdict.sentence.split(", worse on ")
    assert head == (
        f"version 7's log loss on 4,200 outcomes is {verdict.value:.4g} against "
        f"{verdict.reference_value:.4g} of version 6 on the same rows: {verdict.excess:+.1%} (99% interval "
        f"{verdict.low:+.1%} to {verdict.high:+.1%}"
    )
    assert days in [f"{few} of 14 days; up to +1.0% is let pass)." for few in range(11, 15)]


def test_a_version_is_not_worse_than_itself_nor_than_one_that_is_worse() -> None:
    same, noisy = answers(), answers(noise=1.0)
    turned = noisy.rename({"score": "reference", "reference": "score"})
    for frame in (same, turned):
        for aspect in ("accuracy", "calibration"):
            assert judge(frame, RULE, "probability", aspect).worse is False
    assert judge(same, RULE, "probability").excess == 0.0


def test_less_than_the_margin_is_never_acted_on() -> None:
    frame = answers(noise=0.2, days=56)
    assert judge(frame, msgspec.structs.replace(RULE, margin=0.0), "probability").worse
    assert judge(frame, RULE, "probability").worse is False


def test_one_bad_day_is_no_verdict() -> None:
    """Hours are many and all worse, but they are those of two days of five."""
    frame = answers(days=5).with_columns(block=pl.col("at").dt.truncate("1h").cast(pl.String))
    bad = pl.col("at") >= START + timedelta(days=3)
    flat = frame.with_columns(score=pl.when(bad).then(0.9).otherwise("score"))
    loose = msgspec.structs.replace(RULE, days_worse=0.0)
    assert judge(flat, loose, "probability").worse
    verdict = judge(flat, RULE, "probability")
    assert verdict.worse is False
    assert ", worse on 2 of 5 days; " in verdict.sentence


def test_a_lift_of_all_scores_is_bad_calibration() -> None:
    verdict = judge(answers(lift=0.8, days=28), RULE, "probability", "calibration", **NAMES)
    assert verdict.worse
    assert verdict.metric == "ece"
    assert verdict.sentence.startswith("version 7's calibration error on 8,400 outcomes is ")
    assert judge(answers(noise=0.1, days=28), RULE, "probability", "calibration").worse is False


def test_rows_of_one_block_are_not_independent() -> None:
    """A lift wins or loses a whole day: over days the interval must be wider than over rows."""
    frame = answers(lift=0.4)
    by_row = judge(frame.with_columns(block="prediction_id"), RULE, "probability")
    by_day = judge(frame, RULE, "probability")
    assert by_row.excess == pytest.approx(by_day.excess)
    assert width(by_day) > 2 * width(by_row)


def width(verdict: Verdict) -> float:
    assert verdict.low is not None
    assert verdict.high is not None
    return verdict.high - verdict.low


@pytest.mark.parametrize("shape", [1.0, 4.0], ids=["normal", "heavy tails"])
def test_the_interval_holds_what_it_promises(shape: float) -> None:
    """400 times ten days whose true excess is known: at 90 % some 40 intervals miss it."""
    random, missed = np.random.default_rng(8), 0
    rule = msgspec.structs.replace(RULE, confidence=0.9, minimum=1)
    blocks = [f"{day:02}" for day in range(10) for _ in range(20)]
    at = [START + timedelta(hours=hour) for hour in range(200)]
    for _ in range(400):
        shared = np.repeat(random.normal(0.0, 0.3, 10), 20)
        theirs = random.gamma(shape, 1.0 / shape, 200)
        mine = theirs + 0.1 + shared * theirs + random.normal(0.0, 0.2, 200)
        frame = pl.DataFrame({"at": at, "block": blocks, "score": mine, "reference": theirs, "outcome": 0.0})
        verdict = judge(frame.with_columns(pl.col("score").abs()), rule, "number")
        assert verdict.low is not None
        assert verdict.high is not None
        missed += not verdict.low <= 0.1 <= verdict.high
    assert 20 <= missed <= 64


@pytest.mark.parametrize(("aspect", "metric"), [("accuracy", "mae"), ("calibration", "bias")])
def test_numbers(aspect: str, metric: str) -> None:
    random = np.random.default_rng(1)
    truth = random.normal(10.0, 5.0, 3_000)
    frame = pl.DataFrame(
        {
            "at": [START + timedelta(minutes=5 * row) for row in range(3_000)],
            "score": truth + random.normal(1.0, 1.0, 3_000),
            "reference": truth + random.normal(0.0, 1.0, 3_000),
            "outcome": truth,
        }
    ).with_columns(block=pl.col("at").dt.date().cast(pl.String))
    verdict = judge(frame, RULE, "number", aspect)  # type: ignore[arg-type]
    assert verdict.worse
    assert verdict.metric == metric
    turned = frame.rename({"score": "reference", "reference": "score"})
    assert judge(turned, RULE, "forecast", aspect).worse is False  # type: ignore[arg-type]


def test_only_settled_recent_paired_rows_with_an_outcome_are_judged() -> None:
    frame = answers(days=10)
    rule = RollbackRule(settle_hours=24.0, days=3.0)
    now = frame["at"].max()
    assert isinstance(now, datetime)
    verdict = judge(frame, rule, "probability", earlier=50)
    inside = frame.filter(pl.col("at") <= now - timedelta(days=1), pl.col("at") > now - timedelta(days=4))
    assert (verdict.n, verdict.total) == (inside.height, frame.height + 50)
    assert verdict.newest == inside["at"].max()
    row = pl.int_range(pl.len())
    holed = frame.with_columns(
        outcome=pl.when(row % 2 == 0).then("outcome"), reference=pl.when(row % 3 == 0).then("reference")
    )
    assert judge(holed, RULE, "probability").n == frame.height // 6


def test_too_few_rows_or_blocks_say_nothing() -> None:
    few = judge(answers().head(299), RULE, "probability", **NAMES)
    assert (few.worse, few.n, few.value) == (None, 299, None)
    assert few.sentence == (
        "version 7 has 299 outcomes in 1 blocks on 1 days to be judged by; nothing is said "
        "below 300 in 4 on 3."
    )
    assert judge(answers(noise=2.0, days=3), RULE, "probability").worse is None
    assert judge(answers().clear(), RULE, "probability").worse is None


def test_the_order_of_the_rows_says_nothing_and_a_verdict_survives_json() -> None:
    frame = answers(noise=0.5)
    verdict = judge(frame, RULE, "probability", "calibration")
    assert judge(frame, RULE, "probability", "calibration") == verdict
    shuffled = judge(frame.sample(fraction=1.0, shuffle=True, seed=1), RULE, "probability", "calibration")
    assert shuffled.sentence == verdict.sentence
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict


def test_a_reference_without_any_error_is_no_measure() -> None:
    frame = answers().with_columns(reference=pl.col("outcome").cast(pl.Float64))
    number = frame.with_columns(pl.col("outcome").cast(pl.Float64))
    assert judge(number, RULE, "number").worse is None
    assert "no share of it can be taken" in judge(number, RULE, "number", "calibration").sentence


def test_what_cannot_be_judged_is_refused() -> None:
    frame = answers()
    with pytest.raises(ConfigurationError, match="'ranked_list' have no verdict"):
        judge(frame, RULE, "ranked_list")
    with pytest.raises(ConfigurationError, match="metric = mae"):
        judge(frame, RollbackRule(metric="mae"), "probability")
    with pytest.raises(ModelError, match="no column 'reference'"):
        judge(frame.drop("reference"), RULE, "probability")
    with pytest.raises(ModelError, match=r"a score of 2.0"):
        judge(frame.with_columns(score=2.0), RULE, "probability")
    with pytest.raises(ModelError, match="a score of nan"):
        judge(frame.with_columns(score=float("nan")), RULE, "number")
    with pytest.raises(ModelError, match=r"an outcome of 0.5"):
        judge(frame.with_columns(outcome=0.5), RULE, "probability")
    with pytest.raises(ModelError, match="without a time or a block"):
        judge(frame.with_columns(block=pl.lit(None, pl.String)), RULE, "probability")


@pytest.mark.parametrize(
    ("name", "value"),
    [("margin", -0.1), ("confidence", 1.0), ("windows", 0), ("late_share", 1.5), ("days", 0.0),
     ("minimum_blocks", 1), ("settle_hours", float("nan"))],
)  # fmt: skip
def test_a_rule_without_meaning_is_refused(name: str, value: float) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError, match=f"{name} = {value}"):
        RollbackRule(**given)
