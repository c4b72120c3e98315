"""The answers given last, by their prediction id, in memory.

Whoever answers pays one entry of a dictionary; the oldest makes room. It must not read a store, and is used
from the thread that answers.
"""

from collections import OrderedDict
from typing import Any

from mlplatform.online.replies import encode
from mlplatform.stages.scoring.score import Answer, Listing

Answered = Answer | Listing | list[Answer]
"""What a request is answered by."""
MOST = 100_000
"""Answers kept; about 50 MB."""


class Recent:
    """At most `most` answers."""

    def __init__(self, most: int = MOST) -> None:
        self.found = 0
        self._most = most
        self._held: OrderedDict[str, Answered] = OrderedDict()

    def keep(self, id: str, answer: Answered) -> None:
        """Keep an answer; the same id again, which is the same answer, takes the place of the first."""
        held = self._held
        held[id] = answer
        if len(held) > self._most:
            held.popitem(last=False)

    def get(self, id: str) -> bytes | None:
        """The answer as it was given, in JSON; None if it is not here."""
        answer = self._held.get(id)
        if answer is None:
            return None
        self.found += 1
        return encode(answer)

    def status(self) -> dict[str, Any]:
        """How many are kept, and how many were looked up here."""
        return {"kept": len(self._held), "most": self._most, "found": self.found}
