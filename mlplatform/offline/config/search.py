"""The section `search` of a model in `defs.yaml`: what of its parameters is searched for, and how.

Regularisation is part of it: C, alpha, ccp_alpha, lambda_l1, lambda_l2, min_gain_to_split, path_smooth and
the like are dimensions as any other, mostly with `log: true`. It must not import Dagster.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mlplatform.errors import ConfigurationError
from mlplatform.offline.config.section import Section
from mlplatform.stages.evaluation.metrics import metric_named
from mlplatform.stages.evaluation.search.space import Choice, Range, Space
from mlplatform.stages.evaluation.search.tuning import Plan

Scalar = str | int | float | bool | None
ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]


class Dimension(Section):
    """What one parameter may be: numbers from `low` to `high`, or one of `values` (short: a list of them)."""

    low: int | float | None = None
    high: int | float | None = None
    """Both ends are included. Whole numbers are tried if both are written as such (2, not 2.0)."""
    log: bool = False
    """Equal ratios are equally likely: for penalties and other parameters that matter by their magnitude."""
    values: list[Scalar] | None = None

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return {"values": value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _one_kind(self) -> "Dimension":
        low, high = self.low, self.high
        if self.values is not None:
            if low is not None or high is not None or self.log:
                raise ValueError("has values and a range; allowed: either low and high, or values")
            if len({(type(value), value) for value in self.values}) != len(self.values) or not self.values:
                raise ValueError(f"got values {self.values}; allowed: at least one, each once")
        elif low is None or high is None:
            raise ValueError("has no range; allowed: low and high, or a list of values")
        elif not low < high:
            raise ValueError(f"got low {low} and high {high}; allowed: low below high")
        elif self.log and not low > 0:
            raise ValueError(f"got low {low} with log; allowed: low above 0")
        return self

    @property
    def dimension(self) -> Range | Choice:
        """This section as the search takes it."""
        if self.low is None or self.high is None:
            return Choice(tuple(self.values or ()))
        return Range(self.low, self.high, self.log)


class Search(Section):
    """A search for parameters on rolling folds within the training rows, before the model is trained."""

    trials: int = Field(default=40, ge=1, le=10_000)
    """Points tried, besides the declared parameters."""
    rows: float = Field(default=1.0, gt=0, le=1)
    """Share of the training days the search uses, drawn by `seed`; the model is trained on all of them."""
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    folds: int = Field(default=3, ge=1, le=20)
    """Windows that the later half of the training time is cut into; each is judged by what was before it."""
    metric: str | None = None
    """What the best is best by; without it the champion's."""
    pruner: Literal["median", "halving", "none"] = "median"
    """When a trial is given up after a fold: worse than the median, not among the better half, or never."""
    seconds: float | None = Field(default=None, gt=0)
    """No trial begins after this time. With a limit the result depends on the speed of the machine."""
    minimum_gain: float = Field(default=0.0, ge=0)
    """By how much the best must be better than the declared parameters, in the metric; else these stay."""
    space: dict[ParameterName, Dimension] = Field(min_length=1)
    """By parameter; `params.alpha` is `alpha` within the parameter `params`."""

    @model_validator(mode="after")
    def _known_metric(self) -> "Search":
        try:
            _ = self.metric and metric_named(self.metric, "the search")
        except ConfigurationError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def dimensions(self) -> Space:
        """The space as the search takes it."""
        return {name: each.dimension for name, each in self.space.items()}

    def plan(self, trials: int | None = None) -> Plan:
        """How long to search; `trials` instead of the declared ones if given."""
        count = self.trials if trials is None else trials
        return Plan(count, self.seed, self.seconds, self.pruner, self.minimum_gain)
