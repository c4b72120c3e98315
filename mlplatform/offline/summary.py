"""What a deployment holds of a use case, read from its stores: rows, partitions, champion, figures.

It must not import Dagster and must not change anything.
"""

from contextlib import closing
from typing import Any

import polars as pl

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.declared import Declared
from mlplatform.stages.evaluation.metrics import CHIEF
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake


def summary(declared: Declared, settings: Settings) -> dict[str, Any]:
    """Rows and partitions per table, the champion, its test figures, and those of every candidate."""
    with closing(Lake.from_settings(settings)) as lake:
        tables = lake.tables(declared.name)
        rows = {name: lake.row_count(declared.table(name)) for name in tables}
        partitions = {name: len(lake.partitions(declared.table(name))) for name in tables}
        models = {name: _figures(lake, declared, name) for name in declared.config.models}
    champion = champion_of(declared.name, settings)
    metrics: dict[str, float] = {}
    for figures in models.values():
        if champion and figures.get("digest") == champion["digest"]:
            metrics = {name: figures[name] for name in CHIEF[declared.config.task] if name in figures}
    return {
        "title": declared.config.title,
        "champion": champion,
        "metrics": metrics,
        "models": models,
        "partitions": {name: count for name, count in partitions.items() if count},
        "rows": rows,
    }


def champion_of(use_case: str, settings: Settings) -> dict[str, Any] | None:
    """The release that serves, its time in UTC (ISO 8601); None before the first one."""
    if not settings.state_file_exists():
        return None
    with closing(ChampionStore(settings.state_url)) as store:
        release = store.champion(use_case)
    if release is None:
        return None
    return {
        "model": release.model,
        "version": release.version,
        "digest": release.digest,
        "feature_set": release.feature_set_id,
        "as_of": release.as_of,
        "released_at": release.released_at.isoformat(),
        "why": release.why,
    }


def _figures(lake: Lake, declared: Declared, model: str) -> dict[str, Any]:
    """Digest and test figures of a model's latest evaluation."""
    table = declared.table(f"evaluation_{model}")
    if not lake.exists(table):
        return {}
    found = (
        lake.read(table).filter(part="test").filter(pl.col("partition_key") == pl.col("partition_key").max())
    )
    figures: dict[str, Any] = dict(found.select("figure", "value").iter_rows())
    return {"digest": found["digest"][0], **figures} if found.height else {}
