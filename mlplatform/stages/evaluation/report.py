"""Runs the evaluators a use case names and joins what they say into one report.

It must not store or draw: figures and pictures leave as values.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from mlplatform import plugins
from mlplatform.errors import ConfigurationError
from mlplatform.stages.evaluation import evaluators
from mlplatform.stages.evaluation.values import Evaluation, Floats, Picture, check, finite


class Report(msgspec.Struct, frozen=True):
    """Figures by name and pictures by evaluator name, of one model on one set of rows."""

    figures: dict[str, float]
    pictures: dict[str, Picture]

    def figures_json(self) -> bytes:
        """The figures as JSON, keys sorted: equal figures are equal bytes."""
        return msgspec.json.encode(self.figures, order="sorted")

    def json(self) -> bytes:
        """Figures and the data of the pictures as JSON, keys sorted: equal reports are equal bytes."""
        return msgspec.json.encode(self, order="sorted")


def evaluate_all(names: Sequence[str], y: Floats, p: Floats) -> Report:
    """Evaluate scores with every named evaluator.

    Parameters
    ----------
    names : evaluators by file name, or dotted path of an outside module with an `evaluate(y, p)`
    y, p : (n,) labels 0/1 and probabilities of label 1

    Returns
    -------
    Report
        every evaluator's figures, and `rows` and `base_rate` of the set itself.

    Raises
    ------
    ConfigurationError
        if an evaluator is not known, has no `evaluate`, or two give one figure differing values.
    ModelError
        if labels or scores cannot be judged.
    """
    check(y, p)
    figures = {"rows": float(len(y)), "base_rate": float(y.mean())}
    pictures: dict[str, Picture] = {}
    for name in names:
        said = _evaluate(name, y, p)
        _join(figures, finite(said.figures, name), name)
        if said.picture is not None:
            pictures[name] = said.picture
    return Report(dict(sorted(figures.items())), dict(sorted(pictures.items())))


def overlay(pictures: Mapping[str, Picture]) -> Picture:
    """One picture of several models' pictures of one kind: each line takes its model's name.

    Parameters
    ----------
    pictures : by model name, at least one; lines are drawn and coloured in this order
    """
    first = next(iter(pictures.values()))
    lines = tuple(replace(line, label=model) for model, each in pictures.items() for line in each.lines)
    return replace(first, lines=lines)


def _evaluate(name: str, y: Floats, p: Floats) -> Evaluation:
    module = plugins.find(evaluators, name)
    if not hasattr(module, "evaluate"):
        raise ConfigurationError(
            f"module {name!r} has no `evaluate`; an evaluator is a file with `evaluate(y, p) -> Evaluation`.",
            hint="Name the function `evaluate`.",
        )
    said = module.evaluate(y, p)
    if not isinstance(said, Evaluation):
        raise ConfigurationError(
            f"evaluator {name!r} returned a {type(said).__name__}; it must return an Evaluation.",
            hint="Wrap its figures: `Evaluation({'name': value})`.",
        )
    return said


def _join(figures: dict[str, float], more: Mapping[str, float], name: str) -> None:
    for figure, value in more.items():
        if figures.setdefault(figure, value) != value:
            raise ConfigurationError(
                f"evaluator {name!r} gives {figure} = {value}, which is already {figures[figure]}.",
                hint="Give each evaluator's figures their own names.",
            )
