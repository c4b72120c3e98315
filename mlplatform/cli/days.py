"""The days that a command is about, checked against those that a use case has, and how fast they pass."""

from datetime import date

import typer

from mlplatform.offline.declared import Declared


def a_day(value: str) -> str:
    """A day as it was given, or empty; anything else is wrong use."""
    try:
        return str(date.fromisoformat(value)) if value else ""
    except ValueError as error:
        raise typer.BadParameter(f"got {value!r}; allowed: a day written YYYY-MM-DD.") from error


def a_speed(text: str) -> float | None:
    """So many times as fast as it was, or None for `max`; anything else is wrong use."""
    try:
        speed = None if text == "max" else float(text)
    except ValueError:
        speed = 0.0
    if speed is not None and not 0 < speed < 1e9:
        raise typer.BadParameter(f"got speed {text!r}; allowed: max, or a number above 0.")
    return speed


def checked_days(declared: Declared, first: str, last: str) -> tuple[str, str]:
    """Both days, once they are days of the use case in that order; wrong ones are wrong use, exit code 2."""
    known = declared.config.days
    for text in (first, last):
        try:
            inside = known.first <= date.fromisoformat(text) <= known.last and len(text) == 10
        except ValueError:
            inside = False
        if not inside:
            raise typer.BadParameter(
                f"got day {text!r}; allowed: {known.first} to {known.last}, written YYYY-MM-DD."
            )
    if last < first:
        raise typer.BadParameter(f"--to {last} is before --from {first}.")
    return first, last
