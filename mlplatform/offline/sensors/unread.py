"""What a topic has behind a sensor's cursor. It must not start runs, nor move the cursor."""

from contextlib import closing
from typing import TypeVar

from dagster import SensorEvaluationContext

from mlplatform.crosscutting.bus import Received, Topic, open_bus
from mlplatform.crosscutting.bus.contract import Event
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import BusError

T = TypeVar("T", bound=Event)

MOST = 500
"""Messages handled in one tick; the rest follows in the next."""


def unread(
    context: SensorEvaluationContext, settings: Settings, topic: Topic[T]
) -> tuple[list[Received[T]], int]:
    """The messages behind the cursor, and the position behind them and behind what cannot be read.

    Raises
    ------
    BusError
        if no broker answers.
    """
    skipped: list[int] = []

    def unreadable(sequence: int, error: BusError) -> None:
        skipped.append(sequence)
        context.log.error(f"Message {sequence} is skipped. {error} {error.hint}")

    after = int(context.cursor or 0)
    with closing(open_bus(settings.broker_url)) as bus:
        if bus.last(topic) < after:
            after = 0  # the broker lost or dropped everything and counts anew; run keys catch repetitions
        messages = bus.read(topic, after, MOST, on_unreadable=unreadable)
    return messages, max([after, *skipped, *(message.sequence for message in messages)])
