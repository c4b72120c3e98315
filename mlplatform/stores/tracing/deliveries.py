"""The batches behind a score, and the original files of these: named, found, and compared with their hashes.

It must not look for rows; `rows.py` does.
"""

from collections.abc import Iterator
from typing import Any

from mlplatform.stages.monitoring.lineage import BATCH
from mlplatform.stages.preparation.declarations import TargetRate
from mlplatform.stores.tracing.origin import Origin, Trained
from mlplatform.stores.tracing.rows import Question

_TOLD = ("data_set", "partition", "status", "source", "sha256", "rows", "current")
_HEX_DIGITS = 24
"""Length of the id of a batch; other names are given by the code of a use case."""


def batches(
    origin: Origin, trained: Trained | str, question: Question, missing: list[str]
) -> list[dict[str, Any]]:
    """The batch of the row, those that fed the features, and those that cleaning joined with them.

    `row`: the question's own row is of it; `features`: how many features it fed; `joined`: it was read when
    another was cleaned.
    """
    if isinstance(trained, str):
        return []
    feeds: dict[str, int] = {}
    for name in trained.fitted.names:
        for fed in (question.fed.get(name), question.events.get(name)):
            for batch in fed.batches if fed else ():
                feeds[batch] = feeds.get(batch, 0) + 1
    if question.trouble:
        missing.append(f"batches: what fed the features cannot be read: {question.trouble}")
    if question.day is not None and question.batch is None:
        missing.append(f"batches: the row of {question.day} names none")
    own = [] if question.batch is None else [question.batch]
    ids = dict.fromkeys([*own, *sorted(feeds)])
    found = [_batch(origin, id, id == question.batch, feeds.get(id, 0), missing) for id in ids]
    joined = dict.fromkeys(id for id in _joined(origin, found) if id not in ids)
    return found + [_batch(origin, id, False, 0, missing) | {"joined": True} for id in joined]


def files(origin: Origin, batches: list[dict[str, Any]], missing: list[str]) -> list[dict[str, Any]]:
    """The kept files of batches: whether each is there, and still has the bytes that its name is made of."""
    found: dict[str, list[str]] = {}
    for batch in batches:
        for sha in batch["objects"]:
            found.setdefault(sha, []).append(batch["batch_id"])
    told = [origin.file(sha) | {"batches": ids} for sha, ids in found.items()]
    for file in told:
        if not file["kept"]:
            missing.append(f"files: {file['sha256']} is not kept any more")
        elif not file["intact"]:
            missing.append(f"files: {file['sha256']} has other bytes now")
    return told


def bounds(origin: Origin, trained: Trained | str, batches: list[dict[str, Any]]) -> list[str]:
    """What is not exact, in sentences."""
    if isinstance(trained, str):
        return []
    said, feature_set = list[str](), trained.fitted.feature_set
    tables = [feature_set.spine.table, *(s.table for s in feature_set.sources), *feature_set.statics]
    if unmarked := [name for name in dict.fromkeys(tables) if BATCH not in origin.columns(name)]:
        names = ", ".join(unmarked)
        said.append(f"Rows of {names} carry no batch id: named is the batch now served of their partition.")
    if any(isinstance(each, TargetRate) for each in feature_set.features):
        said.append("Target rates were fitted on the training rows: their batches are the candidate's.")
    if any(each.get("joined") for each in batches):
        said.append("Batches marked `joined` were read as a whole when the others were cleaned.")
    return said


def _batch(origin: Origin, id: str, row: bool, features: int, missing: list[str]) -> dict[str, Any]:
    manifest = origin.manifests.get(id)
    said: dict[str, Any] = {"batch_id": id, "row": row, "features": features}
    if manifest is None:
        if len(id) == _HEX_DIGITS:
            missing.append(f"batches: {id} has no manifest")
        return said | {"objects": [], "note": "no delivery: the code of the use case made these rows"}
    told = {name: getattr(manifest, name) for name in _TOLD}
    return said | told | {"received_at": manifest.received_at.isoformat(), "objects": list(manifest.objects)}


def _joined(origin: Origin, found: list[dict[str, Any]]) -> Iterator[str]:
    """Batches of data sets that cleaning reads beside the one that is cleaned, as they are served now."""
    for each in found if origin.reads else ():
        for other in origin.reads.get(each.get("data_set", ""), ()):
            if origin.whole(other):
                yield from (id for (name, _), id in origin.current.items() if name == other)
            elif id := origin.current.get((other, each["partition"])):
                yield id
