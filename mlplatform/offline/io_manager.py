"""The IO manager: outputs of assets become partitions of lake tables, inputs come from them.

It must not change a frame: an asset's frame carries its own `partition_key`, and is read as it was stored.
"""

from collections.abc import Sequence
from typing import Any

import polars as pl
from dagster import (
    AssetKey,
    ConfigurableIOManager,
    InputContext,
    OutputContext,
    ResourceDependency,
    TableColumn,
    TableSchema,
)

from mlplatform.errors import ConfigurationError
from mlplatform.offline.resources import LakeResource
from mlplatform.stores.lake import Table

EVOLVE = "mlplatform/evolve"
"""Asset metadata: true lets this output add columns to its table."""
ALLOW_EMPTY = "mlplatform/allow_empty"
"""Asset metadata: true lets a partition of this output have no rows."""
COLUMNS = "columns"
"""Metadata of an AssetIn: the columns to load, as a list; the others are not read from the disk."""

_COLUMNS_REPEATED = 10_000


def table_of(key: AssetKey) -> Table:
    """[use_case, name] or [use_case, group, name] → the table use_case.name or use_case.group_name."""
    schema, *rest = key.path
    if not rest:
        raise ConfigurationError(
            f"Asset {key.to_user_string()!r} has no table; its key must be [use_case, name] or longer.",
            hint="Give the asset a key_prefix, the name of its use case.",
        )
    return Table(schema, "_".join(rest))


class LakeIOManager(ConfigurableIOManager):
    """Stores polars DataFrames: a partition, a range of them or an unpartitioned asset, in one commit."""

    lake: ResourceDependency[LakeResource]

    def handle_output(self, context: OutputContext, obj: pl.DataFrame) -> None:
        """Write the output in one transaction; see Lake.write for what it refuses.

        Raises
        ------
        ConfigurationError
            if the output is no polars DataFrame.
        """
        table = table_of(context.asset_key)
        if not isinstance(obj, pl.DataFrame):
            raise ConfigurationError(
                f"Asset {context.asset_key.to_user_string()} gave {_type_name(type(obj))}; "
                "the lake stores polars.DataFrame.",
                hint="Collect or convert it; an asset that stores nothing returns MaterializeResult.",
            )
        keys = list(context.asset_partition_keys) if context.has_asset_partitions else None
        said = context.definition_metadata or {}
        self.lake.lake().write(
            table, obj, keys, evolve=bool(said.get(EVOLVE)), allow_empty=bool(said.get(ALLOW_EMPTY))
        )
        self._describe(context, table, obj, keys)

    def load_input(self, context: InputContext) -> pl.DataFrame:
        """Read the upstream partitions of this run in one query; an unpartitioned upstream comes whole.

        Raises
        ------
        ConfigurationError
            if the input is annotated as another type.
        NotFound
            if the upstream asset was never stored.
        """
        wanted = context.dagster_type.typing_type
        if isinstance(wanted, type) and wanted is not Any and not issubclass(pl.DataFrame, wanted):
            raise ConfigurationError(
                f"Input {context.name} is annotated {_type_name(wanted)}; the lake gives polars.DataFrame.",
                hint="Annotate it pl.DataFrame and convert inside the asset.",
            )
        columns = context.definition_metadata.get(COLUMNS)
        keys = list(context.asset_partition_keys) if context.has_asset_partitions else None
        return self.lake.lake().read(table_of(context.asset_key), columns=columns, partitions=keys)

    def _describe(
        self, context: OutputContext, table: Table, frame: pl.DataFrame, keys: Sequence[str] | None
    ) -> None:
        written = "all" if keys is None else f"{min(keys)} to {max(keys)} ({len(keys)})"
        total = frame.height if keys is None else self.lake.lake().row_count(table)
        context.add_output_metadata(
            {
                "dagster/table_name": str(table),
                "dagster/row_count": total,
                "rows_written": frame.height,
                "partitions_written": written,
            }
        )
        # A range run repeats this metadata for every partition: a wide schema would fill the event log.
        if keys is None or len(keys) * frame.width <= _COLUMNS_REPEATED:
            context.add_output_metadata({"dagster/column_schema": column_schema(frame)})
        if keys is not None and len(keys) == 1:
            context.add_output_metadata({"dagster/partition_row_count": frame.height})


def column_schema(frame: pl.DataFrame) -> TableSchema:
    """The frame's columns as Dagster shows them."""
    return TableSchema([TableColumn(name, str(kind)) for name, kind in frame.schema.items()])


def _type_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
