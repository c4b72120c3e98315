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
from mlplatform.offline.retries import stored
from mlplatform.stores.lake import Lake, Table

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
        with stored(context):
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
        with stored(context):
            return self.lake.lake().read(table_of(context.asset_key), columns=columns, partitions=keys)

    def _describe(
        self, context: OutputContext, table: Table, frame: pl.DataFrame, keys: Sequence[str] | None
    ) -> None:
        if keys is not None:
            context.add_output_metadata(described(self.lake.lake(), table, frame, keys, frame.height))
            return
        context.add_output_metadata(
            {
                "dagster/table_name": str(table),
                "dagster/row_count": frame.height,
                "rows_written": frame.height,
                "partitions_written": "all",
                "dagster/column_schema": column_schema(frame),
            }
        )


def written(lake: Lake, table: Table, keys: Sequence[str], rows: int) -> dict[str, Any]:
    """What is said of `rows` rows of partitions that an asset wrote itself, as of those written here."""
    return described(lake, table, lake.read(table, partitions=[]), keys, rows)


def described(lake: Lake, table: Table, like: pl.DataFrame, keys: Sequence[str], rows: int) -> dict[str, Any]:
    """Metadata of written partitions; `like` has the columns."""
    said: dict[str, Any] = {
        "dagster/table_name": str(table),
        "dagster/row_count": lake.row_count(table),
        "rows_written": rows,
        "partitions_written": f"{min(keys)} to {max(keys)} ({len(keys)})",
    }
    # A range run repeats this metadata for every partition: a wide schema would fill the event log.
    if len(keys) * like.width <= _COLUMNS_REPEATED:
        said["dagster/column_schema"] = column_schema(like)
    if len(keys) == 1:
        said["dagster/partition_row_count"] = rows
    return said


def column_schema(frame: pl.DataFrame) -> TableSchema:
    """The frame's columns as Dagster shows them."""
    return TableSchema([TableColumn(name, str(kind)) for name, kind in frame.schema.items()])


def _type_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
