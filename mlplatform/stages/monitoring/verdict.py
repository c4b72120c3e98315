"""Verdicts: is a version in use worse than its reference, judged on the same rows, and how sure is that?

Accuracy and calibration follow from answers joined with their outcomes, speed and errors (shares.py) from
counts; `decide` (decision.py) says from a history of verdicts whether to roll back. They must not read a
clock or a store, and must not act.
"""

from typing import Literal, cast

import msgspec
import polars as pl

from mlplatform.stages.evaluation.evaluators._losses import absolute, log_losses, squared
from mlplatform.stages.monitoring.decision import Decision as Decision
from mlplatform.stages.monitoring.decision import decide as decide
from mlplatform.stages.monitoring.judged_rows import in_time, known_rows
from mlplatform.stages.monitoring.paired import Excess, bias, calibration_error, relative
from mlplatform.stages.monitoring.rollback_rule import CALLED, Loss
from mlplatform.stages.monitoring.rollback_rule import LOSSES as LOSSES
from mlplatform.stages.monitoring.rollback_rule import RollbackRule as RollbackRule
from mlplatform.stages.monitoring.shares import Counts as Counts
from mlplatform.stages.monitoring.shares import errors as errors
from mlplatform.stages.monitoring.shares import speed as speed
from mlplatform.stages.monitoring.verdict_values import Aspect as Aspect
from mlplatform.stages.monitoring.verdict_values import Verdict as Verdict
from mlplatform.stages.training.output import Kind

_GAPS: dict[Kind, str] = {"probability": "ece", "number": "bias", "forecast": "bias"}
_CALLED_GAPS = {"ece": "calibration error", "bias": "bias in mean absolute errors of the reference"}
ROW_LOSSES = {"log_loss": log_losses, "brier": squared, "mae": absolute, "mse": squared}


def judge(
    judged: pl.DataFrame,
    rule: RollbackRule,
    kind: Kind,
    aspect: Literal["accuracy", "calibration"] = "accuracy",
    *,
    version: str = "the champion",
    reference: str = "the reference",
    earlier: int = 0,
) -> Verdict:
    """Whether `version` is worse than `reference` on the rows that both scored and whose outcome is known.

    Parameters
    ----------
    judged : one row per answer of the version, also of those whose outcome is not known, in any order: `at`
        (UTC time of the question), `block` (text; rows of one block are dependent, e.g. the hour), `score`,
        `reference` (what the reference says of the same row; null: nothing), `outcome` (null or NaN while
        unknown; 0/1 or a boolean for probabilities). Other columns are not looked at. Its latest question is
        taken for the time of the check. Days are those of UTC.
    kind : of the scores: probability, number or forecast
    version, reference : as the sentence is to call them, e.g. "version 7" and "version 6"
    earlier : outcomes of this version that are known and not in the frame

    Raises
    ------
    ConfigurationError
        if the kind has no verdict, or not the rule's metric.
    ModelError
        if a column is missing or a score or an outcome is not one of the kind.
    """
    loss = rule.loss(kind)
    known = known_rows(judged, kind)
    rows = in_time(judged, known, rule)
    bare = _bare(rows, aspect, loss if aspect == "accuracy" else _GAPS[kind], rule)
    bare = msgspec.structs.replace(
        bare,
        version=version,
        reference=reference,
        total=earlier + known.height,
        sentence=f"{version} has {bare.sentence}",
    )
    days = rows["day"].n_unique()
    if bare.n < rule.minimum or bare.blocks < rule.minimum_blocks or days < rule.minimum_days:
        return bare
    p, q, y = (rows[name].to_numpy() for name in ("p", "q", "y"))
    if aspect == "accuracy":
        mine, theirs = ROW_LOSSES[loss](y, p), ROW_LOSSES[loss](y, q)
        ahead = rows.with_columns(ahead=mine - theirs).group_by("day").agg(pl.sum("ahead"))
        on_days = int((ahead["ahead"] > 0.0).sum()), days
        return _said(bare, relative(mine, theirs, rows["block"], rule.confidence), rule, on_days)
    ends = calibration_error if kind == "probability" else bias
    return _said(bare, ends(p, q, y, rows["day"], rule.confidence), rule)


def _bare(rows: pl.DataFrame, aspect: Aspect, metric: str, rule: RollbackRule) -> Verdict:
    """What is said while there is too little to say more."""
    days = rows["day"].n_unique()
    # What a day shares is most of a miscalibration: its hours are no evidence of their own.
    blocks = rows["block"].n_unique() if aspect == "accuracy" else days
    return Verdict(
        aspect=aspect,
        metric=metric,
        version="",
        reference="",
        worse=None,
        n=rows.height,
        blocks=blocks,
        total=0,
        newest=rows["at"].max() if rows.height else None,  # type: ignore[arg-type]
        sentence=f"{rows.height:,} outcomes in {blocks:,} blocks on {days:,} days to be judged by; nothing "
        f"is said below {rule.minimum:,} in {rule.minimum_blocks:,} on {rule.minimum_days:,}.",
    )


def _said(
    bare: Verdict, found: Excess | None, rule: RollbackRule, on_days: tuple[int, int] | None = None
) -> Verdict:
    """The verdict with its figures; `on_days`: on how many the version was worse, of how many."""
    if found is None:
        return msgspec.structs.replace(
            bare,
            sentence=f"{bare.reference} makes no error on {bare.n:,} outcomes: no share of it can be taken.",
        )
    accuracy = bare.aspect == "accuracy"
    shown, margin = ("+.1%", rule.margin) if accuracy else ("+.3f", rule.calibration_margin)
    what = CALLED[cast(Loss, bare.metric)] if accuracy else _CALLED_GAPS[bare.metric]
    often = f", worse on {on_days[0]} of {on_days[1]} days" if on_days else ""
    steady = on_days is None or on_days[0] >= rule.days_worse * on_days[1]
    return msgspec.structs.replace(
        bare,
        worse=found.low > margin and steady,
        value=found.value,
        reference_value=found.reference,
        excess=found.excess,
        low=found.low,
        high=found.high,
        sentence=f"{bare.version}'s {what} on {bare.n:,} outcomes is {found.value:.4g} against "
        f"{found.reference:.4g} of {bare.reference} on the same rows: {found.excess:{shown}} "
        f"({rule.confidence:.0%} interval {found.low:{shown}} to {found.high:{shown}}{often}; up to "
        f"{margin:{shown}} is let pass).",
    )
