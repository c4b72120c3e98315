"""Two clocks beside each other: that of the wall, and that of the replay. It must not read either."""

from bisect import bisect_right
from datetime import UTC, datetime


class ReplayClock:
    """What time it was in the replay at a moment of the wall's clock; both in UTC."""

    def __init__(self) -> None:
        self._wall: list[float] = []
        self._replayed: list[float] = []

    def note(self, wall: datetime, replayed: datetime) -> None:
        """From now on it is so late in the replay; calls come in order."""
        self._wall.append(wall.timestamp())
        self._replayed.append(replayed.timestamp())

    def at(self, wall: datetime) -> datetime:
        """The replay's time, between two notes in proportion; before the first and after the last it stands.

        Raises
        ------
        ValueError
            if nothing was noted yet.
        """
        if not self._wall:
            raise ValueError("nothing was noted yet")
        moment = wall.timestamp()
        place = bisect_right(self._wall, moment)
        if place in (0, len(self._wall)):
            return datetime.fromtimestamp(self._replayed[min(place, len(self._wall) - 1)], UTC)
        begin, end = self._wall[place - 1 : place + 1]
        first, last = self._replayed[place - 1 : place + 1]
        return datetime.fromtimestamp(first + (last - first) * (moment - begin) / (end - begin), UTC)
