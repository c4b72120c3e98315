"""The attributes of `type: mlplatform.UseCase`, and what its sections must be to each other."""

from typing import Any

from pydantic import Field, field_validator, model_validator

from mlplatform.errors import ConfigurationError
from mlplatform.offline.config.data import DataSet, Days, Stream
from mlplatform.offline.config.judging import (
    EVALUATORS,
    Champion,
    Drift,
    EvaluatorName,
    Reference,
    Slice,
)
from mlplatform.offline.config.models import Model, Selection, Split
from mlplatform.offline.config.monitoring import Monitoring
from mlplatform.offline.config.section import SafeName, Section
from mlplatform.offline.config.serving import Serving, check_constant
from mlplatform.offline.config.task import Label, Lists, Series
from mlplatform.offline.config.training import Retries, Training
from mlplatform.stages.evaluation.constant import NAME as CONSTANT
from mlplatform.stages.evaluation.metrics import METRICS
from mlplatform.stages.training.output import Output
from mlplatform.stages.training.training_set import Task

Facts = dict[str, str | int | float | bool | None]


class UseCaseConfig(Section):
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
    slices: list[Slice] = []
    """Columns by whose levels the deciding metric is shown, and limited by `champion.slice_tolerance`."""
    champion: Champion = Champion()
    retries: Retries = Retries()
    """What is tried again of every stage but training, which has its own."""
    training: Training = Training()
    """What starts a training by itself, and what of one is tried again."""
    serving: Serving = Serving()
    """How the versions of the use case are served; part of each release."""
    monitoring: Monitoring = Monitoring()
    """Outcomes of answers, and what takes a champion back by itself."""
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
        check_constant(self.serving.constant, self.output.kind)
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
