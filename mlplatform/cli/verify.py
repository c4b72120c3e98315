"""`mlplatform verify parity`: the real events through the online executor, every cell compared with batch."""

import gc
import os
import time
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from mlplatform.cli.app import Json, app, use_case_folder
from mlplatform.cli.days import checked_days
from mlplatform.cli.output import emit, err, out, progress
from mlplatform.crosscutting.clock import utc_now
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.offline.deploying import person
from mlplatform.offline.parity import compare
from mlplatform.offline.parity_champion import Champion
from mlplatform.offline.parity_found import Compared
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake
from mlplatform.stores.proofs import PARITY, Proof, ProofStore

DEFAULT = "flight_delay"

verify = typer.Typer(help="Check promises of the platform against its data.", no_args_is_help=True)
app.add_typer(verify, name="verify")


@verify.command()
def parity(
    use_case: Annotated[
        str, typer.Argument(help="Name or folder; flight_delay, or the only one, if left out.")
    ] = "",
    first: Annotated[
        str, typer.Option("--from", help="First day, YYYY-MM-DD.", metavar="DAY", show_default="the first")
    ] = "",
    last: Annotated[str, typer.Option("--to", help="Last day.", metavar="DAY", show_default="the last")] = "",
    json: Json = False,
) -> None:
    """Replay real events through the online executor; compare every feature and score with batch, by bits."""
    # With more threads OpenMP's wait actively for each other between single rows.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Rows by the million, none of them in a cycle: looking for cycles again and again finds nothing.
    gc.disable()
    declared, settings = project.load(use_case_folder(use_case or default())), Settings.load()
    known = declared.config.days
    days = checked_days(declared, first or str(known.first), last or str(known.last))
    started = time.perf_counter()
    with closing(Lake.from_settings(settings)) as lake:
        champion = _champion(declared, settings)
        found = _compared(declared, lake, champion, days)
    result = _result(declared, days, champion, found, time.perf_counter() - started)
    _keep(declared, settings, result, passed=found.equal)
    emit(result) if json else _print(result)
    if not found.equal:
        raise typer.Exit(1)


def _compared(declared: Declared, lake: Lake, champion: Champion | None, days: tuple[str, str]) -> Compared:
    total = len(declared.days(date.fromisoformat(days[0]), date.fromisoformat(days[1])))
    with progress() as bar:
        task = bar.add_task(f"{declared.name} {days[0]} to {days[1]}", total=total, now="")

        def told(day: str, so_far: Compared) -> None:
            wrong = so_far.different + so_far.scores_different
            bar.update(task, advance=1, now=f"{day}: {so_far.cells:,} cells, {wrong:,} different")

        return compare(declared, lake, champion, *days, told=told)


def _keep(declared: Declared, settings: Settings, result: dict[str, Any], *, passed: bool) -> None:
    """Keep what came of it, if something was compared: it is evidence of the ML Test Score."""
    if not result["rows"]:
        return
    figures = {name: value for name, value in result.items() if name not in ("use_case", "examples")}
    with closing(ProofStore(settings.state_url)) as store:
        store.add(
            Proof(
                use_case=declared.name, name=PARITY, at=utc_now(), by=person(), passed=passed, figures=figures
            )
        )


def _champion(declared: Declared, settings: Settings) -> Champion | None:
    if not settings.state_file_exists():
        return None
    with closing(ChampionStore(settings.state_url)) as store:
        release = store.champion(declared.name)
    if release is None:
        return None
    candidate = CandidateStore(settings.candidates).get(declared.name, release.digest)
    return Champion.of(release, candidate, declared.feature_set)


def _result(
    declared: Declared, days: tuple[str, str], champion: Champion | None, found: Compared, seconds: float
) -> dict[str, Any]:
    counts: dict[str, Any] = msgspec.to_builtins(found, builtin_types=(object,))
    return {
        "use_case": declared.name,
        "feature_set": declared.feature_set.id,
        "champion": None if champion is None else champion.release.digest,
        "first": days[0],
        "last": days[1],
        "features": len(declared.feature_set.names),
        **counts,
        "seconds": round(seconds, 1),
    }


def default() -> str:
    """The use case if there is only one, else the one this package brings."""
    known = list(project.use_cases(Path.cwd()))
    return known[0] if len(known) == 1 else DEFAULT


def _print(result: dict[str, Any]) -> None:
    out.print(
        f"{result['use_case']} {result['first']} to {result['last']}, {result['feature_set']}", markup=False
    )
    table = Table("compared", "how many", "different", header_style="bold")
    table.add_row("questions", f"{result['rows']:,}", f"{result['unasked']:,} on one side only")
    table.add_row("feature cells", f"{result['cells']:,}", f"{result['different']:,}")
    stored = f"{result['scores']:,}, {result['scores_stored']:,} of them stored"
    table.add_row("scores", stored, f"{result['scores_different']:,}")
    out.print(table)
    out.print(f"{result['events']:,} events replayed in {result['seconds']:.1f} s", markup=False)
    for example in result["examples"]:
        _print_example(example)
    if not result["rows"]:
        err.print("nothing was compared: the lake has no features of these days.", markup=False)


def _print_example(example: dict[str, Any]) -> None:
    out.print(
        f"\n{example['feature']} of {example['question']} as of {example['as_of']}: "
        f"batch {example['batch']!r}, online {example['online']!r}",
        markup=False,
    )
    for side in ("batch", "online"):
        for row in example[f"{side}_history"]:
            out.print(f"  {side:>6}  {row}", markup=False)
