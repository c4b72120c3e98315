"""How a release is to be served: its deadline, what answers when it is late or fails, and who gets a canary.

It is part of a release, so that going back to an older one goes back to how that one was served. It must not
know a server.
"""

from typing import Literal

import msgspec

Precomputed = Literal["never", "fallback", "first"]


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What `serving:` of defs.yaml says, as a release keeps it."""

    deadline_ms: float = 100.0
    """A version that takes longer is passed over until it is fast again."""
    previous_versions: int = 1
    """Earlier champions that are kept loaded to answer for the champion."""
    own_process: bool = False
    """The model is known to be slow: it scores in a process of its own, which is not waited for too long."""
    precomputed: Precomputed = "fallback"
    """Whether batch scores answer: never, when no version does, or before any version."""
    valid_minutes: float = 1440.0
    """A batch score answers questions whose time is at most this far from its own."""
    constant: float | None = None
    """The score when nothing else answers; None: then the request is refused with 503."""
    entity: tuple[str, ...] = ()
    """Facts that name the entity, by which a canary's share is chosen; empty: the key of the questions."""
    log: Literal["async", "sync"] = "async"
    """Whether an answer waits until it is in the Score Data Store."""
