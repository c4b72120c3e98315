"""`mlplatform monitor`: how versions serve, how right they were, and what was done about it."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from mlplatform.cli.app import Json, UseCaseName, app, use_case_folder
from mlplatform.cli.output import emit, err, out
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.monitored import monitored

_MOST, _FEATURES = 12, 5
"""Slices and features that are printed."""


@app.command()
def monitor(use_case: UseCaseName, json: Json = False) -> None:
    """Tell of each version what it answered, how fast and how right it was; verdicts, rollbacks, alerts."""
    declared = project.load(use_case_folder(use_case))
    found = monitored(declared, Settings.load())
    if json:
        emit(found)
        return
    if not found["versions"]:
        err.print(
            f"no answer is judged yet. With `mlplatform up` this happens by itself; ask something first: "
            f"mlplatform score {declared.name}",
            markup=False,
        )
    else:
        out.print(_versions(found["versions"]))
    if found["slices"]:
        out.print(_slices(found["slices"]))
    for each in found["slices_left_out"]:
        err.print(
            f"{each['column']}: {each['levels']:,} levels with fewer than {each['minimum']} answers "
            "are not judged",
            markup=False,
        )
    for each in found["features"]:
        out.print(_features(each))
    for title, lines in (
        ("verdicts", [each["sentence"] for each in found["verdicts"]]),
        ("fallbacks", [f"{each['times']:,} × {each['because']}" for each in found["reasons"][:5]]),
        ("rollbacks", [f"{each['at']}: {each['why']}" for each in found["rollbacks"]]),
        ("alerts", [f"{each['severity']}: {each['cause']} {each['remedy']}" for each in found["alerts"]]),
    ):
        for number, line in enumerate(lines):
            out.print(f"[bold]{title if not number else '':<10}[/] {escape(line)}")


def _versions(versions: list[dict[str, Any]]) -> Table:
    """What fits into 80 columns; `--json` and the status page have the rest."""
    figures = [name for name in versions[0]["accuracy"] if not name.endswith(("_low", "_high"))][:1]
    table = Table(
        *("version", "served", "late", "fallbacks", "p50 / p99 ms", "known"),
        *(name.replace("_", " ") for name in figures),
        header_style="bold",
        title="Versions",
        title_justify="left",
    )
    for each in versions:
        times = " / ".join(_number(each[f"serving_ms_{name}"], 2) for name in ("p50", "p99"))
        table.add_row(
            f"{each['version']} {each['model']}",
            *(f"{each[name]:,}" for name in ("served", "late", "fallbacks")),
            times,
            f"{each['coverage']:.0%}",
            *(_with_ends(each["accuracy"], name) for name in figures),
        )
    return table


def _slices(slices: list[dict[str, Any]]) -> Table:
    """The worst of them; `excess` is against the reference on the same rows."""
    metric, reference = slices[0]["metric"].replace("_", " "), slices[0]["reference_version"]
    against = f"version {reference}" if reference else "reference"
    table = Table(
        *("slice", "answers", metric, "90 %", "score / outcome", against, "worse by"),
        header_style="bold",
        title=f"Slices of version {slices[0]['version']}, worst first",
        title_justify="left",
        caption=f"{_MOST} of {len(slices)}; --json has all" if len(slices) > _MOST else None,
    )
    for each in slices[:_MOST]:
        means = " / ".join(_number(each[f"{name}_mean"], 3) for name in ("scored", "observed"))
        low, high, excess = (each[name] for name in ("loss_low", "loss_high", "excess"))
        table.add_row(
            escape(f"{each['column']}={each['level']}"),
            f"{each['n']:,}",
            _number(each["loss"], 4),
            f"{low:.3f}-{high:.3f}" if low is not None else "",
            means,
            _number(each["reference_loss"], 4),
            f"{excess:+.1%}" if excess is not None else "",
        )
    return table


def _features(told: dict[str, Any]) -> Table:
    """Those whose served values lie farthest from the training."""
    table = Table(
        *("feature", "PSI", "Wasserstein", "missing then", "now"),
        header_style="bold",
        title=f"Served features of version {told['version']}, farthest from its training first",
        title_justify="left",
    )
    for each in told["farthest"][:_FEATURES]:
        table.add_row(
            escape(each["name"]),
            *(_number(each[name], 3) for name in ("psi", "wasserstein")),
            *(f"{each[name]:.1%}" for name in ("missing_reference", "missing_current")),
        )
    return table


def _with_ends(accuracy: dict[str, Any], name: str) -> str:
    low, high = accuracy.get(f"{name}_low"), accuracy.get(f"{name}_high")
    ends = f" ({low:.3f}-{high:.3f})" if low is not None and high is not None else ""
    return f"{_number(accuracy.get(name), 4)}{ends}"


def _number(value: float | None, places: int) -> str:
    return "" if value is None else f"{value:.{places}f}"
