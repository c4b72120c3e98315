"""mlplatform: a complete production machine-learning pipeline, declared as a Dagster asset graph.

`mlplatform.UseCase` is the Dagster component (`type: mlplatform.UseCase` in a defs.yaml); what a features.py
needs is in `mlplatform.features`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlplatform.offline.use_case import UseCase

__all__ = ["UseCase"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: importing Dagster takes two seconds that the online services do not have.
    if name == "UseCase":
        from mlplatform.offline.use_case import UseCase

        return UseCase
    raise AttributeError(f"module 'mlplatform' has no attribute {name!r}")
