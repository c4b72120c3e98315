"""`mlplatform promote`, `rollback`, `canary`, `shadow`: change which versions of a use case are in use."""

from collections.abc import Callable
from typing import Annotated

import typer

from mlplatform.cli.app import Json, UseCaseName, app, use_case_folder
from mlplatform.cli.output import emit, err, out
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.deploying import Changed, Desk, person
from mlplatform.offline.in_use import changed_of, taken_up
from mlplatform.stages.deployment.alias import Alias

_NAMED = "A version, a model's name (its newest candidate), or the digest of a candidate."

Which = Annotated[str, typer.Argument(help=_NAMED, metavar="VERSION|DIGEST|MODEL")]
Maybe = Annotated[
    str, typer.Argument(help=f"{_NAMED} Left out: the best challenger.", metavar="[VERSION|MODEL]")
]
Why = Annotated[str, typer.Option("--why", help="One sentence for the history.")]
Off = Annotated[bool, typer.Option("--off", help="Take it away.")]
Wait = Annotated[
    float, typer.Option("--wait", help="Seconds to wait for the scoring service to take it up.", min=0.0)
]
BY_HAND = "by hand"


@app.command()
def promote(
    use_case: UseCaseName, which: Which, why: Why = BY_HAND, wait: Wait = 0.0, json: Json = False
) -> None:
    """Make a version the champion; a candidate without one is packaged, tested and released first."""
    _do(use_case, lambda desk: desk.promote(which, who=person(), why=why), wait=wait, json=json)


@app.command()
def rollback(
    use_case: UseCaseName,
    to: Annotated[
        int,
        typer.Option("--to", help="Version of an earlier champion.", min=0, show_default="the one before"),
    ] = 0,
    why: Why = BY_HAND,
    wait: Wait = 0.0,
    json: Json = False,
) -> None:
    """Go back to an earlier champion; those after it stay out until a person promotes them."""
    _do(use_case, lambda desk: desk.rollback(to, who=person(), why=why), wait=wait, json=json)


@app.command()
def canary(
    use_case: UseCaseName,
    which: Maybe = "",
    share: Annotated[
        float, typer.Option("--share", help="Part of the entities it answers.", min=0.0, max=1.0)
    ] = 0.05,
    off: Off = False,
    why: Why = BY_HAND,
    wait: Wait = 0.0,
    json: Json = False,
) -> None:
    """Let a version answer a share of the entities, each entity always by the same one."""
    who = person()

    def do(desk: Desk) -> Changed:
        if off:
            return _off(desk, "canary", which, who, why)
        return desk.canary(which, share=share, who=who, why=why)

    _do(use_case, do, wait=wait, json=json)


@app.command()
def shadow(
    use_case: UseCaseName,
    which: Maybe = "",
    off: Off = False,
    why: Why = BY_HAND,
    wait: Wait = 0.0,
    json: Json = False,
) -> None:
    """Ask a version after each answer and only log what it says."""
    who = person()

    def do(desk: Desk) -> Changed:
        return _off(desk, "shadow", which, who, why) if off else desk.shadow(which, who=who, why=why)

    _do(use_case, do, wait=wait, json=json)


def _off(desk: Desk, alias: Alias, which: str, who: str, why: str) -> Changed:
    if which:
        raise typer.BadParameter(f"got {which} and --off; allowed: one of them.")
    return desk.off(alias, who=who, why=why)


def _do(use_case: str, act: Callable[[Desk], Changed], *, wait: float, json: bool) -> None:
    """Change the deployment, then say what is in use and whether the service has it."""
    declared, settings = project.load(use_case_folder(use_case)), Settings.load()
    with Desk(declared, settings) as desk:
        changed = act(desk)
    said = changed_of(declared.name, changed)
    said["scoring_service"] = taken_up(settings, declared.name, changed.present, wait)
    if json:
        emit(said)
        return
    if changed.change is None:
        out.print("Nothing changed: it was so already.", markup=False)
    out.print(said["said"], markup=False)
    out.print(said["scoring_service"]["said"], markup=False)
    if not changed.published:
        err.print("No broker answers: the message deployment-changed follows when one does.", markup=False)
