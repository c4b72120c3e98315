"""The trail of one score, put together and told: what is there, what is a bound, and what is missing.

It must not read rows; `rows.py` does.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from mlplatform.stages.deployment.release import Release
from mlplatform.stages.monitoring.lineage import Fed
from mlplatform.stages.preparation.declarations import Category, FeatureSet, Row, TargetRate, described
from mlplatform.stages.preparation.fitted import MISSING, UNKNOWN
from mlplatform.stores.served import SERVED
from mlplatform.stores.tracing import deliveries
from mlplatform.stores.tracing.found import ID, Found
from mlplatform.stores.tracing.origin import Origin, Trained
from mlplatform.stores.tracing.rows import Question

_ANSWER = ("as_of", "link", "late", "answered_at", "serving_ms", "because", "features_age_s", "class")
_KEYS = ("release", "candidate", "evaluation", "split", "row")


def unknown(id: str) -> dict[str, Any]:
    """The trail of an id that no score has."""
    nothing: dict[str, Any] = dict.fromkeys(("score", "version", "digest", "feature_set", *_KEYS))
    lists: dict[str, Any] = {name: [] for name in ("stored_in", "batches", "files", "bounds", "notes")}
    empty: dict[str, Any] = {"answer": {}, "features": {}}
    return {
        ID: id,
        "use_case": "",
        **nothing,
        **lists,
        **empty,
        "proof": {"features_again": None, "score_again": None},
        "missing": [f"no score has the id {id!r}"],
        "complete": False,
    }


def trail(
    origin: Origin, found: Found, row: Mapping[str, Any], trained: Trained | str, question: Question
) -> dict[str, Any]:
    """The trail of one score."""
    missing, notes = list[str](), list[str]()
    release = _release(origin, row, missing, notes)
    candidate = _candidate(row, trained, missing)
    evaluation = _evaluation(origin, row, release, missing)
    split = _split(origin, row, release, trained, question, missing)
    _check_row(found, trained, question, row, missing, notes)
    features = _features(trained, question, row, missing)
    batches = deliveries.batches(origin, trained, question, missing)
    files = deliveries.files(origin, batches, missing)
    return {
        ID: row[ID],
        "use_case": found.use_case,
        "stored_in": [found.table, *(["scores"] if row[ID] in found.both else [])],
        "score": row["score"],
        "answer": {name: row[name] for name in _ANSWER if name in row},
        "version": row["version"],
        "digest": row["digest"],
        "release": release,
        "candidate": candidate,
        "evaluation": evaluation,
        "split": split,
        "feature_set": row["feature_set"],
        "row": {"facts": question.facts, "day": question.day, "batch": question.batch},
        "features": features,
        "batches": batches,
        "files": files,
        "proof": {"features_again": question.same_features, "score_again": question.same_score},
        "bounds": deliveries.bounds(origin, trained, batches),
        "notes": notes,
        "missing": missing,
        "complete": not missing,
    }


def _release(
    origin: Origin, row: Mapping[str, Any], missing: list[str], notes: list[str]
) -> dict[str, Any] | None:
    releases, changes = origin.history
    version = row["version"]
    if not version:
        declared = [each for each in releases.values() if each.policy.constant == row["score"]]
        if not declared:
            missing.append("release: no release declares this constant")
            return None
        notes.append("It is the declared constant: no model was asked.")
        return _released(declared[-1], [])
    release = releases.get(version)
    if release is None or release.digest != row["digest"]:
        what = "is not in the history" if release is None else "is of another candidate"
        missing.append(f"release: version {version} {what}")
        return None
    moves = [change for change in changes if change.version == version]
    return _released(
        release,
        [
            {
                "action": each.action,
                "who": each.changed_by,
                "why": each.why,
                "when": each.changed_at.isoformat(),
            }
            for each in moves
        ],
    )


def _released(release: Release, changes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "version": release.version,
        "model": release.model,
        "as_of": release.as_of,
        "who": release.released_by,
        "why": release.why,
        "when": release.released_at.isoformat(),
        "figures": release.figures,
        "changes": changes,
    }


def _candidate(row: Mapping[str, Any], trained: Trained | str, missing: list[str]) -> dict[str, Any] | None:
    if isinstance(trained, str):
        if row["digest"]:
            missing.append(f"candidate: {trained}")
        return None
    metadata = trained.candidate.metadata
    return {
        "digest": row["digest"],
        "kind": trained.candidate.kind,
        "params": dict(trained.candidate.params),
        "rows": metadata.rows,
        "window": metadata.window,
        "split_id": metadata.split_id,
        "created_at": metadata.created_at,
        "commit": metadata.commit,
        "dirty": metadata.dirty,
        "configuration": metadata.configuration,
        "batches": list(metadata.batch_ids),
    }


def _evaluation(
    origin: Origin, row: Mapping[str, Any], release: dict[str, Any] | None, missing: list[str]
) -> dict[str, Any] | None:
    if not row["digest"]:
        return None
    model = release["model"] if release else row["model"]
    figures = origin.figures(model, row["digest"])
    if not figures.height:
        missing.append(f"evaluation: evaluation_{model} has no figures of {row['digest'][:12]}")
        return None
    as_of = figures["partition_key"].max()
    newest = figures.filter(pl.col("partition_key") == as_of)
    parts: dict[str, dict[str, Any]] = {}
    for part, figure, value in newest.select("part", "figure", "value").iter_rows():
        parts.setdefault(part, {})[figure] = value
    return {"model": model, "as_of": as_of, **parts}


def _split(
    origin: Origin,
    row: Mapping[str, Any],
    release: dict[str, Any] | None,
    trained: Trained | str,
    question: Question,
    missing: list[str],
) -> dict[str, Any] | None:
    if isinstance(trained, str) or release is None:
        return None
    rows = origin.split(release["as_of"])
    if rows is None:
        missing.append(f"split: the one as of {release['as_of']} is not kept")
        return None
    metadata = trained.candidate.metadata
    key = trained.fitted.feature_set.spine.key
    parts = origin.parts(release["as_of"], key)
    facts = {**(question.facts or {}), **{name: row[name] for name in key if name in row}}
    part = parts.get(tuple(facts.get(name) for name in key))
    return {
        "id": metadata.split_id,
        "as_of": release["as_of"],
        "strategy": metadata.configuration.get("split"),
        "same_as_stored": rows["split_id"][0] == metadata.split_id,
        "part": part,
    }


def _check_row(
    found: Found,
    trained: Trained | str,
    question: Question,
    row: Mapping[str, Any],
    missing: list[str],
    notes: list[str],
) -> None:
    """Say where a question came from that is no row of the spine's table."""
    if isinstance(trained, str) or question.day is not None:
        return
    table = trained.fitted.feature_set.spine.table
    if found.table != SERVED or row["link"] == "precomputed":
        missing.append(f"row: it is not in {table} any more")
    elif row["as_of"] is None:
        notes.append("The caller gave ready-made features: what fed them is not known here.")
    else:
        notes.append(f"No row of {table} asks this question: its facts came with the request.")


def _features(
    trained: Trained | str, question: Question, row: Mapping[str, Any], missing: list[str]
) -> dict[str, Any]:
    if isinstance(trained, str):
        return {}
    fitted, values = trained.fitted, question.values
    if row["feature_set"] != fitted.id:
        missing.append(f"features: the candidate has feature set {fitted.id}, the score {row['feature_set']}")
    if values is None or len(values) != len(fitted.names):
        missing.append(
            f"features: their values are not there{f': {question.trouble}' * bool(question.trouble)}"
        )
        return {}
    declared = {feature.name: feature for feature in fitted.feature_set.features}
    from_facts, found = _from_facts(fitted.feature_set), {}
    for name, value in zip(fitted.names, values, strict=True):
        fed = question.fed.get(name, Fed())
        said: dict[str, Any] = {"value": None if value != value else value, "is": described(declared[name])}
        if name in fitted.levels:
            said["level"] = _level(fitted.levels[name], value)
        own = {question.batch} if name in from_facts and question.batch else set()
        said |= {"rows": fed.rows + len(own), "batches": sorted(fed.batches | own)}
        if name in question.events:
            events = question.events[name]
            said["events"] = {"rows": events.rows, "batches": sorted(events.batches)}
        found[name] = said
    return found


def _from_facts(feature_set: FeatureSet) -> set[str]:
    """Features that are calculated from the row's own facts, alone or among others."""
    found = {*feature_set.spine.facts, "as_of"}
    for feature in feature_set.features:
        if isinstance(feature, Category | TargetRate) or (
            isinstance(feature, Row) and feature.expression.columns() & found
        ):
            found.add(feature.name)
    return found


def _level(levels: tuple[str, ...], code: float) -> str:
    if code == UNKNOWN:
        return "unknown"
    return "missing" if code == MISSING else levels[int(code)]
