"""The champion rule: which candidate, if any, takes over. A pure function of figures.

It must not look at test figures (they are carried along for the report only) and must not release anything.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec

from mlplatform.errors import ConfigurationError, ModelError

HIGHER_IS_BETTER = {"log_loss": False, "brier": False, "roc_auc": True, "average_precision": True}
"""Figures a rule may choose by. Calibration error is not one: a constant score is well calibrated."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What a use case declares: choose by `metric`, gain at least `minimum_gain`, beat the model `beat`.

    `minimum_gain` is in the metric's own unit and counts against the baseline and the present champion; a
    gain of zero is never enough. `highest_plausible` names higher-is-better figures above which a candidate
    is refused as a probable leak.

    Raises
    ------
    ConfigurationError
        if a metric is unknown, the gain negative, or a plausible height has no meaning.
    """

    metric: str = "log_loss"
    minimum_gain: float = 0.0
    beat: str = "rate_table"
    highest_plausible: dict[str, float] = {}

    def __post_init__(self) -> None:
        _known(self.metric, tuple(HIGHER_IS_BETTER))
        for metric, value in self.highest_plausible.items():
            _known(metric, tuple(name for name, higher in HIGHER_IS_BETTER.items() if higher))
            _number(f"highest_plausible.{metric}", value)
        _number("minimum_gain", self.minimum_gain)

    def gain(self, figure: float, over: float) -> float:
        """By how much `figure` is better than `over`; negative if it is worse."""
        return figure - over if HIGHER_IS_BETTER[self.metric] else over - figure


class Candidate(msgspec.Struct, frozen=True):
    """A trained model and its figures on the validation rows (these decide) and on the test rows."""

    digest: str
    model: str
    validation: dict[str, float]
    test: dict[str, float] = {}


class Verdict(msgspec.Struct, frozen=True):
    """The winner, or None if all were refused; `reasons` holds one sentence per candidate digest."""

    winner: Candidate | None
    reasons: dict[str, str]


def choose(
    rule: Rule,
    candidates: Sequence[Candidate],
    baseline: Mapping[str, float],
    champion: Candidate | None = None,
) -> Verdict:
    """Choose the best plausible candidate that beats the baseline and the present champion.

    Parameters
    ----------
    candidates : in any order; the verdict does not depend on it
    baseline : figures of the model `rule.beat` on the same validation rows
    champion : the present champion with its figures on the same validation rows, or None

    Raises
    ------
    ConfigurationError
        if the deciding figure is missing, two candidates have one digest, or the rows differ.
    ModelError
        if the deciding figure is not finite.
    """
    _check(rule, candidates, baseline, champion)
    refused = {c.digest: why for c in candidates if (why := _refuse(rule, c, baseline, champion))}
    eligible = sorted((c for c in candidates if c.digest not in refused), key=lambda c: _order(rule, c))
    winner = eligible[0] if eligible else None
    reasons = {
        c.digest: refused.get(c.digest) or _outcome(rule, c, winner, baseline, champion) for c in candidates
    }
    return Verdict(winner, reasons)


def _refuse(
    rule: Rule, candidate: Candidate, baseline: Mapping[str, float], champion: Candidate | None
) -> str:
    """Why the candidate cannot win, as a sentence; empty if it can."""
    for metric, limit in sorted(rule.highest_plausible.items()):
        if candidate.validation[metric] > limit:
            return (
                f"{candidate.model} refused: {metric} {candidate.validation[metric]:.4f} is above the "
                f"highest plausible {limit:.4f}, so a feature probably knows the outcome."
            )
    if champion is not None and candidate.digest == champion.digest:
        return f"{candidate.model} is the present champion already."
    why = _too_little(rule, candidate, rule.beat, baseline)
    if not why and champion is not None:
        why = _too_little(rule, candidate, f"the champion {champion.model}", champion.validation)
    return why


def _too_little(rule: Rule, candidate: Candidate, rival: str, figures: Mapping[str, float]) -> str:
    figure, over = candidate.validation[rule.metric], figures[rule.metric]
    gain = rule.gain(figure, over)
    if gain > 0.0 and gain >= rule.minimum_gain:
        return ""
    needed = f"at least {rule.minimum_gain:.4f}" if rule.minimum_gain > 0.0 else "more than 0"
    return (
        f"{candidate.model} refused: {rule.metric} {figure:.4f} gains {gain:+.4f} over {rival} ({over:.4f}); "
        f"{needed} is needed."
    )


def _outcome(
    rule: Rule,
    candidate: Candidate,
    winner: Candidate | None,
    baseline: Mapping[str, float],
    champion: Candidate | None,
) -> str:
    figure = candidate.validation[rule.metric]
    if winner is None or candidate.digest != winner.digest:
        best = winner or candidate
        return (
            f"{candidate.model} not chosen: {rule.metric} {figure:.4f} is no better than "
            f"{best.model}'s {best.validation[rule.metric]:.4f}."
        )
    over = f"{rule.beat} by {rule.gain(figure, baseline[rule.metric]):.4f}"
    if champion is not None:
        over += (
            f" and the champion {champion.model} by {rule.gain(figure, champion.validation[rule.metric]):.4f}"
        )
    return f"{candidate.model} chosen: best {rule.metric} {figure:.4f}; beats {over}."


def _order(rule: Rule, candidate: Candidate) -> tuple[float, str, str]:
    """Best first; equal figures fall to the model's name and digest, so that the choice repeats."""
    return -rule.gain(candidate.validation[rule.metric], 0.0), candidate.model, candidate.digest


def _check(
    rule: Rule, candidates: Sequence[Candidate], baseline: Mapping[str, float], champion: Candidate | None
) -> None:
    digests = [candidate.digest for candidate in candidates]
    if len(set(digests)) != len(digests):
        raise ConfigurationError(
            f"got {len(digests)} candidates with {len(set(digests))} different digests.",
            hint="Give each candidate once.",
        )
    _figures(f"the baseline {rule.beat}", baseline, (rule.metric,), baseline)
    if champion is not None:
        _figures(f"the champion {champion.model}", champion.validation, (rule.metric,), baseline)
    for candidate in candidates:
        needed = (rule.metric, *rule.highest_plausible)
        _figures(f"candidate {candidate.model}", candidate.validation, needed, baseline)


def _figures(
    who: str, figures: Mapping[str, float], needed: Sequence[str], baseline: Mapping[str, float]
) -> None:
    for name in needed:
        if name not in figures:
            raise ConfigurationError(
                f"{who} has no figure {name!r}; it has {', '.join(sorted(figures)) or 'none'}.",
                hint=f"Name an evaluator that gives {name} in the use case's evaluators.",
            )
        if not math.isfinite(figures[name]):
            raise ModelError(f"{who} has {name} = {figures[name]}; a figure is a finite number.")
    for name in ("rows", "base_rate"):
        if name in figures and name in baseline and figures[name] != baseline[name]:
            raise ConfigurationError(
                f"{who} was evaluated on {name} = {figures[name]:g}, the baseline on {baseline[name]:g}.",
                hint="Evaluate baseline, candidates and champion on the same rows before choosing.",
            )


def _known(metric: str, allowed: Sequence[str]) -> None:
    if metric not in allowed:
        raise ConfigurationError(
            f"the champion rule names the metric {metric!r}; allowed: {', '.join(allowed)}.",
            hint="Correct the metric in the use case's champion rule.",
        )


def _number(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0.0):
        raise ConfigurationError(
            f"the champion rule has {name} = {value}; a finite number of at least 0 is allowed.",
            hint="Correct it in the use case's champion rule.",
        )
