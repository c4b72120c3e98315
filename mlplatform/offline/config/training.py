"""The section `training` of defs.yaml: what starts a training by itself, and what of one is tried again.

It must not import Dagster.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from mlplatform.offline.config.section import Cron, Section


class NewFeatures(Section):
    """Train when features of new days are there."""

    every_days: int = Field(default=28, ge=1)
    """Days of data between two dates of training: this trigger trains once for each such step, never more."""


class Drifted(Section):
    """Train when a drift report says that features are no longer what they were."""

    against: Literal["reference", "past"] = "reference"
    """What counts as drifted: a feature whose PSI against the reference reaches `psi`; or (past) one that in
    the newest window lies half as far again from it as in any window before: seasons are no drift then.
    """
    psi: float = Field(default=0.25, gt=0)
    """From this population stability index on a feature counts as drifted."""
    share: float | None = Field(default=None, gt=0, le=1)
    """Share of the features that must have drifted; of `share` and `features` exactly one is given."""
    features: int | None = Field(default=None, ge=1)
    """Number of features that must have drifted."""

    @model_validator(mode="after")
    def _one(self) -> "Drifted":
        if (self.share is None) == (self.features is None):
            given = "both" if self.share is not None else "neither"
            raise ValueError(f"has {given} of share and features; allowed: one of them")
        return self


class Retries(Section):
    """Attempts after a failure of a store or a disk; a wrong declaration or model is not tried again."""

    most: int = Field(default=2, ge=0, le=20)
    wait: float = Field(default=5.0, ge=0, le=3600)
    """Seconds before the first retry; twice as long before each that follows."""


def _defaults(value: object) -> object:
    """`true` takes every default, `false` is no trigger."""
    return {True: {}, False: None}.get(value, value) if isinstance(value, bool) else value


class Training(Section):
    """When models are trained without being asked, always as of the newest date whose split is complete.

    Nothing here starts the first training of a use case: `mlplatform run` does.
    """

    schedule: Cron = ""
    """When to train if there is something new: cron, five fields, UTC."""
    features_generated: Annotated[NewFeatures | None, BeforeValidator(_defaults)] = None
    """On messages `features-generated`."""
    drift: Drifted | None = None
    """On drift reports."""
    changed: bool = False
    """When the code or the configuration of a model is another than the one it was trained with."""
    complete: float = Field(default=0.95, gt=0, le=1)
    """Share of the days up to the end of the test rows that must have features."""
    retries: Retries = Retries()
