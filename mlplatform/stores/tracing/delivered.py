"""The rows of one batch as features read them: of a cleaned table, or events of a stream.

It must not say what they fed; `forward.py` does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from mlplatform.stages.monitoring.lineage import BATCH
from mlplatform.stages.preparation.declarations import FeatureSet, columns_of
from mlplatform.stores.batches import Manifest
from mlplatform.stores.lake import KEY, Moments
from mlplatform.stores.lake_sql import quoted
from mlplatform.stores.tracing import fed
from mlplatform.stores.tracing.origin import Origin


@dataclass(frozen=True)
class Delivered:
    """Rows of a batch by the source they are of, and of a static table by its name."""

    data_set: str
    partition: str
    batch_id: str
    sources: dict[str, pl.DataFrame]
    statics: dict[str, pl.DataFrame]

    def moments(self, feature_set: FeatureSet) -> Moments | None:
        """From when until when questions can see a row (both included); None: none can."""
        if any(rows.height for rows in self.statics.values()):
            return None, None
        seen = list(self._seen(feature_set))
        return (min(begin for begin, _ in seen), max(end for _, end in seen)) if seen else None

    def _seen(self, feature_set: FeatureSet) -> Iterator[tuple[datetime, datetime]]:
        for source in feature_set.sources:
            rows = self.sources.get(source.name)
            if rows is not None and len(at := rows[source.at].drop_nulls()):
                first, last = at.min(), at.max()
                assert isinstance(first, datetime)
                assert isinstance(last, datetime)
                reach = feature_set.clocks(source.table)[source.at]
                yield first, last + timedelta(microseconds=reach)


def delivered(origin: Origin, feature_set: FeatureSet, manifest: Manifest) -> Delivered:
    """The rows of a batch that a feature set reads, as they are now.

    Raises
    ------
    NotFound
        if a column is not there any more.
    """
    name, id = manifest.data_set, manifest.batch_id
    if name in origin.streams:
        return Delivered(name, manifest.partition, id, fed.events_of(origin, feature_set, name, id), {})
    read = {s.name for s in feature_set.sources if s.table == name}
    static = name in feature_set.statics
    if not (read or static) or not origin.columns(name):
        return Delivered(name, manifest.partition, id, {}, {})
    rows = _rows(origin, feature_set, manifest)
    sources, statics = dict.fromkeys(read, rows), {name: rows} if static else {}
    return Delivered(name, manifest.partition, id, sources, statics)


def _rows(origin: Origin, feature_set: FeatureSet, manifest: Manifest) -> pl.DataFrame:
    name = manifest.data_set
    columns = columns_of(feature_set.features, name)
    there = origin.columns(name)
    if BATCH in there:
        where, values = f"{BATCH} = ?", [manifest.batch_id]
    elif not manifest.current:
        where, values = "false", []
    else:
        where, values = (f"{KEY} = ?", [manifest.partition]) if KEY in there else ("true", [])
    listed = ", ".join(map(quoted, columns))
    query = f'SELECT {listed} FROM "{origin.use_case}"."{name}" WHERE {where}'
    return origin.lake.sql(query, values).with_columns(pl.lit(manifest.batch_id).alias(BATCH))
