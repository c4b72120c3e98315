"""A candidate: a fitted model with everything that is needed to score with it and to trust it, as bytes.

It must not hold code or a clock: times are given by the caller. What decides a score is under the digest
(kind, parameters, model, feature set, golden rows); the metadata is not.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import metadata as packages

import msgspec
import numpy as np

from mlplatform import plugins
from mlplatform.errors import ModelError
from mlplatform.stages.training import models
from mlplatform.stages.training.contract import MISSING, UNKNOWN, Floats, Model, Task, TrainingSet
from mlplatform.stages.training.output import Output

CLASSIFICATION = Output()
METADATA = "metadata.json"
OWN = ("candidate.json", "feature_set.json", "golden.json", METADATA)
"""Files of a candidate that are not its model's."""
_LIBRARIES = ("mlplatform", "numpy", "scipy", "polars", "scikit-learn", "lightgbm", "skops")


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows with the scores the model gave them: null in a row is a missing value (NaN).

    Scores are written so that reading gives back the same bits.
    """

    names: tuple[str, ...]
    rows: list[list[float | None]]
    scores: list[float]


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a candidate comes from. It decides no score, so the same model trained again keeps its digest."""

    rows: int
    """Training rows."""
    label_rate: float
    """Their mean label: in classification the share of label 1."""
    task: Task = "classification"
    window: tuple[str, str] | None = None
    """First and last partition key of the training rows."""
    split_id: str = ""
    batch_ids: tuple[str, ...] = ()
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    """Python and library versions."""
    timings: dict[str, float] = msgspec.field(default_factory=dict)
    """Seconds of wall time by what was done."""
    created_at: str = ""
    """UTC, ISO 8601."""
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    """Operating system, processor, number of processors."""
    commit: str = ""
    """Commit of the repository that keeps the use case; empty where there is none."""
    dirty: bool = False
    """Whether what was trained with differs from that commit."""
    configuration: dict[str, object] = msgspec.field(default_factory=dict)
    """The sections of defs.yaml that it was made from: `model` and `split`."""
    retries: int = 0
    """Attempts that failed before."""
    resumed_at: int = 0
    """Steps of the training (rounds of boosting) that an earlier process had made."""


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of candidate.json."""

    use_case: str
    kind: str
    params: dict[str, object]
    format: int = 1
    output: Output | msgspec.UnsetType = msgspec.UNSET
    """What a score is; left out for a classification, so that its candidates keep their digests."""


@dataclass(frozen=True)
class Candidate:
    """One trained model of a use case."""

    use_case: str
    kind: str
    """Name of the model file in `models/`, or a dotted path."""
    params: Mapping[str, object]
    model_files: Mapping[str, bytes]
    feature_set: bytes
    """The fitted feature set as JSON."""
    golden: Golden
    metadata: Metadata = field(compare=False)
    output: Output = CLASSIFICATION

    def deciding_files(self) -> dict[str, bytes]:
        """The files that decide a score, by name."""
        output = msgspec.UNSET if self.output == CLASSIFICATION else self.output
        described = Description(self.use_case, self.kind, dict(self.params), output=output)
        return {
            "candidate.json": msgspec.json.encode(described, order="sorted"),
            "feature_set.json": self.feature_set,
            "golden.json": msgspec.json.encode(self.golden),
            **self.model_files,
        }

    @property
    def digest(self) -> str:
        """SHA-256 of the deciding files, 64 hexadecimal digits."""
        return digest(self.deciding_files())


def of_files(files: Mapping[str, bytes]) -> Candidate:
    """The candidate that is kept in these files.

    Raises
    ------
    msgspec.DecodeError
        if they are of another format.
    KeyError
        if one is absent.
    """
    described = msgspec.json.decode(files["candidate.json"], type=Description)
    return Candidate(
        use_case=described.use_case,
        kind=described.kind,
        params=described.params,
        model_files={name: content for name, content in files.items() if name not in OWN},
        feature_set=files["feature_set.json"],
        golden=msgspec.json.decode(files["golden.json"], type=Golden),
        metadata=msgspec.json.decode(files[METADATA], type=Metadata),
        output=CLASSIFICATION if described.output is msgspec.UNSET else described.output,
    )


def sums(files: Mapping[str, bytes]) -> str:
    """One line `<sha256>  <name>` per file, sorted by name: the format `sha256sum -c` reads."""
    return "".join(f"{sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))


def digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 of the `sums` of these files."""
    return sha256(sums(files).encode()).hexdigest()


def assemble(
    use_case: str,
    kind: str,
    params: Mapping[str, object],
    model: Model,
    training: TrainingSet,
    feature_set: bytes,
    metadata: Metadata,
    output: Output = CLASSIFICATION,
) -> Candidate:
    """The candidate of a model that was fitted on `training`."""
    golden = make_golden(model, golden_rows(training))
    metadata = msgspec.structs.replace(metadata, task=training.task)
    return Candidate(use_case, kind, dict(params), model.files(), feature_set, golden, metadata, output)


def open_model(candidate: Candidate) -> Model:
    """The candidate's model, after it has replayed the golden rows.

    Raises
    ------
    ModelError
        when the files are no model of this kind or a golden row gets another score.
    """
    model: Model = plugins.find(models, candidate.kind).load(candidate.model_files)
    check_golden(model, candidate.golden)
    return model


def golden_rows(training: TrainingSet, count: int = 32) -> Floats:
    """Evenly spaced training rows, and with them one row all missing and one of unknown categories."""
    places = np.linspace(0, len(training.X) - 1, max(1, count - 2)).astype(np.intp)
    categories = list(training.category_columns)
    absent, unknown = np.full(training.X.shape[1], np.nan), training.X[places[0]].copy()
    absent[categories], unknown[categories] = MISSING, UNKNOWN
    return np.vstack([training.X[places], absent, unknown])


def make_golden(model: Model, rows: Floats) -> Golden:
    """These rows with the model's scores; ModelError for a score that is no finite number."""
    spelled = [[None if x != x else x for x in row] for row in rows.tolist()]
    scores = model.predict(rows)
    if not np.isfinite(scores).all():
        raise ModelError(
            f"got {int((~np.isfinite(scores)).sum())} scores that are no finite numbers, of {len(rows)}.",
            hint="The label may hold values too large to compute with.",
        )
    return Golden(model.names, spelled, scores.tolist())


def check_golden(model: Model, golden: Golden) -> None:
    """Score the golden rows again, in batch and one by one; ModelError unless every bit is the same."""
    if model.names != golden.names:
        raise ModelError(
            "the model's features are not those of its golden rows, or in another order.",
            hint="Train the candidate again.",
        )
    rows = [[float("nan") if x is None else x for x in row] for row in golden.rows]
    expected = np.array(golden.scores)
    score = model.row_scorer()
    ways = {
        "batch": model.predict(np.array(rows, dtype=np.float64).reshape(len(rows), len(golden.names))),
        "one by one": np.array([score(row) for row in rows]),
    }
    for way, scores in ways.items():
        different = int((scores.view(np.int64) != expected.view(np.int64)).sum())
        if different:
            raise ModelError(
                f"{different} of {len(expected)} golden rows got another score in {way} scoring.",
                hint="Model or library differs from training: install requirements.lock or train again.",
            )


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that take part in training."""
    return {"python": platform.python_version()} | {name: packages.version(name) for name in _LIBRARIES}
