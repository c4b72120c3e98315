"""Dead letters: read from their topic, and sent again to the topic they came from.

What is sent again keeps its id, so that a consumer that had in fact handled it knows it; the broker, which
drops an id that it has, is told that this repetition is meant. It must not send a letter a second time unless
it is told to.
"""

from base64 import b64decode
from collections.abc import Collection

import msgspec

from mlplatform.crosscutting.bus import Bus, Received, event_id
from mlplatform.crosscutting.bus.topics import DEAD_LETTER, DeadLetter, topic_named
from mlplatform.crosscutting.clock import utc_now
from mlplatform.errors import BusError
from mlplatform.stores.redriven import Redriven

PAGE = 500


def letters(bus: Bus, topic: str = "", ids: Collection[str] = ()) -> list[Received[DeadLetter]]:
    """The dead letters that the broker still has, the oldest first; of one topic or of some ids if given."""
    found: list[Received[DeadLetter]] = []
    after = 0
    while page := bus.read(DEAD_LETTER, after, PAGE, on_unreadable=lambda *_: None):
        found += page
        after = page[-1].sequence
    return [
        each
        for each in found
        if topic in ("", each.envelope.data.topic) and (not ids or each.envelope.id in ids)
    ]


def redrive(
    bus: Bus, redriven: Redriven, letter: Received[DeadLetter], who: str, *, again: bool = False
) -> bool:
    """Send the original to its topic; False if it was already, and `again` is not given.

    Raises
    ------
    BusError
        if no broker answers, or the original is not whole or still cannot be read.
    """
    id, data = letter.envelope.id, letter.envelope.data
    sent = redriven.counts().get(id, 0)
    if sent and not again:
        return False
    if data.truncated:
        raise BusError(f"letter {id} has only the beginning of its message.", hint="Send the original anew.")
    topic = topic_named(data.topic)
    payload = data.original.encode() if data.encoding == "text" else b64decode(data.original)
    try:
        original = msgspec.json.decode(payload, type=topic.envelope)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BusError(f"letter {id} still cannot be read: {error}.", hint="Send it corrected.") from error
    bus.publish(topic, original, again=event_id("redrive", id, sent + 1))
    redriven.note(id, sent + 1, utc_now(), who)
    return True
