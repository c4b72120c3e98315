"""Trains a stored candidate again from the lake and compares it with what is stored, file by file.

The same rows, parameters and libraries have to give the same bytes. It must not store a candidate, nor
release one; it must not import Dagster.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from mlplatform import plugins
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import NotFound
from mlplatform.offline import rows
from mlplatform.offline.declared import Declared
from mlplatform.offline.distributed.train import ParallelEstimator
from mlplatform.stages.preparation.fitted import FittedFeatureSet, fit
from mlplatform.stages.training import checkpoints, models
from mlplatform.stages.training.candidate import Candidate, assemble, versions
from mlplatform.stages.training.contract import Estimator
from mlplatform.stores.lake import Lake


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a second training: its digest, and why it is another one (empty: it is the same)."""

    digest: str
    again: str
    files: tuple[str, ...] = ()
    """Names of the files that differ."""
    why: str = ""

    @property
    def same(self) -> bool:
        """Whether the second training gave the same bytes."""
        return not self.why


def train_again(
    declared: Declared, settings: Settings, lake: Lake, candidate: Candidate, as_of: str
) -> Again:
    """Train a candidate again as of its date, with its own parameters and features.

    Raises
    ------
    MlplatformError
        if it cannot be trained at all.
    """
    told, stored = candidate.metadata, candidate.digest
    try:
        training = rows.of_part(declared, lake, as_of, "train")
    except NotFound as error:
        return Again(digest=stored, again="", why=f"its training rows are gone: {error}")
    split = training["split_id"][0]
    if told.split_id and split != told.split_id:
        why = f"its rows are others now: split {told.split_id[:12]} became {split[:12]}"
        return Again(digest=stored, again="", why=why)
    before = FittedFeatureSet.from_json(candidate.feature_set)
    fitted = fit(before.feature_set, training, training["label"])
    data = rows.training_set(declared, fitted, training)
    model = checkpoints.fit(_estimator(candidate, settings), data, checkpoints.Unkept())
    made = assemble(
        candidate.use_case,
        candidate.kind,
        candidate.params,
        model,
        data,
        fitted.to_json(),
        told,
        candidate.output,
    )
    files = _differing(candidate.deciding_files(), made.deciding_files())
    return Again(digest=stored, again=made.digest, files=files, why=_why(candidate, files))


def _estimator(candidate: Candidate, settings: Settings) -> Estimator:
    told: Any = candidate.metadata.configuration.get("model") or {}
    if told.get("parallel"):
        parallel, workers = told["parallel"], int(told.get("workers", 2))
        return ParallelEstimator(candidate.kind, candidate.params, parallel, workers, settings)
    made: Estimator = plugins.find(models, candidate.kind).build(**candidate.params)
    return made


def _differing(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> tuple[str, ...]:
    return tuple(sorted(name for name in {*one, *other} if one.get(name) != other.get(name)))


def _why(candidate: Candidate, files: tuple[str, ...]) -> str:
    """Why a second training gives other files; libraries of another version are the usual reason."""
    if not files:
        return ""
    now, then = versions(), candidate.metadata.versions
    changed = [
        f"{name} {then[name]} → {now[name]}" for name in now if name in then and now[name] != then[name]
    ]
    libraries = f"; since then: {', '.join(changed)}" if changed else "; the libraries are the same"
    return f"{', '.join(files)} differ{'s' if len(files) == 1 else ''}{libraries}"
