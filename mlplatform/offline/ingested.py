"""What is said of a delivery before it is ingested, and what came of it after.

It must not ingest; `ingestion_service.py` does.
"""

from dataclasses import dataclass, field

from mlplatform.errors import DeliveryRefused, SourceError
from mlplatform.stores.batches import Manifest


@dataclass(frozen=True)
class Expected:
    """What the message that announced a delivery says of it; None: nothing is said."""

    rows: int | None = None
    sha256: str | None = None
    schema_version: str | None = None
    message_id: str = ""


@dataclass(frozen=True)
class Ingested:
    """New batches, partitions whose content is served already, refusals, and what is missing."""

    accepted: list[Manifest] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    refused: list[Manifest] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def raise_if_refused(self, data_set: str) -> None:
        """Raise SourceError if a partition was refused or is missing; the others are saved all the same."""
        if self.refused:
            first = self.refused[0]
            more = f" (and {len(self.refused) - 1} more)" if len(self.refused) > 1 else ""
            reason, _, said = first.reason.partition(": ")
            raise DeliveryRefused(
                reason,
                f"{data_set} {first.partition}{more}: refused, {reason}: {said}",
                hint="Its bytes are kept, what was served before still is; `mlplatform batches` lists it.",
            )
        if self.missing:
            raise SourceError(
                f"{data_set}: nothing was delivered for {', '.join(self.missing[:3])}"
                f"{f' and {len(self.missing) - 3} more' if len(self.missing) > 3 else ''}.",
                hint="The other partitions are saved. Check the source, or `days` in defs.yaml.",
            )
