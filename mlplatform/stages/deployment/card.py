"""The model card: what a person reads before they let a model answer, as Markdown.

It must not judge: it says what was measured and declared.
"""

from collections.abc import Sequence

import msgspec

from mlplatform.stages.deployment.policy import Policy
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.candidate import Candidate


class Figure(msgspec.Struct, frozen=True):
    """A figure of the model on one part of the split; `low` to `high` is its 90 % interval, if it has one."""

    part: str
    name: str
    value: float
    low: float | None = None
    high: float | None = None

    @property
    def of_a_slice(self) -> bool:
        """Whether it is of the rows of one level only."""
        return "[" in self.name


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the card says that the candidate does not know itself."""

    title: str
    description: str
    owners: tuple[str, ...] = ()
    target: str | None = None
    """The label's column."""
    figures: tuple[Figure, ...] = ()


def card(
    facts: Facts,
    candidate: Candidate,
    fitted: FittedFeatureSet,
    model: str,
    as_of: str,
    threshold: float,
    policy: Policy,
    chain: Sequence[str],
) -> str:
    """The card of a candidate called `model` that was trained as of a date; `chain` are earlier versions."""
    sections = [
        (f"{facts.title}: {model}", [facts.description, *_who(facts)]),
        ("What it answers", _answers(facts, candidate, threshold)),
        ("What it was trained on", _training(candidate, as_of)),
        ("Features", _features(fitted)),
        ("Figures", _table([each for each in facts.figures if not each.of_a_slice])),
        ("Slices", _table([each for each in facts.figures if each.of_a_slice])),
        ("Limits", _limits(candidate, fitted)),
        ("How it is served", _served(policy, chain)),
        ("Where it comes from", _provenance(candidate, fitted)),
    ]
    (title, lines), *rest = sections
    said = [f"# {title}", "", *lines]
    for name, lines in rest:
        if lines:
            said += ["", f"## {name}", "", *lines]
    return "\n".join(said) + "\n"


def _who(facts: Facts) -> list[str]:
    return ["", f"Owned by {', '.join(facts.owners)}."] if facts.owners else []


def _answers(facts: Facts, candidate: Candidate, threshold: float) -> list[str]:
    of = f" of `{facts.target}`" if facts.target else ""
    said = [f"A {candidate.output.kind.replace('_', ' ')}{of}; the model is of kind `{candidate.kind}`."]
    if candidate.output.kind == "probability":
        said.append(f"From {threshold:g} on the class is true.")
    return said


def _training(candidate: Candidate, as_of: str) -> list[str]:
    made = candidate.metadata
    span = f" of {made.window[0]} to {made.window[1]}" if made.window else ""
    mean = "" if candidate.output.task == "clustering" else f"; mean label {made.label_rate:.4f}"
    return [
        f"- {made.rows:,} rows{span}, as of {as_of}{mean}",
        *([f"- split `{made.split_id}`"] if made.split_id else []),
        *(f"- {name}: `{value}`" for name, value in sorted(candidate.params.items())),
    ]


def _features(fitted: FittedFeatureSet) -> list[str]:
    said = [f"{len(fitted.names)} features of the set `{fitted.id}`, in this order:", ""]
    for name in fitted.names:
        levels = fitted.levels.get(name)
        said.append(f"- `{name}`" + (f" ({len(levels)} levels)" if levels is not None else ""))
    return said


def _table(figures: Sequence[Figure]) -> list[str]:
    if not figures:
        return []
    return ["| part | figure | value | 90 % interval |", "| --- | --- | --- | --- |", *map(_row, figures)]


def _row(figure: Figure) -> str:
    none = figure.low is None or figure.high is None
    ends = "" if none else f"{figure.low:.4f} to {figure.high:.4f}"
    counted = figure.name.partition("[")[0] == "rows"
    value = f"{figure.value:,.0f}" if counted else f"{figure.value:.4f}"
    return f"| {figure.part} | {figure.name} | {value} | {ends} |"


def _limits(candidate: Candidate, fitted: FittedFeatureSet) -> list[str]:
    said = [
        "- It knows what its training rows showed; drift since then is in the drift reports.",
        "- A feature that is missing is taken as missing; no value is made up for it.",
    ]
    if fitted.levels:
        said.append("- A category that no training row had is taken as unknown.")
    if candidate.output.kind == "probability":
        said.append("- A probability is about many such cases; of one case it says little.")
    return [*said, "- A slice with few rows has no figure: nothing is known of it."]


def _served(policy: Policy, chain: Sequence[str]) -> list[str]:
    constant = "the request is refused" if policy.constant is None else f"the constant {policy.constant:g}"
    precomputed = {
        "never": "never",
        "fallback": "when no version answers",
        "first": "before any version",
    }[policy.precomputed]
    where = "in a process of its own" if policy.own_process else "inline"
    return [
        f"- deadline: {policy.deadline_ms:g} ms, {where}",
        f"- batch scores answer: {precomputed}, if they are at most {policy.valid_minutes:g} minutes off",
        f"- entity: {', '.join(policy.entity) or 'the key of the question'}",
        f"- score log: {policy.log}",
        *(f"- then {link}" for link in chain[: policy.previous_versions]),
        f"- at last: {constant}",
    ]


def _provenance(candidate: Candidate, fitted: FittedFeatureSet) -> list[str]:
    made = candidate.metadata
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    return [
        f"- candidate `{candidate.digest}`",
        f"- feature set `{fitted.id}`",
        *([f"- trained at {made.created_at} (UTC)"] if made.created_at else []),
        *([f"- commit `{made.commit}`{', changed since' if made.dirty else ''}"] if made.commit else []),
        *(
            [f"- {len(made.batch_ids)} deliveries of raw data, named in metadata.json"]
            if made.batch_ids
            else []
        ),
        *([f"- {versions}"] if versions else []),
    ]
