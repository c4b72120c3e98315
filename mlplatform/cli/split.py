"""`mlplatform split`: what a strategy makes of the stored rows of a use case, without training on them.

It must not store a split: the asset does.
"""

from contextlib import closing
from datetime import date
from typing import Annotated, Any

import typer
import yaml
from rich.table import Table

from mlplatform.cli.app import Json, UseCaseName, app, use_case_folder
from mlplatform.cli.output import emit, err, out
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.offline.division import of_declaration
from mlplatform.offline.plugged import split_options
from mlplatform.stages.segregation.report import reply
from mlplatform.stores.division import divided
from mlplatform.stores.lake import KEY, Lake


@app.command()
def split(
    use_case: UseCaseName,
    strategy: Annotated[
        str, typer.Option(help="A strategy, or the dotted path of your own.", show_default="the declared one")
    ] = "",
    as_of: Annotated[
        str,
        typer.Option(help="Day of training, YYYY-MM-DD.", metavar="DAY", show_default="the declared one"),
    ] = "",
    option: Annotated[
        list[str] | None,
        typer.Option(help="Option of the strategy; may be repeated.", metavar="NAME=VALUE"),
    ] = None,
    json: Json = False,
) -> None:
    """Divide the stored rows of a use case: size, days and label rate of each part, and what is uneven."""
    declared = project.load(use_case_folder(use_case))
    day = _day(declared, as_of or str(declared.config.split.as_of))
    options = split_options(declared, day, strategy, _options(option or []))
    answer = _answer(declared, strategy or declared.config.split.strategy, options)
    emit(answer) if json else _print(answer)


def _answer(declared: Declared, strategy: str, options: dict[str, object]) -> dict[str, Any]:
    with closing(Lake.from_settings(Settings.load())) as lake:
        segregated = divided(of_declaration(declared), lake, strategy, options)
    return reply(declared.name, segregated, day=KEY)


def _day(declared: Declared, text: str) -> str:
    known = declared.config.days
    try:
        inside = known.first < date.fromisoformat(text) <= known.last and len(text) == 10
    except ValueError:
        inside = False
    if not inside:
        raise typer.BadParameter(
            f"got --as-of {text!r}; allowed: a day after {known.first} up to {known.last}, "
            "written YYYY-MM-DD."
        )
    return text


def _options(words: list[str]) -> dict[str, object]:
    """Values are read as defs.yaml has them: 0.2 is a number, true is true, 1mo is text."""
    options = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"got --option {word!r}; allowed: name=value.")
        try:
            options[name] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise typer.BadParameter(f"got --option {word!r}; allowed: a value as in defs.yaml.") from error
    return options


def _print(answer: dict[str, Any]) -> None:
    told = ", ".join(f"{name} {value}" for name, value in answer["options"].items())
    out.print(f"{answer['use_case']} by {answer['strategy']}: {told}", markup=False)
    table = Table("part", "rows", "first day", "last day", "label rate", header_style="bold")
    for part, said in answer["parts"].items():
        rate = said["label_rate"]
        table.add_row(
            part,
            f"{answer['sizes'][part]:,}",
            said["first_day"] or "",
            said["last_day"] or "",
            "" if rate is None else f"{rate:.4f}",
        )
    out.print(table)
    out.print(f"{answer['unlabelled']:,} rows without a label, split {answer['id']}", markup=False)
    for warning in answer["warnings"]:
        err.print(f"warning: {warning}", markup=False)
