"""The source of a demonstration: announces each day's flights at noon (UTC) of the day after.

It must not hand anything over: whoever hears of it fetches the day from the data set's source.
"""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta

from mlplatform.crosscutting.bus import open_bus
from mlplatform.crosscutting.bus.topics import SOURCE_DATA_AVAILABLE
from mlplatform.crosscutting.settings import Settings
from mlplatform.demonstration.past import FLIGHTS
from mlplatform.offline.declared import Declared
from mlplatform.offline.messages import arrival

NOON = time(12)


class Deliveries:
    """Days that are to be announced, in order."""

    def __init__(self, declared: Declared, settings: Settings, days: Sequence[str]) -> None:
        self._declared, self._settings, self._waiting = declared, settings, list(days)
        self.announced = ""
        """The newest day announced."""

    def until(self, replayed: datetime) -> list[str]:
        """Announce what is due at a time of the replay; the days.

        Raises
        ------
        BusError
            if the broker does not answer.
        """
        due = [day for day in self._waiting if _due(day) <= replayed]
        if due:
            self._waiting = self._waiting[len(due) :]
            with closing(open_bus(self._settings.broker_url)) as bus:
                for day in due:
                    message = arrival(self._declared, FLIGHTS, day, f"{FLIGHTS}-{day}")
                    bus.publish(SOURCE_DATA_AVAILABLE, message)
            self.announced = due[-1]
        return due

    def behind(self, ingested: str) -> int:
        """How many announced days are not ingested yet, given the newest that is."""
        if not self.announced:
            return 0
        return max(0, (date.fromisoformat(self.announced) - date.fromisoformat(ingested)).days)


def _due(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day) + timedelta(days=1), NOON, UTC)
