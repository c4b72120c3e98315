"""The schema of a use case's `defs.yaml`: what may be written there, and what each key means.

It must not import Dagster, so that a declaration can be checked without loading it. Every model refuses
unknown keys; names of plug-ins are checked against what there is.
"""

from datetime import date
from types import ModuleType
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from mlplatform import plugins, sources
from mlplatform.errors import ConfigurationError
from mlplatform.stages.evaluation import evaluators
from mlplatform.stages.evaluation.constant import NAME as CONSTANT
from mlplatform.stages.evaluation.rule import Rule
from mlplatform.stages.evaluation.slices import MINIMUM_ROWS
from mlplatform.stages.preparation import selectors
from mlplatform.stages.segregation import splits
from mlplatform.stages.training import models


def _plugin(package: ModuleType) -> Any:
    def check(name: str) -> str:
        if "." not in name and name not in plugins.names(package):
            try:
                plugins.find(package, name)
            except ConfigurationError as error:
                raise ValueError(f"{error} {error.hint}".strip()) from error
        return name

    return AfterValidator(check)


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"got time zone {name!r}; allowed: a name such as UTC or Europe/Vienna")
    return name


def _listed(value: Any) -> Any:
    """One name is a list of one."""
    return [value] if isinstance(value, str) else value


def _column(value: Any) -> Any:
    """A slice written as its column's name."""
    return {"column": value} if isinstance(value, str) else value


SourceName = Annotated[str, _plugin(sources)]
SplitName = Annotated[str, _plugin(splits)]
SelectorName = Annotated[str, _plugin(selectors)]
ModelType = Annotated[str, _plugin(models)]
EvaluatorName = Annotated[str, _plugin(evaluators)]
SafeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Metric = Literal["log_loss", "brier", "roc_auc", "average_precision", "rmse", "mae", "r2"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Days(_Section):
    """The daily partitions, both ends included."""

    first: date
    last: date

    @model_validator(mode="after")
    def _ordered(self) -> "Days":
        if self.last < self.first:
            raise ValueError(f"last ({self.last}) is before first ({self.first})")
        return self


class RepairRule(_Section):
    """One repair of single values; exactly one of above, below, trim, upper, lower, replace, fill."""

    column: str
    above: float | None = None
    below: float | None = None
    to: str | int | float | None = None
    """What a value beyond `above` or `below` becomes: a number, "missing", or "limit" (the bound itself)."""
    trim: bool = False
    upper: bool = False
    lower: bool = False
    replace: dict[str | int | float, str | int | float | bool | None] | None = None
    fill: str | int | float | bool | None = None


class ConditionLimit(_Section):
    """What a column of a partition may be; shown in the UI as the check `condition`."""

    column: str = "*"
    max_missing: float | None = Field(default=None, ge=0, le=1)
    max_outliers: float | None = Field(default=None, ge=0, le=1)
    max_odd_formats: float | None = Field(default=None, ge=0, le=1)
    max_trend: float | None = Field(default=None, gt=0)
    min_rows: int | None = Field(default=None, ge=0)
    severity: Literal["warn", "block"] = "warn"


class DataSet(_Section):
    """One data set: its source, its contract, and how it is cleaned."""

    source: SourceName
    options: dict[str, Any] = {}
    """What the source is told (see the source's `open`)."""
    daily: bool = True
    """True: one partition a day; false: one table as a whole (a register, a list)."""
    contract: str = ""
    """Name of the dataframely schema in features.py; without one the data set is schema-less documents."""
    clean: str = ""
    """Name of the function in features.py: raw frame (and the frames of `reads`) in, cleaned frame out."""
    reads: list[SafeName] = []
    """Other data sets whose cleaned tables the function takes, in this order; they must not be daily."""
    known: dict[str, list[str]] = {}
    """Time column -> columns that are known only from that time on; the others are known beforehand."""
    schedule: str = Field(default="", pattern=r"^(\S+\s+){4}\S+$|^$")
    """When to ingest the newest day: cron, five fields, UTC. Empty: only when a message says so."""
    event_time: str = ""
    """The raw column (ISO 8601) of the rows' own times, which a batch's manifest gives the range of."""
    column_order: Literal["declared", "any"] = "declared"
    """Whether a delivery's columns may come in another order than the contract's."""
    allow_empty: bool = False
    """Whether a delivery may have no rows."""
    most_rejected: float = Field(default=0.1, ge=0, le=1)
    """Share of a partition's rows that may break the contract; beyond it the whole delivery is refused."""
    repairs: list[RepairRule] = []
    """Repairs of single values, done in this order before `clean` and counted."""
    condition: list[ConditionLimit] = []
    """Limits of the data's condition, each a warning or a block."""
    accept: list[str] = []
    """Beginnings of the URIs that a message may name as the place of a delivery."""

    @model_validator(mode="after")
    def _whole(self) -> "DataSet":
        if bool(self.contract) != bool(self.clean):
            have, lack = ("contract", "clean") if self.contract else ("clean", "contract")
            raise ValueError(f"has {have} but no {lack}; allowed: both, or neither (schema-less documents)")
        return self


class Stream(_Section):
    """Events that come one by one, by HTTP or the broker; schema-less documents."""

    description: str = ""
    feed: str = ""
    """Name of the function in features.py that gives past data as such events, for `mlplatform replay`."""
    sources: dict[str, str] = {}
    """Event's `type` -> name of the Source in features.py whose row it is; others are only archived."""
    day_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """Time zone in which the days of the batch tables begin, e.g. America/New_York."""


class Split(_Section):
    """How rows are divided into training, validation and test."""

    strategy: SplitName = "by_time"
    as_of: date
    """The day on which the model is trained: it sees only days before. `mlplatform run` uses this one."""
    options: dict[str, Any] = {"validation": "1mo", "test": "2mo"}


class Selection(_Section):
    """Which features the models get, by a ranking on the training rows."""

    strategy: SelectorName
    options: dict[str, Any] = {}
    """`most` (how many stay), `at_least` (the lowest score that stays), and what the selector takes."""


class Champion(_Section):
    """The rule that chooses, on the validation rows only."""

    metric: Metric = "log_loss"
    minimum_gain: float = Field(default=0.0, ge=0)
    """In the metric's unit, against every baseline and the present champion."""
    beat: Annotated[list[SafeName], BeforeValidator(_listed), Field(min_length=1)] = ["rate_table"]
    """The baseline, or several: models of this use case, or `constant`, that every winner must beat."""
    confidence: float | None = Field(default=None, gt=0, lt=1)
    """Level at which the interval of the gain (whole days resampled) must lie above `surely_above`."""
    surely_above: float = Field(default=0.0, ge=0)
    slice_tolerance: float | None = Field(default=None, ge=0)
    """On no slice may a winner be worse by more than this than the present champion, or else the baseline."""
    max_calibration_error: float | None = Field(default=None, ge=0)
    """Largest `ece` that a winner may have."""
    highest_plausible: dict[Metric, float] = {}
    """A candidate beyond this is refused as a probable leak."""

    @property
    def rule(self) -> Rule:
        """This section as the champion rule."""
        told = self.model_dump() | {"beat": tuple(self.beat)}
        return Rule(**told)

    @model_validator(mode="after")
    def _meant(self) -> "Champion":
        try:
            _ = self.rule
        except ConfigurationError as error:
            raise ValueError(f"{error} {error.hint}".strip()) from error
        return self


class Slicing(_Section):
    """A column whose levels are judged one by one; as text, only the column's name."""

    column: str
    """A key or a feature of the use case, or `month`, the month of the row's day."""
    min_rows: int = Field(default=MINIMUM_ROWS, ge=1)
    """A level with fewer rows has no figure."""


class Model(_Section):
    """One candidate: the model file and its parameters."""

    type: ModelType
    params: dict[str, Any] = {}


class Drift(_Section):
    """Which features the Evidently report shows (own figures cover all)."""

    report: list[str] = Field(default=[], max_length=15)


class Label(_Section):
    """The outcome that is predicted: a true/false column of the spine's cleaned table."""

    column: str
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """From this probability on the class is true."""


class Reference(_Section):
    """A figure reached elsewhere on the same test rows, to compare with."""

    name: str
    figures: dict[Metric, float]


class UseCaseConfig(_Section):
    """The attributes of `type: mlplatform.UseCase`."""

    title: str
    description: str
    owners: list[str] = []
    days: Days
    data_sets: dict[SafeName, DataSet] = Field(min_length=1)
    streams: dict[SafeName, Stream] = {}
    """Event streams, archived to the Raw Data Store as they come."""
    features: str = "FEATURES"
    """Name of the FeatureSet in features.py."""
    label: Label
    split: Split
    selection: Selection | None = None
    """Without it the models get every feature."""
    models: dict[SafeName, Model] = Field(min_length=1)
    evaluators: list[EvaluatorName] = [
        "roc",
        "precision_recall",
        "calibration",
        "log_loss",
    ]
    slices: list[Annotated[Slicing, BeforeValidator(_column)]] = []
    """Columns by whose levels the deciding metric is shown, and limited by `champion.slice_tolerance`."""
    champion: Champion = Champion()
    drift: Drift = Drift()
    references: list[Reference] = []
    """Shown beside the test figures at the end of `mlplatform run`."""
    example: dict[str, str | int | float | bool | None] = {}
    """Facts of one question, scored at the end of `mlplatform run`."""

    @field_validator("owners")
    @classmethod
    def _owner(cls, owners: list[str]) -> list[str]:
        for owner in owners:
            if not (owner.startswith("team:") or "@" in owner):
                raise ValueError(f"got owner {owner!r}; allowed: team:<name> or an e-mail address")
        return owners

    @model_validator(mode="after")
    def _consistent(self) -> "UseCaseConfig":
        for name, data_set in self.data_sets.items():
            for other in data_set.reads:
                if other not in self.data_sets or self.data_sets[other].daily:
                    static = [n for n, d in self.data_sets.items() if not d.daily]
                    raise ValueError(
                        f"data_sets.{name}.reads has {other!r}; allowed: data sets with daily: false "
                        f"({', '.join(static) or 'there is none'})"
                    )
        if both := sorted(set(self.streams) & set(self.data_sets)):
            raise ValueError(f"streams has {both[0]!r}, which is a data set too; allowed: a name of its own")
        for name in self.champion.beat:
            if name not in (*self.models, CONSTANT):
                raise ValueError(
                    f"champion.beat is {name!r}; allowed: a model of this use case "
                    f"({', '.join(self.models)}) or {CONSTANT}"
                )
        if self.champion.slice_tolerance is not None and not self.slices:
            raise ValueError(
                "champion.slice_tolerance is set, but slices is empty; allowed: at least one column in slices"
            )
        if not self.days.first < self.split.as_of <= self.days.last:
            raise ValueError(
                f"split.as_of is {self.split.as_of}; allowed: a day after days.first ({self.days.first}) "
                f"and not after days.last ({self.days.last})"
            )
        return self
