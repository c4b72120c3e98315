"""Features of the default use case: the year in batch, events and vectors online, and whether they agree.

    python -m benchmarks.features [--days 7] [--json]

Batch: all features of every flight of 2013, median of three runs. Online: the events of the weeks before and
during a few days, one by one, and a vector for each flight of those days; every value is compared with batch.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl

from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.stages.ingestion.batch import take, text_of
from mlplatform.stages.preparation.batch import compute
from mlplatform.stages.preparation.online import OnlineFeatures
from mlplatform.stages.preparation.repairs import apply

TIMES = pl.Datetime("us", "UTC")


def raw_rows(declared: Declared, name: str) -> pl.DataFrame:
    """The rows of a data set as its source delivers them, typed and checked, without a store."""
    rules, frames = declared.rules(name), []
    daily = declared.config.data_sets[name].daily
    for delivery in declared.source(name).deliveries(declared.days() if daily else None):
        (part,) = delivery.parts
        assert isinstance(part.content, bytes)
        text = text_of(part.content, part.format, rules)
        frames.append(text.with_columns(partition_key=pl.lit(delivery.partition), batch_id=pl.lit("")))
    good = take(pl.concat(frames), rules).good
    return good if daily else good.drop("partition_key")


def cleaned(declared: Declared) -> dict[str, pl.DataFrame]:
    """Every cleaned table of the use case, read from its sources."""
    tables: dict[str, pl.DataFrame] = {}
    for name in sorted(declared.tables, key=lambda n: declared.config.data_sets[n].daily):
        reads = (tables[other] for other in declared.config.data_sets[name].reads)
        rows = apply(raw_rows(declared, name), declared.repairs(name)).frame
        tables[name] = declared.clean(name)(rows, *reads)
    return tables


def batch(declared: Declared, tables: dict[str, pl.DataFrame]) -> tuple[float, pl.DataFrame]:
    """Median CPU-and-wall seconds of a whole year, and the features."""
    spine, seconds = tables[declared.feature_set.spine.table], []
    for _ in range(3):
        started = time.perf_counter()
        features = compute(declared.feature_set, spine, tables)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), features.with_columns(spine["partition_key"])


def online(
    declared: Declared, tables: dict[str, pl.DataFrame], features: pl.DataFrame, days: int
) -> dict[str, float]:
    """Events and vectors of the last `days`, in order of time, each vector compared with batch."""
    feature_set = declared.feature_set
    asked_days = sorted(features["partition_key"].unique())[-days - 30 : -30]
    questions = features.filter(pl.col("partition_key").is_in(asked_days)).sort("as_of")
    plain = questions.with_columns(pl.col(TIMES).to_physical())
    first, last = plain["as_of"].min(), plain["as_of"].max()
    assert isinstance(first, int)
    executor = OnlineFeatures(feature_set)
    for table in feature_set.statics:
        executor.load_static(table, tables[table].to_dicts())
    events: list[tuple[int, str, dict[str, Any]]] = []
    for source in feature_set.sources:
        rows = tables[source.table].with_columns(pl.col(TIMES).to_physical())
        near = rows.filter(pl.col(source.at).is_between(first - feature_set.retention_us, last))
        events += [(row[source.at], source.name, row) for row in near.to_dicts()]
    events.sort(key=lambda event: event[0])
    at, taking, asking, different = 0, 0.0, 0.0, 0
    for row in plain.iter_rows(named=True):
        started = time.process_time()
        while at < len(events) and events[at][0] <= row["as_of"]:
            executor.event(events[at][1], events[at][2])
            at += 1
        between = time.process_time()
        vector = executor.vector(row)
        taking, asking = taking + between - started, asking + time.process_time() - between
        different += sum(a != row[n] for n, a in zip(feature_set.names, vector, strict=True))
    return {
        "events_per_cpu_s": round(at / taking),
        "cpu_us_per_vector": round(asking / plain.height * 1e6, 1),
        "vectors": plain.height,
        "cells": plain.height * len(feature_set.names),
        "different": different,
    }


def main() -> None:
    """Run and report."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--days", type=int, default=7)
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    declared = project.load(project.find("flight_delay", Path.cwd()))
    tables = cleaned(declared)
    seconds, features = batch(declared, tables)
    result = {
        "feature_set": declared.feature_set.id,
        "features": len(declared.feature_set.names),
        "rows": features.height,
        "batch_s": round(seconds, 2),
        **online(declared, tables, features, options.days),
    }
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:>20}: {value}")
    sys.exit(1 if result["different"] else 0)


if __name__ == "__main__":
    main()
