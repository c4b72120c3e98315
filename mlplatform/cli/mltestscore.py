"""`mlplatform mltestscore`: how ready for production a use case is, by the 28 tests of the ML Test Score."""

from contextlib import closing
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlplatform.cli.app import Json, app, use_case_folder
from mlplatform.cli.output import emit, err, out
from mlplatform.cli.verify import default
from mlplatform.crosscutting.clock import utc_now
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.offline.deploying import person
from mlplatform.stages.monitoring.rubric import SAID, SECTIONS, TESTS, Evidence, Score
from mlplatform.stores.proofs import MANUAL, Proof, ProofStore

MARKS = {"held": "[green]1[/]", "documented": "[yellow]½[/]", "broken": "[red]0[/]", "absent": "[dim]0[/]"}
OF_A_SECTION = 7


@app.command()
def mltestscore(
    use_case: Annotated[
        str, typer.Argument(help="Name or folder; flight_delay, or the only one, if left out.")
    ] = "",
    by_hand: Annotated[
        str,
        typer.Option("--by-hand", help="First keep that a person did this test (data_5, …).", metavar="TEST"),
    ] = "",
    note: Annotated[str, typer.Option("--note", help="What was tested by hand, and what came of it.")] = "",
    json: Json = False,
) -> None:
    """The ML Test Score: 28 tests of readiness for production, each by the result of its automatic check.

    A test that an automatic check shows to hold counts 1, one done by hand and written down ½. The score is
    that of the weakest of the four sections. Nothing is run: what has no result says how to get one.
    """
    from mlplatform.offline.mltestscore.gather import ml_test_score

    _check(by_hand, note)
    declared, settings = project.load(use_case_folder(use_case or default())), Settings.load()
    if by_hand:
        _keep(declared, settings, by_hand, note)
    now = utc_now()
    found = ml_test_score(declared, settings, now)
    if json:
        emit(_told(declared, settings, found) | {"at": now.isoformat()})
    else:
        _print(declared, found)


def _check(by_hand: str, note: str) -> None:
    if by_hand and by_hand not in TESTS:
        raise typer.BadParameter(f"got --by-hand {by_hand!r}; allowed: {', '.join(TESTS)}.")
    if bool(by_hand) != bool(note.strip()):
        raise typer.BadParameter("got one of --by-hand and --note; allowed: both, or neither.")


def _keep(declared: Declared, settings: Settings, test: str, note: str) -> None:
    proof = Proof(
        use_case=declared.name,
        name=f"{MANUAL}{test}",
        at=utc_now(),
        by=person(),
        passed=True,
        figures={"note": note.strip()},
    )
    with closing(ProofStore(settings.state_url)) as store:
        store.add(proof)


def _told(declared: Declared, settings: Settings, found: Score) -> dict[str, Any]:
    return {
        "use_case": declared.name,
        "score": found.final,
        "of": OF_A_SECTION,
        "meaning": found.meaning,
        "results_count_for_days": settings.proof_days,
        "sections": [
            {
                "section": section.name,
                "title": section.title,
                "points": found.points[section.name],
                "of": OF_A_SECTION,
                "tests": [_test(each) for each in found.evidence[section.name]],
            }
            for section in SECTIONS
        ],
    }


def _test(evidence: Evidence) -> dict[str, Any]:
    test = TESTS[evidence.test]
    told: dict[str, Any] = msgspec.to_builtins(evidence)
    return {
        "id": test.id,
        "title": test.short,
        "asks": test.asks,
        "holds": evidence.outcome == "held",
        "points": evidence.points,
        **{name: told[name] for name in ("outcome", "check", "said", "at", "remedy")},
    }


def _print(declared: Declared, found: Score) -> None:
    # Where the output goes to a file or another program, lines may be long.
    wide = out if out.is_terminal else Console(highlight=False, width=160)
    for section in SECTIONS:
        title = f"{section.title}: {found.points[section.name]:g} of {OF_A_SECTION}"
        table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", expand=True)
        table.add_column("", no_wrap=True)
        table.add_column("test", ratio=3)
        table.add_column("found", ratio=7)
        for test, evidence in zip(section.tests, found.evidence[section.name], strict=True):
            table.add_row(MARKS[evidence.outcome], f"{test.asks}\n[dim]{test.id}[/]", _found(evidence))
        wide.print(table)
    points = ", ".join(f"{section.name} {found.points[section.name]:g}" for section in SECTIONS)
    smallest = f"the smallest of {points}"
    out.print(f"[bold]ML Test Score of {declared.name}: {found.final:g}[/] of {OF_A_SECTION} ({smallest})")
    out.print(found.meaning, markup=False)
    weakest = [section.title for section in SECTIONS if found.points[section.name] == found.final]
    if found.final < OF_A_SECTION:
        out.print(f"It rises with what → says under: {', '.join(weakest)}.", markup=False)
    err.print(
        "1: an automatic check holds; ½: done by hand or once, and written down; 0: it does not hold, or "
        "there is no result yet. Rubric: Breck et al. 2017, IEEE Big Data.",
        markup=False,
    )


def _found(evidence: Evidence) -> str:
    """Outcome and figure, the name of the check with its time, and what to do."""
    by = f"{evidence.check}, " if evidence.check else "no automatic check, "
    when = f"{evidence.at:%Y-%m-%d %H:%M} UTC" if evidence.at else "no result"
    lines = [f"[bold]{SAID[evidence.outcome]}[/]: {escape(evidence.said)}", f"[dim]{escape(by)}{when}[/]"]
    if evidence.remedy:
        lines.append(f"→ {escape(evidence.remedy)}")
    return "\n".join(lines)
