"""What a comparison of batch and online found: how much was compared, what differs, and examples of it.

It must not compare anything.
"""

from dataclasses import dataclass, field
from typing import Any

History = list[dict[str, Any]]
"""Source rows by name of column, the oldest first."""
MOST_EXAMPLES = 10


@dataclass(frozen=True)
class Example:
    """One cell that differs, and the rows it was computed from on both sides."""

    question: dict[str, Any]
    as_of: str
    feature: str
    """A feature, or `score` or `as_of`."""
    batch: Any
    online: Any
    batch_history: History
    online_history: History


@dataclass
class Compared:
    """How much was compared, and what differs."""

    rows: int = 0
    unasked: int = 0
    """Questions without batch features, and batch features without a question."""
    cells: int = 0
    different: int = 0
    scores: int = 0
    scores_stored: int = 0
    """Those compared with a stored score; the others with what batch scoring gives now."""
    scores_different: int = 0
    events: int = 0
    examples: list[Example] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether something was compared and nothing differs."""
        return self.rows > 0 and not (self.unasked or self.different or self.scores_different)
