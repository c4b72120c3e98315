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
from mlplatform.offline.config_search import Search
from mlplatform.offline.distributed import ways
from mlplatform.offline.training_config import Training
from mlplatform.stages.evaluation import evaluators
from mlplatform.stages.evaluation.constant import NAME as CONSTANT
from mlplatform.stages.evaluation.metrics import METRICS
from mlplatform.stages.evaluation.rule import Rule
from mlplatform.stages.evaluation.slices import MINIMUM_ROWS
from mlplatform.stages.preparation import selectors
from mlplatform.stages.segregation import splits
from mlplatform.stages.training import models
from mlplatform.stages.training.output import Output
from mlplatform.stages.training.training_set import Task


def _plugin(package: ModuleType) -> Any:
    def check(name: str) -> str:
        if "." not in name and name not in plugins.names(package):
            try:
                plugins.find(package, name)
            except ConfigurationError as error:
                raise ValueError(f"{error} {error.hint}".strip()) from error
        return name

    return AfterValidator(check)


def _metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"got metric {name!r}; allowed: {', '.join(METRICS)}")
    return name


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
Metric = Annotated[str, AfterValidator(_metric)]


EVALUATORS: dict[str, list[str]] = {
    "classification": ["roc", "precision_recall", "calibration", "log_loss"],
    "regression": ["regression_errors", "residuals"],
    "clustering": ["silhouette"],
    "ranking": ["ranking"],
    "forecasting": ["forecast_errors", "residuals"],
}
"""Evaluators of a use case that names none."""


Facts = dict[str, str | int | float | bool | None]


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
    search: Search | None = None
    """Which parameters are searched for before training; `params` are then those that are not."""
    parallel: ways.Parallel | None = None
    """Trained on workers of Dask, by rows (data, voting: lightgbm) or by parts of the model (model)."""
    workers: int = Field(default=2, ge=1, le=1024)
    """Workers of a parallel training."""

    @model_validator(mode="after")
    def _parallel_fits(self) -> "Model":
        try:
            if self.parallel:
                ways.check(self.type, self.parallel)
        except ConfigurationError as error:
            raise ValueError(f"{error} {error.hint}".strip()) from error
        return self


class Drift(_Section):
    """Which features the Evidently report shows (own figures cover all)."""

    report: list[str] = Field(default=[], max_length=15)


class Label(_Section):
    """The outcome that is predicted: a column of the spine's cleaned table.

    True/false in classification, a number in regression and forecasting, a relevance >= 0 in ranking.
    """

    column: str
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Classification: from this probability on the class is true."""


class Lists(_Section):
    """Ranking: which rows are the alternatives of one question."""

    by: Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
    """Columns of the spine's key that are equal in one list."""
    at_least: int = Field(default=2, ge=1)
    """Lists with fewer alternatives are not judged: there is nothing to rank."""
    worth: str = ""
    """A column of the spine's table in people's unit: its mean over the first places is told."""


class Series(_Section):
    """Forecasting: which rows form one series, and which of them one forecast."""

    by: Annotated[list[str], BeforeValidator(_listed)] = []
    """Columns of the spine's key that tell the series apart; none: there is one."""
    time: str
    """Column of the spine's key: the moment a row's value is of."""
    start: str
    """Column of the spine's key: the moment from which a forecast runs."""
    step: str = "1h"
    steps: int = Field(ge=1, le=1000)
    """Values of one forecast."""
    season: str = "24h"
    """After which the series repeats: forecasts are judged against the value one season ago."""


class Reference(_Section):
    """A figure reached elsewhere on the same test rows, to compare with."""

    name: str
    figures: dict[str, float]


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
    task: Task = "classification"
    """What is answered: a probability, a number, a cluster, a ranked list, or a forecast."""
    label: Label | None = None
    """Every task but clustering has one."""
    lists: Lists | None = None
    series: Series | None = None
    split: Split
    selection: Selection | None = None
    """Without it the models get every feature."""
    models: dict[SafeName, Model] = Field(min_length=1)
    evaluators: list[EvaluatorName] = []
    """Left out: those of the task."""
    slices: list[Annotated[Slicing, BeforeValidator(_column)]] = []
    """Columns by whose levels the deciding metric is shown, and limited by `champion.slice_tolerance`."""
    champion: Champion = Champion()
    training: Training = Training()
    """What starts a training by itself, and what of one is tried again."""
    drift: Drift = Drift()
    references: list[Reference] = []
    """Shown beside the test figures at the end of `mlplatform run`."""
    example: Facts | list[Facts] = {}
    """Facts of one question (ranking: of each alternative), scored at the end of `mlplatform run`."""

    @property
    def target(self) -> str | None:
        """The label's column; None in clustering."""
        return self.label.column if self.label else None

    @property
    def threshold(self) -> float:
        """The probability from which on the class is true."""
        return self.label.threshold if self.label else Label.model_fields["threshold"].default

    @property
    def output(self) -> Output:
        """The task and how rows belong together, as a candidate keeps it."""
        if self.series:
            told = self.series.model_dump(exclude={"season"}) | {"by": tuple(self.series.by)}
            return Output(self.task, **told)
        return Output(self.task, by=tuple(self.lists.by) if self.lists else ())

    @model_validator(mode="before")
    @classmethod
    def _evaluators_of_the_task(cls, told: Any) -> Any:
        if isinstance(told, dict) and not told.get("evaluators"):
            return {**told, "evaluators": EVALUATORS.get(told.get("task", "classification"), [])}
        return told

    @model_validator(mode="after")
    def _task_whole(self) -> "UseCaseConfig":
        check_task(self)
        return self

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


def check_task(config: UseCaseConfig) -> None:
    """Refuse sections that do not belong to the task, and a task without those it needs."""
    needed = {"ranking": {"label", "lists"}, "forecasting": {"label", "series"}, "clustering": set()}
    wanted = needed.get(config.task, {"label"})
    given = {name for name in ("label", "lists", "series") if getattr(config, name) is not None}
    if given != wanted:
        raise ValueError(
            f"task {config.task} has {', '.join(sorted(given)) or 'none'} of label, lists and series; "
            f"allowed: {', '.join(sorted(wanted)) or 'none of them'}"
        )
    metric, of_task = config.champion.metric, [n for n, m in METRICS.items() if config.task in m.tasks]
    if metric not in of_task:
        raise ValueError(
            f"champion.metric is {metric}; allowed in {config.task}: {', '.join(of_task) or 'none'}"
        )
    try:
        _ = config.output
    except ConfigurationError as error:
        raise ValueError(f"{error} {error.hint}".strip()) from error
