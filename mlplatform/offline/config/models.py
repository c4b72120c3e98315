"""Sections of `defs.yaml` about models: how rows are divided, which features and models there are."""

from datetime import date
from typing import Annotated, Any

from pydantic import Field, model_validator

from mlplatform.errors import ConfigurationError
from mlplatform.offline.config.search import Search
from mlplatform.offline.config.section import Section, plugin
from mlplatform.offline.distributed import ways
from mlplatform.stages.preparation import selectors
from mlplatform.stages.segregation import splits
from mlplatform.stages.training import models

SplitName = Annotated[str, plugin(splits)]
SelectorName = Annotated[str, plugin(selectors)]
ModelType = Annotated[str, plugin(models)]


class Split(Section):
    """How rows are divided into training, validation and test."""

    strategy: SplitName = "by_time"
    as_of: date
    """The day on which the model is trained: it sees only days before. `mlplatform run` uses this one."""
    options: dict[str, Any] = {"validation": "1mo", "test": "2mo"}


class Selection(Section):
    """Which features the models get, by a ranking on the training rows."""

    strategy: SelectorName
    options: dict[str, Any] = {}
    """`most` (how many stay), `at_least` (the lowest score that stays), and what the selector takes."""


class Model(Section):
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
