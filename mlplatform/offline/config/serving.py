"""Section `serving:` of `defs.yaml`: how a release is to be served, its deadline and what answers for it."""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mlplatform.offline.config.section import OneOrMore, Section
from mlplatform.stages.deployment.policy import Policy, Precomputed
from mlplatform.stages.training.output import Kind


def _from(least: float, most: float, unit: str, *, above: bool = False) -> AfterValidator:
    """Annotates a number between two ends; `above`: the lower end itself is not allowed."""

    def check(value: float) -> float:
        if not (least < value <= most or (value == least and not above)):
            begin = f"above {least:g}" if above else f"from {least:g}"
            raise ValueError(f"got {value:g}; allowed: {begin} to {most:g} {unit}")
        return value

    return AfterValidator(check)


class Serving(Section):
    """How the versions of a use case are served; a release keeps it, so a rollback takes it back, too."""

    deadline_ms: Annotated[float, _from(0, 60_000, "milliseconds", above=True)] = 100.0
    """Milliseconds for the score of a row; a version that takes longer is passed over until it is fast."""
    previous_versions: Annotated[int, _from(0, 10, "versions")] = 1
    """Earlier champions that are kept loaded to answer for the champion."""
    own_process: bool = False
    """The model is known to be slow: it scores in a process of its own, which is not waited for too long."""
    precomputed: Precomputed = "fallback"
    """Whether batch scores answer: never, when no version does (fallback), or before any version (first)."""
    valid_minutes: Annotated[float, _from(0, 525_600, "minutes (a year)", above=True)] = 1440.0
    """A batch score answers questions whose time is at most this many minutes from its own."""
    constant: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """The score when nothing else answers; left out: the request is then refused."""
    entity: Annotated[list[str], OneOrMore] = []
    """Facts that name the entity, by which a canary's share is chosen; none: the key of the questions."""
    log: Literal["async", "sync"] = "async"
    """Whether an answer waits until it is in the Score Data Store (sync)."""

    @property
    def policy(self) -> Policy:
        """This section as a release keeps it."""
        return Policy(**self.model_dump() | {"entity": tuple(self.entity)})


_FITS: dict[Kind, tuple[Callable[[float], bool], str]] = {
    "probability": (lambda value: 0.0 <= value <= 1.0, "a probability from 0 to 1"),
    "cluster": (lambda value: value >= 0.0 and value == int(value), "the whole number of a cluster, from 0"),
}


def check_constant(constant: float | None, kind: Kind) -> None:
    """Refuse a constant that is no score of this kind; ValueError says what is allowed."""
    fits, allowed = _FITS.get(kind, (lambda value: True, "a finite number"))
    if constant is not None and not fits(constant):
        raise ValueError(f"serving.constant is {constant:g}; allowed: {allowed}, or none at all")
