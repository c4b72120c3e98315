"""The wall clock, so that whoever needs the time can be handed another one.

It must not be read by a stage: a stage gets its times as values.
"""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Current time, time-zone aware, UTC."""
    return datetime.now(UTC)
