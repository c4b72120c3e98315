"""What is said of one part of a deployment, and of all of them. It must not ask anybody."""

from datetime import datetime
from typing import Literal

import msgspec

State = Literal["ok", "warning", "problem", "off"]
"""`problem`: something that is meant to run does not, or something is lost or critical; `warning`: somebody
should look; `off`: not meant to run here."""
STATES: tuple[State, ...] = ("problem", "warning", "ok", "off")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that runs, or waits for somebody."""

    name: str
    state: State
    said: str
    """One sentence, without the full stop."""
    remedy: str = ""
    """What to do about it; empty if nothing is to be done."""
    url: str = ""
    """Where it answers; empty: it does not, or has no address."""
    figures: dict[str, float] = {}
    details: tuple[str, ...] = ()
    """What it is about, one by one, the newest or worst first; not all of them if there are many."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """All parts of a deployment as they were at a moment (UTC)."""

    at: datetime
    parts: tuple[Part, ...]

    @property
    def state(self) -> State:
        """That of the worst part."""
        return next((state for state in STATES if any(part.state == state for part in self.parts)), "ok")

    @property
    def worst_first(self) -> list[Part]:
        """The parts by their state, else in their order."""
        return sorted(self.parts, key=lambda part: STATES.index(part.state))

    @property
    def well(self) -> bool:
        """Whether all that is meant to run does, and nothing is lost or critical."""
        return self.state != "problem"


def ago(seconds: float) -> str:
    """A duration for people: the two largest units."""
    minutes, left = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (left, "s")]
    first = next((at for at, (count, _) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count} {unit}" for count, unit in units[first : first + 2] if count) or "0 s"


def several(count: int, one: str, more: str = "") -> str:
    """A count with its word, such as "1 run" and "2 runs"."""
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"
