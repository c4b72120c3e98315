"""The asset graph of flight_delay as text, to compare with the checked-in file.

To renew it:  python -m mlplatform_tests.graph.snapshot
"""

from collections.abc import Iterator
from pathlib import Path

from dagster import AssetKey, Definitions, PartitionsDefinition

FILE = Path(__file__).with_name("flight_delay.txt")


def graph() -> Definitions:
    """What Dagster loads for this package."""
    from mlplatform.definitions import defs

    return defs


def text() -> str:
    """One paragraph per asset of flight_delay; code versions and descriptions are left out."""
    return "\n\n".join("\n".join(_asset(key)) for key in keys("flight_delay")) + "\n"


def keys(use_case: str) -> list[AssetKey]:
    """The assets of a use case."""
    found = graph().resolve_asset_graph().get_all_asset_keys()
    return sorted(key for key in found if key.path[0] == use_case)


def _asset(key: AssetKey) -> Iterator[str]:
    node = graph().resolve_asset_graph().get(key)
    checks = sorted(check.name for check in node.check_keys)
    yield key.to_user_string()
    yield f"  group:      {node.group_name}"
    yield f"  kinds:      {', '.join(sorted(node.kinds))}"
    yield f"  partitions: {_partitions(node.partitions_def)}"
    yield f"  deps:       {', '.join(sorted(_dep(key, parent) for parent in node.parent_keys)) or 'none'}"
    yield f"  checks:     {', '.join(checks) or 'none'}"


def _partitions(definition: PartitionsDefinition[str] | None) -> str:
    if definition is None:
        return "none"
    keys = definition.get_partition_keys()
    kind = type(definition).__name__.removesuffix("PartitionsDefinition").lower()
    return f"{kind}, {len(keys)}: {keys[0]} to {keys[-1]}"


def _dep(key: AssetKey, parent: AssetKey) -> str:
    mapping = graph().resolve_asset_graph().get(key).partition_mappings.get(parent)
    # A mapping without fields is an empty tuple, hence false.
    name = "" if mapping is None else type(mapping).__name__.removesuffix("PartitionMapping")
    words = [name, str(mapping.start_offset)] if getattr(mapping, "start_offset", 0) else [name]
    return f"{parent.path[-1]} ({' '.join(words)})" if name else parent.path[-1]


if __name__ == "__main__":
    FILE.write_text(text())
