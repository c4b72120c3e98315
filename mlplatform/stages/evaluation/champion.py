"""The champion rule: which candidate, if any, takes over. A pure function of figures.

It must not look at test figures (they are carried along for the report only) and must not release anything.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.evaluation.grounds import against, of_itself
from mlplatform.stages.evaluation.judged import Candidate
from mlplatform.stages.evaluation.rule import Rule


class Verdict(msgspec.Struct, frozen=True):
    """The winner, or None if all were refused; `reasons` holds one sentence per candidate digest."""

    winner: Candidate | None
    reasons: dict[str, str]


def choose(
    rule: Rule,
    candidates: Sequence[Candidate],
    baselines: Sequence[Candidate],
    champion: Candidate | None = None,
) -> Verdict:
    """Choose the best candidate that the rule refuses on no ground.

    Parameters
    ----------
    candidates : in any order; the verdict does not depend on it
    baselines : the models `rule.beat` on the same validation rows, in any order
    champion : the present champion on the same validation rows, or None

    Raises
    ------
    ConfigurationError
        if a deciding figure or a baseline is missing, two candidates have one digest, or the rows differ.
    ModelError
        if a deciding figure is not finite.
    """
    rivals = _in_order(rule, baselines)
    _check(rule, candidates, rivals, champion)
    refused = {c.digest: why for c in candidates if (why := _refuse(rule, c, rivals, champion))}
    eligible = sorted((c for c in candidates if c.digest not in refused), key=lambda c: _order(rule, c))
    winner = eligible[0] if eligible else None
    reasons = {
        c.digest: refused.get(c.digest) or _outcome(rule, c, winner, rivals, champion) for c in candidates
    }
    return Verdict(winner, reasons)


def _refuse(
    rule: Rule, candidate: Candidate, baselines: Sequence[Candidate], champion: Candidate | None
) -> str:
    """Why the candidate cannot win, every ground in one sentence; empty if it can."""
    grounds = of_itself(rule, candidate)
    if champion is not None and candidate.digest == champion.digest:
        already = f"{candidate.model} is the present champion already."
        return already if not grounds else f"{already[:-1]}, but {'; '.join(grounds)}."
    for rival in baselines:
        grounds += against(rule, candidate, rival, rival.model, slices=champion is None)
    if champion is not None:
        grounds += against(rule, candidate, champion, _called(champion), slices=True)
    return f"{candidate.model} refused: {'; '.join(grounds)}." if grounds else ""


def _outcome(
    rule: Rule,
    candidate: Candidate,
    winner: Candidate | None,
    baselines: Sequence[Candidate],
    champion: Candidate | None,
) -> str:
    figure = candidate.validation[rule.metric]
    if winner is None or candidate.digest != winner.digest:
        best = winner or candidate
        return (
            f"{candidate.model} not chosen: {rule.metric} {figure:.4f} is no better than "
            f"{best.model}'s {best.validation[rule.metric]:.4f}."
        )
    named = {rival.model: rival for rival in baselines}
    if champion is not None:
        named[_called(champion)] = champion
    gains = {name: rule.gain(figure, rival.validation[rule.metric]) for name, rival in named.items()}
    over = " and ".join(f"{name} by {gain:.4f}" for name, gain in gains.items())
    return f"{candidate.model} chosen: best {rule.metric} {figure:.4f}; beats {over}."


def _called(champion: Candidate) -> str:
    return f"the champion {champion.model}"


def _order(rule: Rule, candidate: Candidate) -> tuple[float, str, str]:
    """Best first; equal figures fall to the model's name and digest, so that the choice repeats."""
    return -rule.gain(candidate.validation[rule.metric], 0.0), candidate.model, candidate.digest


def _in_order(rule: Rule, baselines: Sequence[Candidate]) -> list[Candidate]:
    """The baselines in the order of the rule's names."""
    found = {baseline.model: baseline for baseline in baselines}
    if sorted(found) != sorted(rule.beat) or len(baselines) != len(rule.beat):
        raise ConfigurationError(
            f"got baselines {', '.join(sorted(b.model for b in baselines)) or 'none'}; the rule is to beat "
            f"{', '.join(rule.beat)}.",
            hint="Give the figures of every model to beat, each once.",
        )
    return [found[name] for name in rule.beat]


def _check(
    rule: Rule, candidates: Sequence[Candidate], baselines: Sequence[Candidate], champion: Candidate | None
) -> None:
    digests = [candidate.digest for candidate in candidates]
    if len(set(digests)) != len(digests):
        raise ConfigurationError(
            f"got {len(digests)} candidates with {len(set(digests))} different digests.",
            hint="Give each candidate once.",
        )
    first = baselines[0].validation
    for baseline in baselines:
        _figures(f"the baseline {baseline.model}", baseline.validation, (rule.metric,), first)
    if champion is not None:
        _figures(_called(champion), champion.validation, (rule.metric,), first)
    for candidate in candidates:
        _figures(f"candidate {candidate.model}", candidate.validation, rule.needed, first)


def _figures(
    who: str, figures: Mapping[str, float], needed: Sequence[str], first: Mapping[str, float]
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
        if name in figures and name in first and figures[name] != first[name]:
            raise ConfigurationError(
                f"{who} was evaluated on {name} = {figures[name]:g}, the baseline on {first[name]:g}.",
                hint="Evaluate baseline, candidates and champion on the same rows before choosing.",
            )
