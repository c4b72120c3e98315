"""`mlplatform demo`: months of real flights through the real services at high speed, with mistakes."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from datetime import date, timedelta
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from mlplatform.cli.app import Json, app
from mlplatform.cli.days import a_speed
from mlplatform.cli.demo_shown import Shown, show
from mlplatform.cli.output import emit, err, progress
from mlplatform.cli.up import services
from mlplatform.crosscutting.guarded import signals_handled
from mlplatform.crosscutting.processes import Supervisor
from mlplatform.crosscutting.settings import Settings
from mlplatform.demonstration import home as homes
from mlplatform.demonstration.plan import AT_LEAST, EARLIEST, LATEST, USE_CASE, Plan, plan
from mlplatform.offline import project
from mlplatform.stores import data_audit

_DAY = "YYYY-MM-DD"


@app.command()
def demo(
    first: Annotated[str, typer.Option("--from", help="First day.", metavar=_DAY)] = str(EARLIEST),
    last: Annotated[
        str, typer.Option("--to", help="Last day.", metavar=_DAY, show_default="the last there is")
    ] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Two weeks that learned from three months.")] = False,
    speed: Annotated[
        str, typer.Option(help="At most so many times as fast as it was, or max.", metavar="X|max")
    ] = "max",
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")] = False,
    home: Annotated[
        str, typer.Option(help="Folder for it.", metavar="FOLDER", show_default="demo in MLPLATFORM_HOME")
    ] = "",
    json: Json = False,
) -> None:
    """Replay October to December 2013 through all services, with two planted models; see what becomes of it.

    Everything is in a home of its own, and on free ports: no other deployment is touched.
    """
    wanted, limit = _plan(first, last, quick=quick), a_speed(speed)
    place = Path(home or Path(os.environ["MLPLATFORM_HOME"]) / "demo").absolute()
    homes.clear(place)
    with _environment(homes.environment(place, os.environ)), _interruptible():
        result = _Demonstration(wanted, Settings.load(), limit).run(
            lambda found: emit(found) if json else show(found), keep=keep
        )
    if result["different"] or result["failed_requests"]:
        raise typer.Exit(1)


class _Demonstration:
    """Prepare, start everything, replay, compare, sum up, end everything."""

    def __init__(self, wanted: Plan, settings: Settings, speed: float | None) -> None:
        self._plan, self._settings, self._speed = wanted, settings, speed
        self._seconds: dict[str, float] = {}

    def run(self, told: Callable[[dict[str, Any]], None], *, keep: bool) -> dict[str, Any]:
        """The whole; `told` gets the result while all still runs."""
        folder = homes.lay_out(self._settings.home, self._plan, known=True)
        with chdir(folder):
            self._timed("prepare", self._prepare)
            homes.lay_out(self._settings.home, self._plan, known=False)
            specs, _ = services(self._settings)
            data_audit.catch_up(self._settings)
            supervisor = Supervisor(specs, progress=_say)
            try:
                self._timed("start", supervisor.start)
                result = self._watched(supervisor)
                told(result)
                if keep:
                    _stay(supervisor, result["places"])
            finally:
                supervisor.stop()
        return result

    def _prepare(self) -> None:
        """What is known before the replay begins: data, features, the first champion."""
        from mlplatform.cli.run import materialise

        err.print(
            f"[bold]learns[/] from {self._plan.learned_from} to the evening before {self._plan.first}",
        )
        materialise(project.load(Path(USE_CASE)), self._settings)

    def _watched(self, supervisor: Supervisor) -> dict[str, Any]:
        from mlplatform.demonstration.found import compared  # these import Dagster, which takes seconds
        from mlplatform.demonstration.replay import Replay
        from mlplatform.demonstration.summary import places, summary

        declared = project.load(Path(USE_CASE))
        _look_here(places(self._settings, declared.name))
        with progress() as bar:
            shown = Shown(bar, bar.add_task("replay", total=self._plan.days, now=""), self._plan)
            replay = Replay(self._plan, declared, self._settings, shown, supervisor.check, self._speed)
            played = replay.run()
            self._seconds |= {"replay": played.seconds, "settle": played.settle_seconds}
            task = bar.add_task("compare", total=self._plan.days + 2, now="")

            def done(day: str, so_far: Any) -> None:
                supervisor.check()
                bar.update(task, advance=1, now=f"{day}: {so_far.answers:,} scores")

            found = self._timed("compare", lambda: compared(declared, self._settings, self._plan, done))
        return summary(declared, self._settings, self._plan, played, found, self._seconds)

    def _timed(self, name: str, does: Callable[[], Any]) -> Any:
        started = time.monotonic()
        done = does()
        self._seconds[name] = time.monotonic() - started
        return done


def _plan(first: str, last: str, *, quick: bool) -> Plan:
    try:
        begin = date.fromisoformat(first)
        end = LATEST if not quick else begin + timedelta(days=AT_LEAST - 1)
        end = date.fromisoformat(last) if last else end
    except ValueError as error:
        raise typer.BadParameter(f"got days {first!r} and {last!r}; allowed: written {_DAY}.") from error
    return plan(begin, end, quick=quick)


@contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    """Everything in here, and every process started in here, has this environment."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP end it alike, wherever it is: DuckDB makes an error of its own of them."""
    heard: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    try:
        with signals_handled(dict.fromkeys((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), interrupt)):
            yield
    except Exception as error:
        if heard:
            raise KeyboardInterrupt from error
        raise


def _say(name: str, event: str) -> None:
    if event != "starting":
        err.print(f"{name}: {event}", markup=False)


def _look_here(told: dict[str, str]) -> None:
    err.print(f"[bold]Dagster UI[/]   {told['ui']}")
    err.print(f"[bold]status page[/]  {told['status_page']}")
    err.print(f"[bold]project[/]      {told['project']}")


def _stay(supervisor: Supervisor, told: dict[str, str]) -> None:
    """Keep everything running until Ctrl-C."""
    _look_here(told)
    err.print("Ctrl-C ends everything.")
    sys.stdout.flush()
    try:
        while True:
            supervisor.check()
            time.sleep(0.2)
    except KeyboardInterrupt:
        return
