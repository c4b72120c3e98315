"""The ML Test Score: the 28 tests of the rubric in the words of its paper, and how they become one number.

E. Breck, S. Cai, E. Nielsen, M. Salib, D. Sculley: "The ML Test Score: A Rubric for ML Production Readiness
and Technical Debt Reduction", IEEE Big Data 2017. It must not know how a test is shown to hold; what is
found of each is given to it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from mlplatform.errors import ConfigurationError

Outcome = Literal["held", "documented", "broken", "absent"]
"""Held: an automatic check that runs on a repeated basis holds. Documented: done by hand, or once, and
written down. Broken: it does not hold. Absent: there is no result yet."""
POINTS: dict[Outcome, float] = {"held": 1.0, "documented": 0.5, "broken": 0.0, "absent": 0.0}
SAID: dict[Outcome, str] = {
    "held": "holds",
    "documented": "half: by hand or once",
    "broken": "does not hold",
    "absent": "no result yet",
}


class Test(NamedTuple):
    """One test: `short` is its line in the paper's tables, `asks` the heading under which it is explained."""

    id: str
    short: str
    asks: str


class Section(NamedTuple):
    """Seven tests that are summed up."""

    name: str
    title: str
    tests: tuple[Test, ...]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of a test.

    `check` names the automatic check (empty: there is none for this test), `said` is the figure that was
    found, or why the test does not hold; `at` is when (UTC); `remedy` is what to do for a full point.
    """

    test: str
    outcome: Outcome
    check: str
    said: str
    at: datetime | None = None
    remedy: str = ""

    @property
    def points(self) -> float:
        """0, 0.5 or 1."""
        return POINTS[self.outcome]


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence of all tests by the name of their section, the points of each section, and the final score."""

    evidence: dict[str, tuple[Evidence, ...]]
    points: dict[str, float]
    final: float
    meaning: str


def _section(name: str, title: str, *tests: tuple[str, str]) -> Section:
    numbered = enumerate(tests, start=1)
    return Section(name, title, tuple(Test(f"{name}_{n}", short, asks) for n, (short, asks) in numbered))


SECTIONS = (
    _section(
        "data",
        "Tests for features and data",
        (
            "Feature expectations are captured in a schema.",
            "Feature expectations are captured in a schema",
        ),
        ("All features are beneficial.", "All features are beneficial"),
        ("No feature's cost is too much.", "No feature's cost is too much"),
        ("Features adhere to meta-level requirements.", "Features adhere to meta-level requirements"),
        (
            "The data pipeline has appropriate privacy controls.",
            "The data pipeline has appropriate privacy controls",
        ),
        ("New features can be added quickly.", "New features can be added quickly"),
        ("All input feature code is tested.", "All input feature code is tested"),
    ),
    _section(
        "model",
        "Tests for model development",
        (
            "Model specs are reviewed and submitted.",
            "Every model specification undergoes a code review and is checked in to a repository",
        ),
        (
            "Offline and online metrics correlate.",
            "Offline proxy metrics correlate with actual online impact metrics",
        ),
        ("All hyperparameters have been tuned.", "All hyperparameters have been tuned"),
        ("The impact of model staleness is known.", "The impact of model staleness is known"),
        ("A simpler model is not better.", "A simpler model is not better"),
        (
            "Model quality is sufficient on important data slices.",
            "Model quality is sufficient on all important data slices",
        ),
        (
            "The model is tested for considerations of inclusion.",
            "The model has been tested for considerations of inclusion",
        ),
    ),
    _section(
        "infra",
        "Tests for ML infrastructure",
        ("Training is reproducible.", "Training is reproducible"),
        ("Model specs are unit tested.", "Model specification code is unit tested"),
        ("The ML pipeline is integration tested.", "The full ML pipeline is integration tested"),
        (
            "Model quality is validated before serving.",
            "Model quality is validated before attempting to serve it",
        ),
        (
            "The model is debuggable.",
            "The model allows debugging by observing the step-by-step computation of training or inference "
            "on a single example",
        ),
        (
            "Models are canaried before serving.",
            "Models are tested via a canary process before they enter production serving environments",
        ),
        (
            "Serving models can be rolled back.",
            "Models can be quickly and safely rolled back to a previous serving version",
        ),
    ),
    _section(
        "monitor",
        "Monitoring tests",
        ("Dependency changes result in notification.", "Dependency changes result in notification"),
        ("Data invariants hold for inputs.", "Data invariants hold in training and serving inputs"),
        (
            "Training and serving are not skewed.",
            "Training and serving features compute the same values",
        ),
        ("Models are not too stale.", "Models are not too stale"),
        ("Models are numerically stable.", "The model is numerically stable"),
        (
            "Computing performance has not regressed.",
            "The model has not experienced dramatic or slow-leak regressions in training speed, serving "
            "latency, throughput, or RAM usage",
        ),
        (
            "Prediction quality has not regressed.",
            "The model has not experienced a regression in prediction quality on served data",
        ),
    ),
)
TESTS = {test.id: test for section in SECTIONS for test in section.tests}
_MEANINGS = (
    (0.0, "More of a research project than a productionized system."),
    (
        1.0,
        "Not totally untested, but it is worth considering the possibility of serious holes in reliability.",
    ),
    (
        2.0,
        "There's been first pass at basic productionization, but additional investment may be needed.",
    ),
    (
        3.0,
        "Reasonably tested, but it's possible that more of those tests and procedures may be automated.",
    ),
    (
        5.0,
        "Strong levels of automated testing and monitoring, appropriate for mission-critical systems.",
    ),
)
_BEYOND = "Exceptional levels of automated testing and monitoring."


def meaning(final: float) -> str:
    """What the paper says of a final score: 0, above 0 to 1, above 1 to 2, to 3, to 5, and above 5."""
    return next((said for most, said in _MEANINGS if final <= most), _BEYOND)


def score(evidence: Sequence[Evidence]) -> Score:
    """Sum the points of each section; the final score is the smallest of the sums.

    Raises
    ------
    ConfigurationError
        unless there is just one piece of evidence for each of the 28 tests.
    """
    given = {each.test: each for each in evidence}
    if given.keys() != TESTS.keys() or len(given) != len(evidence):
        odd = sorted({*given} ^ {*TESTS}) or sorted(each.test for each in evidence)
        raise ConfigurationError(
            f"got evidence of {len(evidence)} tests; allowed: one of each of {len(TESTS)}. See {odd[0]}."
        )
    found = {section.name: tuple(given[test.id] for test in section.tests) for section in SECTIONS}
    points = {name: sum(each.points for each in of_section) for name, of_section in found.items()}
    final = min(points.values())
    return Score(evidence=found, points=points, final=final, meaning=meaning(final))
