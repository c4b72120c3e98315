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
from mlplatform.stores.audit import AuditLog
from mlplatform.stores.redriven import Redriven

PAGE = 500
KIND = "dead-letter"
"""Of the entries in the audit."""


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
    bus: Bus,
    redriven: Redriven,
    audit: AuditLog,
    letter: Received[DeadLetter],
    who: str,
    *,
    again: bool = False,
) -> bool:
    """Send the original to its topic, and record it in the audit; False if it was already and not `again`.

    Raises
    ------
    BusError
        if no broker answers, or the original is not whole or still cannot be read.
    StoreError
        if the audit cannot be written; the message went out then, and a consumer knows it by its id.
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
    sending = event_id("redrive", id, sent + 1)
    bus.publish(topic, original, again=sending)
    now = utc_now()
    audit.record(
        KIND,
        data.use_case or data.topic,
        who=who,
        why=f"sent again by command, after: {data.reason}",
        details={"action": "redrive", "letter": id, "topic": data.topic, "time": sent + 1},
        at=now,
        id=sending,
    )
    redriven.note(id, sent + 1, now, who)
    return True
