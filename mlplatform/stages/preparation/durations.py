"""Durations as people write them ("90m", "6h", "28d") and as the executors use them (microseconds).

It must not know clocks or calendars: a day here is 24 hours.
"""

import re

from mlplatform.errors import ConfigurationError

_UNITS = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}
_GRAMMAR = re.compile(r"([0-9]{1,6})([smhdw])")


def microseconds(duration: str) -> int:
    """`duration` in microseconds, e.g. `microseconds("6h") == 21_600_000_000`.

    Raises
    ------
    ConfigurationError
        if it is not a whole number followed by one of s, m, h, d, w.
    """
    match = _GRAMMAR.fullmatch(duration)
    if match is None:
        raise ConfigurationError(
            f"got duration {duration!r}; allowed: a whole number and a unit out of s, m, h, d, w.",
            hint='Write for example "90m", "6h" or "28d".',
        )
    return int(match[1]) * _UNITS[match[2]]
