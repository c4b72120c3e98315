"""From a batch forward: the partitions it is in, the candidates trained on it, and the scores it touched.

A score is touched if its question's row is of the batch, or a window of one of its features holds a row of
it. It must not say what would have come out without the batch.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

import msgspec
import polars as pl

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError, NotFound
from mlplatform.stages.monitoring.lineage import BATCH, Lineage
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stores.batches import BATCHES, Manifest
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import KEY, Lake
from mlplatform.stores.scores_by_id import SCORES
from mlplatform.stores.served import SERVED
from mlplatform.stores.stored_features import DECLARATIONS
from mlplatform.stores.tracing.delivered import Delivered, delivered
from mlplatform.stores.tracing.found import ID, tables
from mlplatform.stores.tracing.origin import Origin, Trained
from mlplatform.stores.tracing.reading import TrailLake
from mlplatform.stores.tracing.rows import asked_online

MOST = 20
"""Ids that are named of each version."""


def touched_by(settings: Settings, batch_id: str) -> dict[str, Any]:
    """What a batch went into.

    Returns
    -------
    batch, use_case, manifest, partitions (of its tables), features (days whose features it fed), candidates
    (trained on its rows), scores (by table and version: how many, how many of its own rows, the first ids),
    bounds and notes (sentences).

    Raises
    ------
    NotFound
        if no use case has such a batch.
    StoreError
        if a store cannot be read.
    """
    with closing(TrailLake(settings.lake_catalog, settings.lake_data)) as lake:
        for use_case in _with_batches(lake):
            origin = Origin(use_case, lake, settings)
            manifest = origin.manifests.get(batch_id)
            if manifest is not None:
                return _told(origin, manifest)
    raise NotFound(f"there is no batch {batch_id!r}.", hint="`mlplatform batches` lists them.")


def _told(origin: Origin, manifest: Manifest) -> dict[str, Any]:
    streamed = manifest.data_set in origin.streams  # events reach what is asked online, and no cleaned table
    batch_scores = {} if streamed else _batch_scores(origin, manifest)
    return {
        "batch": manifest.batch_id,
        "use_case": origin.use_case,
        "manifest": msgspec.to_builtins(manifest),
        "partitions": _partitions(origin, manifest),
        "features": [] if streamed else _features(origin, manifest),
        "candidates": [] if streamed else list(_candidates(origin, manifest)),
        "scores": {**batch_scores, **_served(origin, manifest)},
        "bounds": [
            "A feature of the latest rows of a window counts as fed by rows that later ones displaced.",
            "Candidates without `rows` were trained on no row of it, but on features that it fed.",
        ],
        "notes": _notes(manifest),
    }


def _notes(manifest: Manifest) -> list[str]:
    if manifest.status == "refused":
        return [f"It was refused, and went into nothing: {manifest.reason}"]
    if not manifest.current:
        return ["A later batch took its place: only candidates still tell of it; scores are those of now."]
    return []


def _with_batches(lake: Lake) -> list[str]:
    query = "SELECT DISTINCT schema_name FROM duckdb_tables() WHERE table_name = ?"
    return sorted(lake.sql(query, [BATCHES])["schema_name"].to_list())


def _partitions(origin: Origin, manifest: Manifest) -> list[dict[str, Any]]:
    """Rows of the batch in the raw and the cleaned table."""
    found = []
    for name in (f"raw_{manifest.data_set}", manifest.data_set):
        if BATCH in origin.columns(name):
            day = KEY if KEY in origin.columns(name) else "NULL"
            rows = origin.lake.sql(
                f'SELECT {day} AS day, count(*) AS n FROM "{origin.use_case}"."{name}" WHERE {BATCH} = ? '
                "GROUP BY 1 ORDER BY 1",
                [manifest.batch_id],
            )
            found += [{"table": name, "partition": day, "rows": n} for day, n in rows.iter_rows()]
    return found


def _features(origin: Origin, manifest: Manifest) -> list[str]:
    """Days of stored features that rows of the batch fed, by the declaration that is noted of them."""
    if not origin.columns(DECLARATIONS):
        return []
    noted = origin.lake.read(origin.table(DECLARATIONS))
    days = set[str]()
    for (text,), of_set in noted.group_by("declaration"):
        try:
            feature_set = FeatureSet.from_json(str(text).encode())
        except ConfigurationError:  # of another version, whose windows this one does not know
            continue
        rows = _touched_rows(origin, feature_set, delivered(origin, feature_set, manifest))
        days |= set(rows[KEY].to_list()) & set(of_set[KEY].to_list())
    return sorted(days)


def _candidates(origin: Origin, manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Candidates trained on rows of the batch (`rows`), or on features that it fed."""
    releases = origin.history[0].values()
    for digest in CandidateStore(origin.settings.candidates).list(origin.use_case):
        trained = origin.trained(digest)
        if isinstance(trained, str):
            yield {"digest": digest, "trouble": trained}
            continue
        rows = manifest.batch_id in trained.candidate.metadata.batch_ids
        if rows or _within(origin, trained, manifest):
            yield {
                "digest": digest,
                "kind": trained.candidate.kind,
                "rows": rows,
                "window": trained.candidate.metadata.window,
                "versions": [release.version for release in releases if release.digest == digest],
            }


def _within(origin: Origin, trained: Trained, manifest: Manifest) -> bool:
    """Whether questions of the candidate's training days have features that rows of the batch fed."""
    window, feature_set = trained.candidate.metadata.window, trained.fitted.feature_set
    if window is None:
        return False
    first, last = map(pl.lit, window)
    rows = _touched_rows(origin, feature_set, delivered(origin, feature_set, manifest))
    return bool(rows.filter(pl.col(KEY).is_between(first, last)).height)


def _batch_scores(origin: Origin, manifest: Manifest) -> dict[str, Any]:
    if (origin.use_case, SCORES) not in tables(origin.lake):
        return {}
    counted = _Counted()
    for trained, versions in _scored_by(origin, SCORES):
        feature_set = trained.fitted.feature_set
        rows = _touched_rows(origin, feature_set, delivered(origin, feature_set, manifest))
        if rows.height:
            key = [*feature_set.spine.key, KEY]
            own = [*dict.fromkeys([*key, ID, "version"])]
            days = rows[KEY].unique().to_list()
            scores = origin.lake.read(origin.table(SCORES), columns=own, partitions=days)
            scores = scores.filter(pl.col("version").is_in(versions))
            counted.add(scores.join(rows.select(*key, "own").unique(key), on=key, how="inner"))
    return {SCORES: counted.told()}


def _served(origin: Origin, manifest: Manifest) -> dict[str, Any]:
    if (origin.use_case, SERVED) not in tables(origin.lake):
        return {}
    counted = _Counted()
    for trained, versions in _scored_by(origin, SERVED):
        feature_set = trained.fitted.feature_set
        given = delivered(origin, feature_set, manifest)
        bounds = given.moments(feature_set)
        if bounds is None:
            continue
        rows = origin.lake.read(origin.table(SERVED), moments={"as_of": bounds})
        rows = rows.filter(pl.col("version").is_in(versions)).with_row_index("_at")
        facts = asked_online(origin, feature_set, rows)
        own = (facts["_batch"] == manifest.batch_id).fill_null(False)
        hit = Lineage(feature_set, facts, given.sources, given.statics).touched() | own
        counted.add(rows.select(ID, "version").with_columns(own=own).filter(hit))
    return {SERVED: counted.told()}


def _scored_by(origin: Origin, table: str) -> Iterator[tuple[Trained, list[int]]]:
    """Candidates that gave scores of a table, with their versions."""
    query = f'SELECT DISTINCT digest, version FROM "{origin.use_case}"."{table}" ORDER BY 1, 2'
    by_digest: dict[str, list[int]] = {}
    for digest, version in origin.lake.sql(query).iter_rows():
        by_digest.setdefault(digest, []).append(version)
    for digest, versions in by_digest.items():
        trained = origin.trained(digest) if digest else ""
        if isinstance(trained, Trained):
            yield trained, versions


def _touched_rows(origin: Origin, feature_set: FeatureSet, given: Delivered) -> pl.DataFrame:
    """Rows of the spine that the batch touched: key, day, and whether they are its own."""
    return origin.once(("touched", feature_set.to_json()), lambda: _look(origin, feature_set, given))


def _look(origin: Origin, feature_set: FeatureSet, given: Delivered) -> pl.DataFrame:
    spine = feature_set.spine
    columns = list(dict.fromkeys([*spine.key, *spine.facts, KEY]))
    marked = BATCH in origin.columns(spine.table)
    rows = origin.lake.read(origin.table(spine.table), columns=[*columns, *([BATCH] if marked else [])])
    rows = rows.with_columns(as_of=spine.as_of.polars())
    day = pl.col(KEY) == given.partition if given.data_set == spine.table else pl.lit(False)
    rows = rows.with_columns(own=(pl.col(BATCH) == given.batch_id).fill_null(False) if marked else day)
    bounds = given.moments(feature_set)
    within = pl.lit(False) if bounds is None else _between(bounds)
    rows = rows.filter(pl.col("own") | within)
    hit = Lineage(feature_set, rows, given.sources, given.statics).touched()
    return rows.select(*dict.fromkeys([*spine.key, KEY]), "own").filter(rows["own"] | hit)


def _between(bounds: tuple[datetime | None, datetime | None]) -> pl.Expr:
    begin, end = bounds
    found = pl.lit(True)
    found = found & (pl.col("as_of") >= begin) if begin is not None else found
    return found & (pl.col("as_of") <= end) if end is not None else found


class _Counted:
    """Scores by version."""

    def __init__(self) -> None:
        self._all, self._own, self._first = Counter[int](), Counter[int](), dict[int, list[str]]()

    def add(self, rows: pl.DataFrame) -> None:
        """Rows with prediction_id, version and own."""
        for id, version, own in rows.select(ID, "version", "own").sort(ID).unique(ID).sort(ID).iter_rows():
            self._all[version] += 1
            self._own[version] += own
            if len(self._first.setdefault(version, [])) < MOST:
                self._first[version].append(id)

    def told(self) -> dict[str, Any]:
        """Per version how many, how many are of the batch's own rows, and the first ids."""
        return {
            str(version): {"scores": n, "own_rows": self._own[version], "first": self._first[version]}
            for version, n in sorted(self._all.items())
        }
