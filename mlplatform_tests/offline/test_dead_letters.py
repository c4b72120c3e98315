"""A dead letter is sent again to its topic once, and a second time only when asked."""

from contextlib import closing
from pathlib import Path
from threading import Event as Flag
from typing import Any

from mlplatform.crosscutting.bus import envelope
from mlplatform.crosscutting.bus.consume import consume
from mlplatform.crosscutting.bus.memory import MemoryBus
from mlplatform.crosscutting.bus.topics import DEAD_LETTER, SCORING_REQUESTED, ScoringRequested
from mlplatform.offline.dead_letters import KIND, letters, redrive
from mlplatform.stores.audit import AuditLog
from mlplatform.stores.redriven import Redriven


def _consumed(bus: MemoryBus, *, fails: bool) -> list[Any]:
    """What a consumer is handed until it has had one message."""
    stop, taken = Flag(), list[Any]()

    def handle(received: Any) -> None:
        stop.set()
        taken.append(received.envelope)
        if fails:
            raise ValueError("there is no such day")

    consume(bus, SCORING_REQUESTED, "batch", handle, stop=stop, attempts=1, wait=0.01)
    return taken


def test_a_letter_is_sent_again_once_and_again_when_asked(tmp_path: Path) -> None:
    bus = MemoryBus()
    data = ScoringRequested(use_case="flights", first="2026-01-01", last="2026-01-02")
    bus.publish(SCORING_REQUESTED, envelope(SCORING_REQUESTED, data, id="a", source="/test"))
    _consumed(bus, fails=True)
    (letter,) = letters(bus, "scoring-requested")
    assert "there is no such day" in letter.envelope.data.reason
    assert letters(bus, "source-event") == letters(bus, "", ["other"]) == []
    url = f"sqlite:///{tmp_path / 'state.sqlite'}"
    with closing(Redriven(url)) as redriven, closing(AuditLog(url)) as audit:
        assert redrive(bus, redriven, audit, letter, "me")
        assert not redrive(bus, redriven, audit, letter, "me")
        (first,) = _consumed(bus, fails=False)
        assert redrive(bus, redriven, audit, letter, "me", again=True)
        (second,) = _consumed(bus, fails=False)
        assert redriven.counts() == {letter.envelope.id: 2}
        entries = [(entry.who, entry.subject, entry.told()["details"]) for entry in audit.entries(kind=KIND)]
    assert first.data == second.data == data
    assert first.id == second.id == "a", "a consumer that had handled it would not know it"
    assert bus.last(DEAD_LETTER) == letter.sequence
    topic = {"action": "redrive", "letter": letter.envelope.id, "topic": "scoring-requested"}
    assert entries == [("me", "flights", topic | {"time": time}) for time in (1, 2)]
