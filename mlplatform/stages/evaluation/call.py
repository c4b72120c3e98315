"""Finds evaluators and calls each with what it asks for: an evaluator's parameters are its declaration.

It must not join what they say (report.py does).
"""

import inspect
from collections.abc import Mapping
from types import ModuleType

from mlplatform import plugins
from mlplatform.errors import ConfigurationError
from mlplatform.stages.evaluation import evaluators
from mlplatform.stages.evaluation.values import Evaluation, Floats

TASKS = ("classification", "regression", "clustering", "ranking", "forecasting")
GIVEN = ("y", "p")
"""What every evaluator takes; whatever else it takes, it names as a parameter."""


def task_of(modules: Mapping[str, ModuleType]) -> str:
    """The task that all evaluators judge; one that does not say in `TASKS` goes with any.

    Raises
    ------
    ConfigurationError
        if two have no task in common, or one names a task that there is not.
    """
    left = list(TASKS)
    for name, module in modules.items():
        judged = getattr(module, "TASKS", TASKS)
        common = [task for task in left if task in judged]
        if not common:
            raise ConfigurationError(
                f"evaluator {name!r} judges {', '.join(judged)}; allowed beside the others: "
                f"{', '.join(left)}.",
                hint="Evaluators of one use case judge one task; leave the others out.",
            )
        left = common
    return left[0]


def asks_for(name: str) -> tuple[str, ...]:
    """What an evaluator asks for beside labels and scores, by parameter name."""
    return tuple(parameter.name for parameter in _beside(module_named(name)))


def module_named(name: str) -> ModuleType:
    """The evaluator's module.

    Raises
    ------
    ConfigurationError
        if there is none of that name, or it has no `evaluate`.
    """
    module = plugins.find(evaluators, name)
    if not hasattr(module, "evaluate"):
        raise ConfigurationError(
            f"module {name!r} has no `evaluate`; an evaluator is a file with `evaluate(y, p) -> Evaluation`.",
            hint="Name the function `evaluate`.",
        )
    return module


def call(name: str, module: ModuleType, y: Floats, p: Floats, known: Mapping[str, object]) -> Evaluation:
    """What the evaluator says of these rows, given what it asks for among what is `known` of them.

    Raises
    ------
    ConfigurationError
        if it asks for what is not known, or returns anything but an Evaluation.
    ModelError
        if the rows cannot be judged.
    """
    said = module.evaluate(y, p, **_asked(name, module, known))
    if not isinstance(said, Evaluation):
        raise ConfigurationError(
            f"evaluator {name!r} returned a {type(said).__name__}; it must return an Evaluation.",
            hint="Wrap its figures: `Evaluation({'name': value})`.",
        )
    return said


def _asked(name: str, module: ModuleType, known: Mapping[str, object]) -> dict[str, object]:
    beside = _beside(module)
    lacking = [each.name for each in beside if each.name not in known and each.default is each.empty]
    if lacking:
        raise ConfigurationError(
            f"evaluator {name!r} asks for {', '.join(lacking)}; known of these rows: "
            f"{', '.join(known) or 'labels and scores only'}.",
            hint="Leave the evaluator out, or give its parameter a default.",
        )
    return {each.name: known[each.name] for each in beside if each.name in known}


def _beside(module: ModuleType) -> list[inspect.Parameter]:
    """The named parameters after labels and scores."""
    taken = list(inspect.signature(module.evaluate).parameters.values())[len(GIVEN) :]
    return [each for each in taken if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
