"""`mlplatform score`: one question to the running scoring service, or every question of days."""

import json as json_library
from typing import Annotated, Any

import typer
from rich.table import Table

from mlplatform.cli.app import Json, UseCaseName, app, use_case_folder
from mlplatform.cli.batch_scores import score_days
from mlplatform.cli.output import emit, out
from mlplatform.crosscutting.scoring_client import ScoringClient
from mlplatform.crosscutting.scoring_rpc import ScoringRpcClient
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.config import Facts


@app.command()
def score(
    use_case: UseCaseName,
    facts: Annotated[
        list[str] | None,
        typer.Argument(help="Facts as name=value, or one JSON object; the declared example if left out."),
    ] = None,
    first: Annotated[str, typer.Option("--from", help="Score days: the first.", metavar="DAY")] = "",
    last: Annotated[str, typer.Option("--to", help="The last, included.", metavar="DAY")] = "",
    version: Annotated[int, typer.Option(help="Release that scores days; the champion.", min=0)] = 0,
    rpc: Annotated[bool, typer.Option("--rpc", help="Ask over the broker instead of HTTP.")] = False,
    json: Json = False,
) -> None:
    """Ask the scoring service one question: mlplatform score flight_delay tailnum=N14228.

    With days, score every question of them into the lake: mlplatform score flight_delay --from 2013-12-01
    --to 2013-12-31. That takes no service; it is done in a process of its own.
    """
    if first or last or version:
        score_days(use_case, facts or [], first, last, version or None, json=json)
        return
    declared = project.load(use_case_folder(use_case))
    given = _facts(facts or [], declared.feature_set.spine.facts)
    example = declared.config.example
    asked = example if isinstance(example, list) and not given else {**_first(example), **given}
    with _client(Settings.load(), rpc=rpc) as client:
        answer = client.score(declared.name, asked)
    if json:
        emit(answer)
        return
    for name, value in answer.items():
        if name == "places":
            out.print(_places(value))
        else:
            out.print(f"{name:>14}: {value}", markup=False)


def _client(settings: Settings, *, rpc: bool) -> ScoringClient | ScoringRpcClient:
    if rpc:
        return ScoringRpcClient.at(settings.broker_url)
    return ScoringClient(settings.scoring_url, key=settings.access.key)


def _first(example: Facts | list[Facts]) -> Facts:
    return example[0] if isinstance(example, list) else example


def _places(places: list[dict[str, Any]]) -> Table:
    """A ranked list or a forecast, row by row."""
    names = list(places[0]["facts"]) if places else []
    table = Table("place", *names, "score", "prediction_id", header_style="bold")
    for each in places:
        facts = [str(each["facts"][name]) for name in names]
        table.add_row(str(each["place"]), *facts, f"{each['score']:.4f}", each["prediction_id"])
    return table


def _facts(words: list[str], types: dict[str, Any]) -> dict[str, Any]:
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        try:
            given = json_library.loads(words[0])
        except ValueError as error:
            raise typer.BadParameter(f"not JSON: {error}") from error
        return dict(given)
    facts = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name not in types:
            raise typer.BadParameter(
                f"got {word!r}; allowed: name=value with a name out of {', '.join(types)}"
            )
        facts[name] = _value(name, text, types[name])
    return facts


def _value(name: str, text: str, kind: str) -> Any:
    if text == "":
        return None
    try:
        match kind:
            case "int":
                return int(text)
            case "float":
                return float(text)
            case "bool":
                return {"true": True, "false": False}[text.lower()]
            case _:
                return text
    except (ValueError, KeyError) as error:
        raise typer.BadParameter(f"{name}={text!r} is not of type {kind}") from error
