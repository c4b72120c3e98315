"""The grounds on which the champion rule refuses a candidate, each a half-sentence with its figures.

It must not choose: a candidate without a ground may still be worse than another.
"""

from mlplatform.errors import ConfigurationError
from mlplatform.stages.evaluation.bootstrap import Interval, gain_interval
from mlplatform.stages.evaluation.judged import Candidate
from mlplatform.stages.evaluation.rule import CALIBRATION_ERROR, Rule
from mlplatform.stages.evaluation.slices import figure_name


def of_itself(rule: Rule, candidate: Candidate) -> list[str]:
    """The grounds that need no rival: golden rows, a probable leak, calibration."""
    grounds = [f"its golden rows do not replay ({candidate.broken.rstrip('.')})"] if candidate.broken else []
    for metric, limit in sorted(rule.highest_plausible.items()):
        if candidate.validation[metric] > limit:
            grounds.append(
                f"{metric} {candidate.validation[metric]:.4f} is above the highest plausible {limit:.4f}, "
                "so a feature probably knows the outcome"
            )
    highest = rule.max_calibration_error
    if highest is not None and candidate.validation[CALIBRATION_ERROR] > highest:
        error = candidate.validation[CALIBRATION_ERROR]
        grounds.append(f"its calibration error {error:.4f} is above the allowed {highest:.4f}")
    return grounds


def against(rule: Rule, candidate: Candidate, rival: Candidate, called: str, *, slices: bool) -> list[str]:
    """The grounds for which a rival (a baseline, the present champion) is kept: gain, its interval, slices.

    Raises
    ------
    ConfigurationError
        if slices are to be compared and there are none.
    """
    grounds = [_too_little(rule, candidate, rival, called), _not_sure(rule, candidate, rival, called)]
    if slices and rule.slice_tolerance is not None:
        grounds.append(_worse_slice(rule, rule.slice_tolerance, candidate, rival, called))
    return [ground for ground in grounds if ground]


def surely(rule: Rule, candidate: Candidate, rival: Candidate, level: float) -> Interval | None:
    """The interval of the candidate's gain over the rival, or None where one of them has no draws."""
    mine, theirs = candidate.draws.get(rule.metric), rival.draws.get(rule.metric)
    return gain_interval(rule.figure, mine, theirs, level) if mine and theirs else None


def _too_little(rule: Rule, candidate: Candidate, rival: Candidate, called: str) -> str:
    figure, over = candidate.validation[rule.metric], rival.validation[rule.metric]
    gain = rule.gain(figure, over)
    if gain > 0.0 and gain >= rule.minimum_gain:
        return ""
    needed = f"at least {rule.minimum_gain:.4f}" if rule.minimum_gain > 0.0 else "more than 0"
    return f"{rule.metric} {figure:.4f} gains {gain:+.4f} over {called} ({over:.4f}), {needed} is needed"


def _not_sure(rule: Rule, candidate: Candidate, rival: Candidate, called: str) -> str:
    if rule.confidence is None:
        return ""
    gain = surely(rule, candidate, rival, rule.confidence)
    if gain is None:
        return f"its gain over {called} has no interval (too few days, or evaluated without one)"
    if gain.low > rule.surely_above:
        return ""
    return (
        f"its gain over {called} is not sure: the {rule.confidence:.0%} interval {gain.low:+.4f} to "
        f"{gain.high:+.4f} does not lie above {rule.surely_above:g}"
    )


def _worse_slice(rule: Rule, tolerance: float, candidate: Candidate, rival: Candidate, called: str) -> str:
    """The worst of the slices that are worse by more than the tolerance, and how many more there are."""
    losses = {
        name: -rule.gain(candidate.validation[name], rival.validation[name])
        for name in _shared(rule, candidate, rival)
    }
    worse = sorted(
        (name for name in losses if losses[name] > tolerance), key=lambda name: (-losses[name], name)
    )
    if not worse:
        return ""
    name = worse[0]
    place = name.removeprefix(f"{rule.metric}[").removesuffix("]")
    more = f" (and on {len(worse) - 1} more)" if len(worse) > 1 else ""
    return (
        f"on the slice {place}{more} its {rule.metric} {candidate.validation[name]:.4f} is "
        f"{losses[name]:.4f} worse than that of {called} ({rival.validation[name]:.4f}), at most "
        f"{tolerance:.4f} is allowed"
    )


def _shared(rule: Rule, candidate: Candidate, rival: Candidate) -> list[str]:
    """Names of the deciding figure on slices, as both have them: the same rows have the same levels."""
    beginning = figure_name(rule.metric, "", "").removesuffix("=]")
    found = [name for name in candidate.validation if name.startswith(beginning)]
    if not found:
        raise ConfigurationError(
            f"candidate {candidate.model} has no {rule.metric} on slices; slice_tolerance compares them.",
            hint="Name columns with levels of enough rows in `slices`, or leave the tolerance out.",
        )
    return [name for name in found if name in rival.validation]
