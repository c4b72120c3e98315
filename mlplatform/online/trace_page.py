"""Trails as pages: what was traced as text and tables, every value escaped, no script at all.

It must not trace, nor leave anything out that the JSON has a place for in its sections.
"""

from collections.abc import Iterable
from html import escape
from typing import Any

from mlplatform.online.plain_html import (
    code,
    escaped,
    facts,
    link,
    listed,
    marked,
    number,
    page,
    section,
    table,
)

_STATES = {True: "kept, its bytes are those of its name", False: "missing or changed"}


def form_page() -> str:
    """The page that asks for an id."""
    return page("Trace", "<p class=soft>From a score back to its files, or from a batch to its scores.</p>")


def score_page(trail: dict[str, Any]) -> str:
    """The page of a score's trail, as `Tracer.one` tells it."""
    state = "complete" if trail["complete"] else "not complete"
    head = (
        f"<p>{code(trail['prediction_id'])} · {link('status', trail['use_case'], trail['use_case'])} · "
        f"{marked(state, trail['complete'])}</p>"
    )
    parts = [
        head,
        section("Score", facts(_of_score(trail))),
        section("The question", facts((trail["row"]["facts"] or {"facts": "not known"}).items())),
        listed("Missing", trail["missing"], "bad"),
        section(f"Features ({len(trail['features'])})", _features(trail["features"])),
        section(f"Batches ({len(trail['batches'])})", _batches(trail["batches"])),
        section(f"Files ({len(trail['files'])})", _files(trail["files"])),
        listed("To be read with this", [*trail["bounds"], *trail["notes"]], "soft"),
    ]
    return page(f"Score {number(trail['score'])}", "".join(parts))


def batch_page(found: dict[str, Any]) -> str:
    """The page of what a batch went into, as `touched_by` tells it."""
    manifest = found["manifest"]
    names = [
        *("data_set", "partition", "status", "source", "rows", "rejected"),
        *("sha256", "received_at", "current"),
    ]
    days = found["features"]
    told: list[tuple[str, Any]] = [(name.replace("_", " "), manifest[name]) for name in names]
    told.append(("features of", f"{len(days)} days{f', {days[0]} to {days[-1]}' if days else ''}"))
    tables = [(each["table"], each["partition"] or "", f"{each['rows']:,}") for each in found["partitions"]]
    candidates = [
        (
            code(each["digest"][:12]),
            escape(str(each.get("kind", "damaged"))),
            "on its rows" if each.get("rows") else "on features it fed",
            ", ".join(map(str, each.get("versions", ()))) or "none",
        )
        for each in found["candidates"]
    ]
    parts = [
        f"<p>{code(found['batch'])} · {link('status', found['use_case'], found['use_case'])}</p>",
        section("Delivery", facts(told)),
        section("Tables", table(("table", "partition", "#rows"), (escaped(row) for row in tables))),
        section("Candidates", table(("candidate", "kind", "trained", "versions"), candidates)),
        *(_scores(name, versions) for name, versions in found["scores"].items()),
        listed("To be read with this", [*found["bounds"], *found["notes"]], "soft"),
    ]
    return page(f"Batch of {manifest['data_set']}, {manifest['partition']}", "".join(parts))


def _of_score(trail: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    answer, release, candidate = trail["answer"], trail["release"], trail["candidate"]
    yield "score", trail["score"]
    yield "stored in", ", ".join(trail["stored_in"])
    yield from ((name.replace("_", " "), value) for name, value in answer.items() if value not in (None, ""))
    yield "version", f"{trail['version']} ({trail['digest'] or 'no model'})"
    if release:
        yield "released", f"{release['when']} by {release['who']}: {release['why']}"
        yield from (
            ("then", f"{c['action']}, {c['when']} by {c['who']}: {c['why']}") for c in release["changes"]
        )
    if candidate:
        window = " to ".join(candidate["window"] or ())
        yield "candidate", f"{candidate['kind']}, {candidate['rows']:,} rows of {window}"
        commit = f"{candidate['commit'][:12] or 'none'}{', changed' if candidate['dirty'] else ''}"
        yield "made", f"{candidate['created_at']}, commit {commit}"
    yield from _judged(trail)
    yield "feature set", trail["feature_set"]
    words = {True: "the same to the bit", False: "DIFFERENT", None: "not computed"}
    yield "features again", words[trail["proof"]["features_again"]]
    yield "score again", words[trail["proof"]["score_again"]]
    yield "row", f"day {trail['row']['day']}, batch {trail['row']['batch']}"


def _judged(trail: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    evaluation, split = trail["evaluation"], trail["split"]
    if evaluation:
        # Those of slices are named figure[slice].
        figures = {name: value for name, value in evaluation.get("test", {}).items() if "[" not in name}
        yield "test figures", ", ".join(f"{name} {number(value)}" for name, value in figures.items())
    if split:
        part = split["part"] or "in no part: it was asked later, or has no label"
        yield "split", f"as of {split['as_of']}, {split['id']}; the row: {part}"


def _features(features: dict[str, Any]) -> str:
    rows = (
        (
            escape(name),
            escape(str(said.get("level", number(said["value"])))),
            f"{said['rows']:,}",
            f"{len(said['batches']):,}",
            escape(str(said["is"])),
        )
        for name, said in features.items()
    )
    return table(("feature", "#value", "#rows", "#batches", "~what it is"), rows)


def _batches(batches: list[dict[str, Any]]) -> str:
    rows = (
        (
            _batch(each),
            *(escape(str(each.get(name, ""))) for name in ("data_set", "partition")),
            _feeds(each),
            escape(str(each.get("source", each.get("note", "")))),
        )
        for each in batches
    )
    return table(("batch", "data set", "partition", "feeds", "~source"), rows)


def _batch(batch: dict[str, Any]) -> str:
    """Its id, which leads to what it went into where it was a delivery."""
    id = batch["batch_id"]
    return link("trace/batch", id, id) if "data_set" in batch else code(id)


def _feeds(batch: dict[str, Any]) -> str:
    count = batch["features"]
    said = ["the row"] * bool(batch["row"]) + [f"{count} feature{'' if count == 1 else 's'}"] * bool(count)
    return ", ".join(said) or ("joined when cleaned" if batch.get("joined") else "")


def _files(files: list[dict[str, Any]]) -> str:
    rows = (
        (
            code(each["sha256"]),
            f"{each['bytes']:,}" if "bytes" in each else "",
            marked(_STATES[each["intact"]], each["intact"]),
        )
        for each in files
    )
    return table(("SHA-256", "#bytes", "state"), rows)


def _scores(name: str, versions: dict[str, Any]) -> str:
    rows = (
        (
            escape(version),
            f"{said['scores']:,}",
            f"{said['own_rows']:,}",
            " ".join(link("trace", id, f"{id[:8]}…") for id in said["first"]),
        )
        for version, said in versions.items()
    )
    return section(f"Scores in {name}", table(("version", "#scores", "#of its own rows", "~the first"), rows))
