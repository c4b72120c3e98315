"""`mlplatform retrain`: what training a model again every month would have gained over training it once."""

import time
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.table import Table

from mlplatform.cli.app import Json, UseCaseName, app, use_case_folder
from mlplatform.cli.days import a_day
from mlplatform.cli.output import emit, err, out, progress
from mlplatform.crosscutting.clock import utc_now
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import StoreError
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.offline.deploying import person
from mlplatform.offline.summary import champion_of
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import Lake
from mlplatform.stores.proofs import STALENESS, Proof, ProofStore

if TYPE_CHECKING:
    from mlplatform.offline.retraining import Judged, Period

SHOWN = ("roc_auc", "log_loss", "ece", "rmse", "mae")
"""Figures that people are shown, as far as there are; `--json` has all."""


@app.command()
def retrain(
    use_case: UseCaseName,
    first: Annotated[
        str, typer.Option("--from", help="First date of training.", metavar="DAY", callback=a_day)
    ],
    last: Annotated[str, typer.Option("--to", help="Last date of training.", metavar="DAY", callback=a_day)],
    every: Annotated[str, typer.Option(help="Time between two dates, such as 1mo or 2w.")] = "1mo",
    model: Annotated[str, typer.Option(help="A declared model.", show_default="the present champion's")] = "",
    picture: Annotated[Path | None, typer.Option(help="Draw both models into this PNG.")] = None,
    json: Json = False,
) -> None:
    """Train a model as of several dates, and judge each on the days up to the next against the first one.

    Each is a partition of its candidate asset; what is there and current is not trained again. The champion
    stays as it is.
    """
    from mlplatform.offline import retraining

    started, settings = time.perf_counter(), Settings.load()
    declared = project.load(use_case_folder(use_case))
    chosen = model or _present(declared, settings)
    wanted = retraining.periods(declared, date.fromisoformat(first), date.fromisoformat(last), every)
    trained, judged = _work(declared, settings, chosen, wanted)
    drawn = _draw(judged, every, picture) if picture else None
    said: dict[str, Any] = {
        "use_case": declared.name,
        "model": chosen,
        "static_as_of": wanted[0].first,
        "every": every,
        "periods": [msgspec.to_builtins(each) for each in judged],
        "candidates_trained": sum(seconds is not None for seconds in trained.values()),
        "training_seconds": trained,
        "picture": str(drawn) if drawn else None,
        "seconds": round(time.perf_counter() - started, 1),
    }
    _keep(said, settings, judged)
    emit(said) if json else _print(said, judged)


def _keep(said: dict[str, Any], settings: Settings, judged: "list[Judged]") -> None:
    """Keep what age costs the model: it is evidence of the ML Test Score."""
    whole = judged[-1]
    shown = next((name for name in SHOWN if name in whole.gains), None)
    cost = f"trained again every {said['every']} {said['model']} "
    if shown is None:
        cost += f"was judged on {whole.rows:,} rows"
    else:
        gain = whole.gains[shown]
        span = "" if gain.low is None or gain.high is None else f" ({gain.low:+.4f} to {gain.high:+.4f})"
        cost += f"gains {gain.value:+.4f} {shown}{span} over training it once"
    proof = Proof(
        use_case=said["use_case"],
        name=STALENESS,
        at=utc_now(),
        by=person(),
        passed=True,
        figures={**said, "said": cost},
    )
    with closing(ProofStore(settings.state_url)) as store:
        store.add(proof)


def _present(declared: Declared, settings: Settings) -> str:
    present = champion_of(declared.name, settings)
    if present is None or present["model"] not in declared.config.models:
        raise typer.BadParameter(
            f"there is no champion whose model to take; allowed for --model: "
            f"{', '.join(declared.config.models)}."
        )
    return str(present["model"])


def _work(
    declared: Declared, settings: Settings, model: str, wanted: "list[Period]"
) -> "tuple[dict[str, float | None], list[Judged]]":
    """Train what is missing and judge; seconds per date, None where the candidate was there."""
    from mlplatform.offline import retraining
    from mlplatform.offline.plan import Step
    from mlplatform.offline.run import materialise

    steps = retraining.steps(declared, model, wanted)
    with progress() as bar:
        training = bar.add_task(f"{model} trained", total=len(steps), now="")

        def told(step: Step, done: int, now: str) -> None:
            place = [each.title for each in steps].index(step.title)
            bar.update(training, completed=place, now=f"{step.span} {now.removeprefix(f'{declared.name}__')}")

        done = materialise(declared, settings, steps, told)
        bar.update(training, completed=len(steps), now="")
        judging = bar.add_task("judged", total=len(wanted), now="")
        with closing(Lake.from_settings(settings)) as lake:
            judged = retraining.judge(
                declared,
                lake,
                CandidateStore(settings.candidates),
                model,
                wanted,
                lambda period: bar.update(judging, advance=1, now=period.first),
            )
    seconds = {each.span: round(each.seconds, 1) if each.assets else None for each in done}
    return seconds, judged


def _draw(judged: "list[Judged]", every: str, file: Path) -> Path:
    from mlplatform.offline import retraining
    from mlplatform.stages.evaluation.pictures import draw

    figure = next(name for name in SHOWN if name in judged[0].static)
    try:
        file.write_bytes(draw(retraining.picture(judged, figure, every)))
    except OSError as error:
        raise StoreError(
            f"{file} cannot be written: {error}.", hint="Name a file in a folder that is there."
        ) from error
    return file


def _print(said: dict[str, Any], judged: "list[Judged]") -> None:
    shown = [name for name in SHOWN if name in judged[0].static]
    heads = [
        head for name in shown for head in (f"{name}\nonce", "again", *(["gain"] * (name in judged[0].gains)))
    ]
    table = Table("from", "rows", *heads, header_style="bold")
    table.title = (
        f"{said['model']} trained again every {said['every']}, and once as of {said['static_as_of']}"
    )
    for each in judged:
        cells = [cell for name in shown for cell in _cells(each, name)]
        table.add_row(each.period, f"{each.rows:,}", *cells)
    out.print(table)
    err.print(
        f"{said['candidates_trained']} candidates trained; {said['seconds']} s. Gains: positive is better, "
        "with 90 % intervals over whole days. The champion is as it was.",
        markup=False,
    )
    if said["picture"]:
        err.print(f"picture   {said['picture']}", markup=False)


def _cells(judged: "Judged", figure: str) -> list[str]:
    cells = [f"{judged.static[figure]:.4f}", f"{judged.retrained[figure]:.4f}"]
    gain = judged.gains.get(figure)
    if gain is not None:
        cells.append(f"{gain.value:+.4f}\n{gain.low:+.4f} to {gain.high:+.4f}")
    return cells
