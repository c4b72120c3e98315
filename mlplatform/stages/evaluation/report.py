"""Runs the evaluators a use case names and joins what they say into one report.

It must not store or draw: figures and pictures leave as values.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

import msgspec
import polars as pl
from msgspec.structs import replace

from mlplatform.errors import ConfigurationError
from mlplatform.stages.evaluation import bootstrap
from mlplatform.stages.evaluation.call import call, module_named, task_of
from mlplatform.stages.evaluation.checks import check_numbers
from mlplatform.stages.evaluation.values import Bar, Evaluation, Floats, Line, Picture, check, finite


class Report(msgspec.Struct, frozen=True):
    """Figures by name, pictures by evaluator name and draws by figure, of one model on one set of rows."""

    figures: dict[str, float]
    pictures: dict[str, Picture]
    draws: dict[str, tuple[float, ...]] = {}

    def figures_json(self) -> bytes:
        """The figures as JSON, keys sorted: equal figures are equal bytes."""
        return msgspec.json.encode(self.figures, order="sorted")

    def json(self) -> bytes:
        """Figures and the data of the pictures as JSON, keys sorted: equal reports are equal bytes."""
        return msgspec.json.encode(self, order="sorted")

    def interval(self, figure: str) -> bootstrap.Interval | None:
        """The 90 % interval of a figure, or None where it has no draws."""
        return bootstrap.interval(self.draws[figure]) if figure in self.draws else None

    def joined(self, name: str, said: Evaluation) -> "Report":
        """This report with what one more evaluation says; its picture is kept under `name`."""
        figures, pictures = dict(self.figures), dict(self.pictures)
        _join(figures, finite(said.figures, name), name)
        if said.picture is not None:
            pictures[name] = said.picture
        return Report(dict(sorted(figures.items())), dict(sorted(pictures.items())), self.draws)


def evaluate_all(
    names: Sequence[str],
    y: Floats,
    p: Floats,
    *,
    days: pl.Series | None = None,
    known: Mapping[str, object] | None = None,
) -> Report:
    """Evaluate scores with every named evaluator.

    Parameters
    ----------
    names : evaluators by file name, or dotted path of an outside module with an `evaluate(y, p)`
    y, p : (n,) labels 0/1 and probabilities of label 1, or what the evaluators' task has in their place
    days : (n,) the day of each row; with it, figures that a rule may choose by get draws for an interval
    known : what evaluators may ask for by parameter name: `X` (n, features), `groups`, `worth`, `steps` and
        `naive` (n,), `threshold`

    Returns
    -------
    Report
        every evaluator's figures, and `rows` (and `base_rate` of a classification) of the set itself.

    Raises
    ------
    ConfigurationError
        if an evaluator is not known, has no `evaluate`, asks for what is not known, judges another task than
        the others, or two give one figure differing values.
    ModelError
        if labels or scores cannot be judged.
    """
    modules = {name: module_named(name) for name in names}
    task = task_of(modules)
    report = Report(_of_the_set(task, y, p), {})
    for name, module in modules.items():
        report = report.joined(name, call(name, module, y, p, known or {}))
    drawn = {} if days is None else bootstrap.draws(task, y, p, days, known)
    return replace(report, draws={name: each for name, each in drawn.items() if name in report.figures})


def overlay(pictures: Mapping[str, Picture]) -> Picture:
    """One picture of several models' pictures of one kind: each line takes its model's name.

    Bars keep their own name before the model's, those of one name side by side.

    Parameters
    ----------
    pictures : by model name, at least one; lines are drawn and coloured in this order
    """
    first = next(iter(pictures.values()))
    lines = tuple(_named(line, model, each) for model, each in pictures.items() for line in each.lines)
    labels = dict.fromkeys(bar.label for each in pictures.values() for bar in each.bars)
    bars = chain.from_iterable(_side_by_side(label, pictures) for label in labels)
    return replace(first, lines=lines, bars=tuple(bars))


def _named(line: Line, model: str, picture: Picture) -> Line:
    return replace(line, label=model if len(picture.lines) == 1 else f"{line.label} · {model}")


def _side_by_side(label: str, pictures: Mapping[str, Picture]) -> list[Bar]:
    return [
        replace(bar, label=f"{label} · {model}")
        for model, each in pictures.items()
        for bar in each.bars
        if bar.label == label
    ]


def _of_the_set(task: str, y: Floats, p: Floats) -> dict[str, float]:
    if task == "classification":
        check(y, p)
        return {"base_rate": float(y.mean()), "rows": float(len(y))}
    if task != "clustering":
        check_numbers(y, p)
    return {"rows": float(len(p))}


def _join(figures: dict[str, float], more: Mapping[str, float], name: str) -> None:
    for figure, value in more.items():
        if figures.setdefault(figure, value) != value:
            raise ConfigurationError(
                f"evaluator {name!r} gives {figure} = {value}, which is already {figures[figure]}.",
                hint="Give each evaluator's figures their own names.",
            )
