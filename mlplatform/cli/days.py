"""The days that a command is about: written as days, and checked against those that a use case has."""

from datetime import date

import typer

from mlplatform.offline.declared import Declared


def a_day(value: str) -> str:
    """A day as it was given, or empty; anything else is wrong use."""
    try:
        return str(date.fromisoformat(value)) if value else ""
    except ValueError as error:
        raise typer.BadParameter(f"got {value!r}; allowed: a day written YYYY-MM-DD.") from error


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
