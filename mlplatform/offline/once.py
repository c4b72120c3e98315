"""What a deployment has once, though each of its use cases is loaded by itself: the first one brings it.

Dagster refuses two jobs or sensors of one name in a code location. It must not know what is brought.
"""

from mlplatform.crosscutting.settings import Settings

_FIRST: dict[Settings, str] = {}


def brings(use_case: str, settings: Settings) -> bool:
    """Whether this use case brings what the deployment has once: the first that asked in this process."""
    return _FIRST.setdefault(settings, use_case) == use_case
