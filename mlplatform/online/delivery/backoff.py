"""How long to wait before something is tried again. It must not wait itself."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Seconds between attempts: doubled each time, less up to a half by chance."""

    first: float = 0.5
    longest: float = 60.0

    def pause(self, attempt: int, asked: float = 0.0) -> float:
        """Before the attempt after this one, counted from 1; a receiver may have asked for more."""
        usual = min(self.longest, self.first * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)
        return max(usual, min(asked, self.longest))
