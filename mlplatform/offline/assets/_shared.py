"""What the asset files share: names, groups, partition ranges, pictures.

It must not know a stage.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl
from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    BackfillPolicy,
    MetadataValue,
    StaticPartitionsDefinition,
    TableColumn,
    TableRecord,
    asset,
)
from dagster import TableSchema as DagsterTableSchema

from mlplatform.offline.declared import Declared
from mlplatform.offline.retries import retried, tag
from mlplatform.stages.evaluation.pictures import draw
from mlplatform.stages.evaluation.values import Picture

IO = "mlplatform_io"


def key(declared: Declared, name: str) -> AssetKey:
    """The key of a use case's asset."""
    return AssetKey([declared.name, name])


def stage_asset(
    declared: Declared, stage: str, name: str, *, version: str, kinds: set[str], **more: Any
) -> Callable[[Callable[..., Any]], AssetsDefinition]:
    """Dagster's `asset`, with what all assets of a use case have in common; `more` is passed on.

    A failure that may pass (retries.py) is tried again, whatever the stage.
    """
    # Days and months are made together in one run; a date of training has rows of its own and is made alone.
    alone = isinstance(more.get("partitions_def"), StaticPartitionsDefinition)
    policy = BackfillPolicy.multi_run() if alone else BackfillPolicy.single_run()
    config = declared.config
    retries = config.training.retries if stage == "training" else config.retries

    def decorate(function: Callable[..., Any]) -> AssetsDefinition:
        made: AssetsDefinition = asset(
            name=name,
            key_prefix=[declared.name],
            group_name=f"{declared.name}_{stage}",
            owners=config.owners,
            kinds=kinds,
            code_version=version,
            io_manager_key=IO,
            backfill_policy=policy,
            op_tags=tag(retries),
            **more,
        )(retried(retries)(function))
        return made

    return decorate


def keys_of_run(context: AssetExecutionContext) -> list[str]:
    """The partition keys this run materialises, in order."""
    return list(context.partition_keys)


def image(picture: Picture) -> MetadataValue:
    """A picture as metadata that the Dagster UI shows."""
    text = base64.b64encode(draw(picture)).decode()
    return MetadataValue.md(f"![{picture.title}](data:image/png;base64,{text})")


def table(rows: pl.DataFrame, most: int = 200) -> MetadataValue:
    """A small frame as a table in the Dagster UI; decimals are rounded to five places for reading."""
    shown = rows.head(most).with_columns(pl.selectors.float().round(5))
    records = [TableRecord(_plain(record)) for record in shown.to_dicts()]
    columns = [TableColumn(name, str(kind)) for name, kind in shown.schema.items()]
    return MetadataValue.table(records, DagsterTableSchema(columns))


def lines(sentences: Sequence[str]) -> MetadataValue:
    """Sentences as a list in the Dagster UI."""
    return MetadataValue.md("\n".join(f"- {sentence}" for sentence in sentences) or "none")


def _plain(record: dict[str, Any]) -> dict[str, str | int | float | bool]:
    return {
        name: value if isinstance(value, str | int | float | bool) else "" if value is None else str(value)
        for name, value in record.items()
    }
