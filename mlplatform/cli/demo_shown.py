"""How a demonstration looks on the terminal: its progress, what happens in it, and its result."""

from datetime import datetime
from typing import Any

from rich.progress import Progress, TaskID
from rich.table import Table

from mlplatform.cli.output import out
from mlplatform.demonstration.plan import Plan
from mlplatform.demonstration.services import Counts


class Shown:
    """Progress and what happens, on the terminal."""

    def __init__(self, bar: Progress, task: TaskID, wanted: Plan) -> None:
        self._bar, self._task, self._plan = bar, task, wanted

    def far(self, replayed: datetime, counts: Counts, note: str) -> None:
        """The bar: days, the replay's time, counts."""
        days = min(self._plan.days, max(0, (replayed.date() - self._plan.first).days))
        said = f"{replayed:%d %b %H:%M}  {counts.events.total():,} events  {counts.scores:,} scores"
        failed = f"  {counts.failed} failed" if counts.failed else ""
        self._bar.update(self._task, completed=days, now=f"{said}{failed}  {note}")

    def happened(self, replayed: datetime, sentence: str) -> None:
        """A line above the bar."""
        self._bar.console.print(f"{replayed:%d %b %H:%M}  {sentence}", markup=False)


def show(result: dict[str, Any]) -> None:
    """The result, for people."""
    out.print(_passed(result))
    out.print(_rollbacks(result["rollbacks"]))
    for each in result["retrainings"]:
        out.print(f"[bold]trained again[/]  as of {each['as_of']}, because {each['cause']}")
        out.print(f"               {each['outcome']}", markup=False)
    for each in result["alerts"]:
        out.print(f"[bold]alert[/]          {each['severity']}: {each['kind']} of {each['subject']}")
        out.print(f"               {each['cause']}\n               {each['remedy']}", markup=False)
    out.print(f"home           {result['places']['home']}", markup=False)


def _passed(result: dict[str, Any]) -> Table:
    rows = Table("", "", show_header=False, title="What passed through", title_justify="left")
    links = ", ".join(f"{count:,} by {link}" for link, count in result["answered_by"].items())
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in result["events_by_kind"].items())
    waited = result["seconds_waited"]
    for name, said in (
        ("days", f"{result['from']} to {result['to']}"),
        ("events", f"{result['events']:,} ({kinds})"),
        ("scores", f"{result['scores']:,} ({links})"),
        ("late", f"{result['late']:,}"),
        ("failed requests", f"{result['failed_requests']:,}"),
        ("compared to the bit", f"{result['compared']:,} scores, {result['compared_cells']:,} features"),
        ("different", f"{result['different']:,}"),
        ("seconds", ", ".join(f"{value:.0f} {name}" for name, value in result["seconds_by_stage"].items())),
        ("stood still", f"{waited:.0f} seconds, for ingestion and monitoring to come after"),
    ):
        rows.add_row(name, said)
    return rows


def _rollbacks(found: list[dict[str, Any]]) -> Table:
    columns = ("rolled back", "after, replayed", "after, here", "because")
    rows = Table(*columns, header_style="bold", title="Taken back by itself", title_justify="left")
    for each in found:
        rows.add_row(
            f"version {each['version']} ({each['model']})",
            f"{each['hours_to_notice']:.0f} h",
            f"{each['seconds_to_notice']:.0f} s",
            each["cause"],
        )
    return rows
