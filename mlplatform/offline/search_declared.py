"""The search a model declares: which it is, what it goes by, and whether the model takes its space.

It must not import Dagster, read rows or fit anything.
"""

from mlplatform import plugins
from mlplatform.errors import ConfigurationError, NotFound
from mlplatform.offline.config import Search
from mlplatform.offline.declared import Declared
from mlplatform.stages.evaluation.metrics import metric_named
from mlplatform.stages.evaluation.search.space import placed
from mlplatform.stages.training import models


def section(declared: Declared, name: str) -> Search:
    """The search declared for a model.

    Raises
    ------
    NotFound
        if there is no such model.
    ConfigurationError
        if it declares no search.
    """
    known = declared.config.models
    if name not in known:
        raise NotFound(
            f"use case {declared.name!r} has no model {name!r}; it has: {', '.join(known)}.",
            hint="Name one of its models.",
        )
    found = known[name].search
    if found is None:
        raise ConfigurationError(
            f"models.{name} of {declared.name!r} declares no search.",
            hint=f"Write below models.{name}: search: {{ trials: 40, space: {{ <parameter>: "
            "{ low: 0.1, high: 100.0, log: true } } }",
        )
    return found


def metric_of(declared: Declared, name: str) -> str:
    """The metric that a model's search goes by."""
    return section(declared, name).metric or declared.config.champion.metric


def check_search(declared: Declared, name: str) -> None:
    """Build the model at both ends of every range and with every value, and hold the metric to the task.

    Raises
    ------
    ConfigurationError
        at the first that is refused; the message begins with its key in defs.yaml.
    """
    model = declared.config.models[name]
    if model.search is None:
        return
    task, judged = declared.config.task, metric_named(metric_of(declared, name)).task
    if judged != task and (judged, task) != ("regression", "forecasting"):
        raise ConfigurationError(
            f"models.{name}.search.metric: got {metric_of(declared, name)!r}, which judges {judged}; "
            f"allowed: a metric of {task}.",
            hint="Set `metric` in the search to one that judges the task of the use case.",
        )
    build, space = plugins.find(models, model.type).build, model.search.dimensions
    for parameter, dimension in space.items():
        for end in dimension.ends:
            try:
                build(**placed(model.params, {parameter: end}))
            except ConfigurationError as error:
                where = f"models.{name}.search.space.{parameter}"
                raise ConfigurationError(f"{where}: {error}", hint=error.hint) from error
