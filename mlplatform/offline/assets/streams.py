"""Event streams as assets: archived by the online ingestion service, seen here with their batches.

It must not archive; `sensors/streams.py` reports what was.
"""

from dagster import AssetSpec

from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared


def build(declared: Declared) -> list[AssetSpec]:
    """`raw_<stream>` for every stream."""
    return [
        AssetSpec(
            key(declared, f"raw_{name}"),
            group_name=f"{declared.name}_ingestion",
            owners=declared.config.owners,
            kinds={"nats", "duckdb"},
            description=f"{stream.description or 'Events as they were sent.'}\n\nSchema-less documents, "
            "archived from the broker in batches named by their positions in the stream. `mlplatform up` "
            f"takes events at `POST /events/{name}`.",
        )
        for name, stream in declared.config.streams.items()
    ]
