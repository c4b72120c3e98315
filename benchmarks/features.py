"""Features of the default use case: the year in batch, events and vectors online, a service's warm-up.

    python -m benchmarks.features [--days 7] [--json]

Batch: all features of every flight of 2013, and the plain windows among them against a bare polars script
that computes the same, median of three rounds in one run. Online: the events of the weeks before and during
a few days in the order of the real feed, and a vector for each flight of those days; every value is compared
with batch. CPU seconds of one thread.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from benchmarks import bare_features
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.stages.ingestion.batch import take, text_of
from mlplatform.stages.preparation.batch import compute
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.online import OnlineFeatures
from mlplatform.stages.preparation.repairs import apply
from mlplatform.stores.lake import Lake, Table
from mlplatform.stores.warmup import DAY_US, warm

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


def batch(declared: Declared, tables: dict[str, pl.DataFrame]) -> tuple[dict[str, float], pl.DataFrame]:
    """Seconds of a whole year, ours and the bare script's in turn, and the features."""
    spine, plain = tables[declared.feature_set.spine.table], bare_features.plain(declared.feature_set)
    whole, ours, bare = [], [], []
    for _ in range(3):
        seconds, features = _timed(lambda: compute(declared.feature_set, spine, tables))
        whole.append(seconds)
        seconds, mine = _timed(lambda: compute(plain, spine, tables))
        ours.append(seconds)
        seconds, theirs = _timed(lambda: bare_features.compute(plain, spine, tables))
        bare.append(seconds)
    figures = {
        "batch_s": round(statistics.median(whole), 2),
        "plain_features": len(plain.names),
        "plain_s": round(statistics.median(ours), 2),
        "bare_polars_s": round(statistics.median(bare), 2),
        "ratio_to_bare_polars": round(statistics.median(ours) / statistics.median(bare), 2),
        "cells_unlike_bare_polars": _unlike(mine, theirs, plain.names),
    }
    return figures, features.with_columns(spine["partition_key"])


def _timed(work: Callable[[], pl.DataFrame]) -> tuple[float, pl.DataFrame]:
    started = time.perf_counter()
    frame = work()
    return time.perf_counter() - started, frame


def _unlike(mine: pl.DataFrame, theirs: pl.DataFrame, names: Sequence[str]) -> int:
    """Cells that differ by more than the rounding of a division."""
    numbers = [name for name in names if mine[name].dtype.is_numeric()]
    texts = [name for name in names if name not in numbers]
    unlike = sum(int(mine[name].ne_missing(theirs[name]).sum()) for name in texts)
    for name in numbers:
        a, b = mine[name].cast(pl.Float64), theirs[name].cast(pl.Float64)
        near = ((a - b).abs() <= 1e-9 * (1 + b.abs())) | (a.is_null() & b.is_null())
        unlike += int((~near.fill_null(False)).sum())
    return unlike


def online(
    declared: Declared, tables: dict[str, pl.DataFrame], features: pl.DataFrame, days: int
) -> dict[str, float]:
    """Events and vectors of the last `days`, in order of time, each vector compared with batch."""
    feature_set = declared.feature_set
    asked_days = sorted(features["partition_key"].unique())[-days - 30 : -30]
    questions = features.filter(pl.col("partition_key").is_in(asked_days)).sort("as_of")
    plain = questions.with_columns(pl.col(TIMES).to_physical())
    executor = OnlineFeatures(feature_set)
    for table in feature_set.statics:
        executor.load_static(table, tables[table].to_dicts())
    events = fed(declared, tables, plain["as_of"][0], plain["as_of"][-1])
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
        executor.advance(row["as_of"])
    return {
        "events_per_cpu_s": round(at / taking),
        "cpu_us_per_vector": round(asking / plain.height * 1e6, 1),
        "cpu_us_per_60_features": round(asking / plain.height * 1e6 * 60 / len(feature_set.names), 1),
        "vectors": plain.height,
        "cells": plain.height * len(feature_set.names),
        "different": different,
    }


def fed(
    declared: Declared, tables: dict[str, pl.DataFrame], first: int, last: int
) -> list[tuple[int, str, dict[str, Any]]]:
    """When sent, source and row of the events that questions from `first` to `last` can reach, as sent.

    As in the use case's feed a schedule is sent the evening before, everything else when it is known.
    """
    feature_set, events = declared.feature_set, []
    for source in feature_set.sources:
        at = pl.col(source.at)
        evening_before = at.dt.convert_time_zone("America/New_York").dt.truncate("1d").dt.offset_by("-6h")
        known = at + timedelta(microseconds=microseconds(source.lag))
        sent = evening_before if source.name == "schedule" else known
        near = at.dt.timestamp("us").is_between(first - feature_set.retention_us, last + 2 * DAY_US)
        rows = tables[source.table].filter(near).with_columns(sent=sent.dt.timestamp("us"))
        plain = rows.with_columns(pl.col(TIMES).to_physical()).sort("sent", source.at)
        events += [(row.pop("sent"), source.name, row) for row in plain.to_dicts()]
    return sorted(events, key=lambda event: event[0])


def warm_up(declared: Declared, tables: dict[str, pl.DataFrame]) -> dict[str, float]:
    """Seconds until a service's memory is whole, with a year in the lake."""
    with (
        TemporaryDirectory() as folder,
        closing(Lake(Path(folder) / "catalog.sqlite", Path(folder) / "data")) as lake,
    ):
        for name, frame in tables.items():
            days = frame["partition_key"].unique().to_list() if name in declared.daily else None
            lake.write(Table(declared.name, name), frame, days)
        started = time.perf_counter()
        memory = warm(lake, declared.name, declared.feature_set)
        seconds = time.perf_counter() - started
    return {"warm_up_s": round(seconds, 2), "warm_up_rows": sum(memory.rows.values())}


def main() -> None:
    """Run and report."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--days", type=int, default=7)
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    declared = project.load(project.find("flight_delay", Path.cwd()))
    tables = cleaned(declared)
    figures, features = batch(declared, tables)
    result = {
        "feature_set": declared.feature_set.id,
        "features": len(declared.feature_set.names),
        "rows": features.height,
        **figures,
        **warm_up(declared, tables),
        **online(declared, tables, features, options.days),
    }
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:>25}: {value}")
    sys.exit(1 if result["different"] else 0)


if __name__ == "__main__":
    main()
