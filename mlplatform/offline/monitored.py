"""What monitoring knows of a use case, read from the lake and the state: for the command and the status page.

It must not compute anything that is not there yet (the assets of monitoring do), nor change anything.
"""

from contextlib import closing
from datetime import datetime
from typing import Any

import polars as pl

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.declared import Declared
from mlplatform.offline.in_use import change_of, deployment_of
from mlplatform.offline.monitored_distributions import distributions
from mlplatform.offline.monitored_drift import drift_windows
from mlplatform.offline.monitored_slices import slices
from mlplatform.offline.observed import table_of
from mlplatform.offline.verdict_step import VERDICTS
from mlplatform.stages.deployment.release import Release
from mlplatform.stages.monitoring import by_window, serving
from mlplatform.stages.monitoring.serving import FALLBACKS
from mlplatform.stages.monitoring.verdict import LOSSES
from mlplatform.stores.alerts import AlertStore
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import KEY, Lake

FIGURES = "serving_figures"
MOST_DAYS = 90
"""Newest days that are shown one by one."""
_OF_LAKE = (
    *("versions", "days", "reasons", "calibration", "slices", "slices_left_out", "features", "scores"),
    *("drift", "verdicts"),
)


def monitored(declared: Declared, settings: Settings) -> dict[str, Any]:
    """Everything that monitoring knows, JSON-able; times are UTC in ISO 8601.

    Returns
    -------
    dict
        in_use; versions (by version: model, released, times served, fallbacks, late, serving_ms, scores,
        coverage, accuracy with intervals); days (by day and version); reasons (why earlier links did not
        answer); calibration (of the champion); slices (of the champion's answers with outcomes, the largest
        loss first) and slices_left_out (levels with too few rows); features (by version: those whose served
        values lie farthest from its training) and scores (histograms); drift (windows that have a report);
        verdicts (the newest of each aspect); rollbacks (by monitoring, with cause); alerts (open)

    Raises
    ------
    StoreError
        if a store cannot be read.
    """
    found: dict[str, Any] = {"use_case": declared.name, "title": declared.config.title, "in_use": None}
    champion: Release | None = None
    released = dict[int, str]()
    if settings.state_file_exists():
        with closing(ChampionStore(settings.state_url)) as store:
            present, changes = store.deployment(declared.name), store.changes(declared.name)
            released = {each.version: each.released_at.isoformat() for each in store.history(declared.name)}
        champion = present.champion if present else None
        found["in_use"] = deployment_of(present) if present else None
        found["rollbacks"] = [
            change_of(each)
            for each in changes
            if each.action == "rollback" and each.changed_by.startswith("monitoring")
        ]
        with closing(AlertStore(settings.state_url)) as alerts:
            found["alerts"] = [_alert(each.alert, each.since) for each in alerts.open(declared.name)]
    return {"rollbacks": [], "alerts": [], **found, **_of_lake(declared, settings, champion, released)}


def _of_lake(
    declared: Declared, settings: Settings, champion: Release | None, released: dict[int, str]
) -> dict[str, Any]:
    empty: dict[str, Any] = {name: [] for name in _OF_LAKE}
    if not settings.lake_catalog.exists():
        return empty
    with closing(Lake.from_settings(settings)) as lake:
        table, figures = table_of(declared), declared.table(FIGURES)
        if not lake.exists(table):
            return empty
        rows = lake.read(table)
        days = lake.read(figures) if lake.exists(figures) else pl.DataFrame()
        verdicts = lake.read(declared.table(VERDICTS)) if lake.exists(declared.table(VERDICTS)) else None
        kept = distributions(declared, lake) | {"drift": drift_windows(declared, lake)}
        sliced = slices(declared, lake, CandidateStore(settings.candidates), champion, rows)
    recent = days.filter(pl.col(KEY).is_in(sorted(set(days[KEY]))[-MOST_DAYS:])) if days.height else days
    return {
        "versions": _versions(declared, rows, released),
        "days": _plain(recent.rename({KEY: "day"}).sort("day", "version")) if recent.height else [],
        "reasons": _plain(serving.reasons(rows.with_columns(all=pl.lit("all")), "all").drop("all")),
        "calibration": _calibration(declared, rows, champion.version if champion else 0),
        **sliced,
        **kept,
        "verdicts": [] if verdicts is None else _newest(verdicts),
    }


def _versions(declared: Declared, rows: pl.DataFrame, released: dict[int, str]) -> list[dict[str, Any]]:
    """Of each version its figures over all days, and its accuracy with intervals."""
    if not rows.height:
        return []
    kind = declared.config.output.kind
    told = serving.figures(rows.with_columns(all=pl.lit("all")), "all").drop("all").to_dicts()
    accuracy: dict[int, dict[str, Any]] = {}
    if kind in LOSSES:
        judged = rows.filter(pl.col("link") != "shadow").with_columns(
            block=pl.col("as_of").dt.date().cast(pl.String)
        )
        for row in by_window.accuracy(judged, kind, by=["version"]).to_dicts():
            accuracy[row["version"]] = {
                name: row[name] for name in row if name not in ("version", "scored", "n")
            }
    return [
        _jsonable(each)
        | {
            "released": released.get(each["version"]),
            "accuracy": accuracy.get(each["version"], {}),
        }
        for each in told
    ]


def _calibration(declared: Declared, rows: pl.DataFrame, champion: int) -> list[dict[str, Any]]:
    if declared.config.output.kind != "probability":
        return []
    own = rows.filter(pl.col("version") == champion, ~pl.col("link").is_in([*FALLBACKS, "shadow"]))
    return _plain(by_window.calibration(own)) if own["outcome"].drop_nulls().len() else []


def _newest(verdicts: pl.DataFrame) -> list[dict[str, Any]]:
    newest = verdicts.sort("at").unique(["version", "aspect"], keep="last").sort("version", "aspect")
    return _plain(newest.drop(KEY))


def _alert(alert: Any, since: datetime) -> dict[str, Any]:
    return {
        "kind": alert.kind,
        "subject": alert.subject,
        "severity": alert.severity,
        "cause": alert.cause,
        "remedy": alert.remedy,
        "since": since.isoformat(),
    }


def _plain(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return [_jsonable(row) for row in frame.iter_rows(named=True)]


def _jsonable(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
