"""Contract tests of a package: what every package holds to before it may answer anybody.

They run on the package as it was read back, with the same calls that batch and online scoring make. It must
not read a clock (it is given one) and must not decide what a failed test means.
"""

import io
import math
import zipfile
from collections.abc import Callable, Sequence
from hashlib import sha256
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from mlplatform import plugins
from mlplatform.errors import MlplatformError, ModelError
from mlplatform.stages.deployment import mlmodel
from mlplatform.stages.deployment.package import ADDED, Package
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training import models
from mlplatform.stages.training.contract import Floats, Model
from mlplatform.stages.training.output import Kind

Clock = Callable[[], float]
"""Seconds from any moment on, as `time.perf_counter`."""
Example = Callable[[FittedFeatureSet], Sequence[Sequence[Any]]]
"""The feature vectors of the declared example, one per row; none if there is no example or no data yet."""
_ROUNDS = 5
_STRANGE = "\x00a level that no training row has"


class Finding(NamedTuple):
    """What a test found: whether it passed, a sentence, and whether a package that fails it is refused."""

    name: str
    passed: bool
    said: str
    blocks: bool = True


TESTS = {
    "hashes": "Every file of the package is the one that was stored.",
    "opens": "The model opens from its files, and no file could run code.",
    "golden_rows": "Batch scoring gives the golden rows the scores they were stored with, to the bit.",
    "row_by_row": "Scoring row by row gives the golden rows the same bits as in batch.",
    "features": "Model, feature set, golden rows and MLmodel have the same features in the same order.",
    "missing_and_unknown": "A row without any value, and one of unknown categories, get a score.",
    "outputs": "Every score is finite and of its kind: a probability from 0 to 1, the number of a cluster.",
    "example": "The declared example is scored through the online features.",
    "latency": "A row is scored within the deadline of the policy.",
}
"""The tests in their order, each with what it holds a package to."""
WARNS = ("latency",)
"""Tests that depend on the machine: they warn."""


def examined(package: Package, example: Example, clock: Clock) -> tuple[Finding, ...]:
    """Every test of `TESTS`; after a package that does not open the others count as failed."""
    first = [_finding("hashes", lambda: _hashes(package)), _finding("opens", lambda: _opens(package))]
    if not all(finding.passed for finding in first):
        left = [name for name in TESTS if name not in ("hashes", "opens")]
        return (*first, *(Finding(name, False, "not tried", name not in WARNS) for name in left))
    seen = _Seen.of(package)
    return (
        *first,
        _finding("golden_rows", lambda: _golden(seen)),
        _finding("row_by_row", lambda: _row_by_row(seen)),
        _finding("features", lambda: _features(package, seen)),
        _finding("missing_and_unknown", lambda: _missing(seen)),
        _finding("outputs", lambda: _outputs(package, seen)),
        _finding("example", lambda: _example(package, seen, example)),
        _finding("latency", lambda: _latency(package, seen, clock)),
    )


def faults(findings: Sequence[Finding]) -> str:
    """Why a package is refused, as a sentence; empty if it is not."""
    return "; ".join(f"{each.name}: {each.said}" for each in findings if each.blocks and not each.passed)


class _Seen(NamedTuple):
    """An opened model with its golden rows."""

    model: Model
    fitted: FittedFeatureSet
    rows: list[list[float]]
    expected: Floats

    @classmethod
    def of(cls, package: Package) -> "_Seen":
        candidate = package.candidate
        rows = [[math.nan if x is None else x for x in row] for row in candidate.golden.rows]
        return cls(
            plugins.find(models, candidate.kind).load(candidate.model_files),
            FittedFeatureSet.from_json(candidate.feature_set),
            rows,
            np.array(candidate.golden.scores),
        )

    @property
    def matrix(self) -> Floats:
        return np.array(self.rows, dtype=np.float64).reshape(len(self.rows), -1)


def _finding(name: str, test: Callable[[], str]) -> Finding:
    """A test that returns passed with what it says; one that raises failed."""
    try:
        return Finding(name, True, test(), name not in WARNS)
    except (
        MlplatformError,
        zipfile.BadZipFile,
        ValueError,
        TypeError,
        ArithmeticError,
        LookupError,
    ) as error:
        return Finding(name, False, str(error) or type(error).__name__, name not in WARNS)


def _hashes(package: Package) -> str:
    about = package.about
    found = {name: sha256(package.files[name]).hexdigest() for name in about.files}
    wrong = sorted(name for name in found if found[name] != about.files[name])
    strange = sorted(set(package.files) - {*about.files, *ADDED})
    if wrong or strange:
        raise ModelError(f"{', '.join(wrong + strange)} is not what release.json lists")
    if package.candidate.digest != about.digest:
        raise ModelError(
            f"the files are of candidate {package.candidate.digest[:12]}, not {about.digest[:12]}"
        )
    return f"{len(package.files)} files, candidate {about.digest[:12]}"


def _opens(package: Package) -> str:
    running = sorted(name for name, content in package.files.items() if _could_run(content))
    if running:
        raise ModelError(f"{', '.join(running)} holds a pickle, which runs code when it is read")
    plugins.find(models, package.candidate.kind).load(package.candidate.model_files)
    return f"a model of kind {package.candidate.kind}"


def _could_run(content: bytes) -> bool:
    """Whether bytes are a pickle, an array of objects (which holds one), or an archive with such a file."""
    if content[:1] == b"\x80" and content[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return True
    if content[:6] == b"\x93NUMPY":
        return b"'|O'" in content[:256]
    if content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(_could_run(archive.read(name)) for name in archive.namelist())
    return False


def _golden(seen: _Seen) -> str:
    if not seen.rows:
        raise ModelError("there are no golden rows")
    return _same_bits(seen.model.predict(seen.matrix), seen.expected, "another score than stored")


def _row_by_row(seen: _Seen) -> str:
    score = seen.model.row_scorer()
    alone = np.array([score(row) for row in seen.rows])
    return _same_bits(alone, seen.model.predict(seen.matrix), "another score alone than in batch")


def _same_bits(got: Floats, expected: Floats, what: str) -> str:
    different = int((got.view(np.int64) != expected.view(np.int64)).sum())
    if different:
        raise ModelError(f"{different} of {len(expected)} golden rows get {what}")
    return f"{len(expected)} rows"


def _features(package: Package, seen: _Seen) -> str:
    names, id = seen.fitted.names, seen.fitted.id
    told = {
        "the model": tuple(seen.model.names),
        "the golden rows": tuple(package.candidate.golden.names),
        mlmodel.NAME: tuple(mlmodel.inputs(package.files[mlmodel.NAME])),
    }
    wrong = [who for who, theirs in told.items() if theirs != names]
    if wrong:
        raise ModelError(f"{', '.join(wrong)} has other features than {id}, or in another order")
    if id != package.about.feature_set_id:
        raise ModelError(f"the feature set is {id}, release.json says {package.about.feature_set_id}")
    return f"{len(names)} features of {id}"


def _missing(seen: _Seen) -> str:
    scores = [seen.model.row_scorer()(row) for row in _hard(seen.fitted)]
    if not all(map(math.isfinite, scores)):
        raise ModelError(f"the scores are {scores}")
    return f"scores {', '.join(f'{score:.4g}' for score in scores)}"


def _hard(fitted: FittedFeatureSet) -> list[list[float]]:
    """A row without any value, and one whose texts nobody has seen."""
    encode = fitted.encoder()
    texts = {*fitted.levels, *fitted.rates}
    return [
        encode([None] * len(fitted.names)),
        encode([_STRANGE if name in texts else None for name in fitted.names]),
    ]


def _outputs(package: Package, seen: _Seen) -> str:
    rows = np.vstack([seen.matrix, np.array(_hard(seen.fitted))])
    scores = seen.model.predict(rows)
    return _in_range(scores.tolist(), package.candidate.output.kind)


def _in_range(scores: Sequence[float], kind: Kind) -> str:
    if not all(map(math.isfinite, scores)):
        raise ModelError("a score is no finite number")
    if kind == "probability" and not all(0.0 <= score <= 1.0 for score in scores):
        raise ModelError(f"a probability is {min(scores)} or {max(scores)}")
    if kind == "cluster" and not all(score >= 0.0 and score == int(score) for score in scores):
        raise ModelError("the number of a cluster is no whole number from 0")
    return f"{min(scores):.4g} to {max(scores):.4g}"


def _example(package: Package, seen: _Seen, example: Example) -> str:
    vectors = example(seen.fitted)
    if not vectors:
        return "none is declared, or there is no data for it yet"
    score, encode = seen.model.row_scorer(), seen.fitted.encoder()
    return _in_range([score(encode(vector)) for vector in vectors], package.candidate.output.kind)


def _latency(package: Package, seen: _Seen, clock: Clock) -> str:
    score, taken = seen.model.row_scorer(), []
    for row in seen.rows * _ROUNDS:
        began = clock()
        score(row)
        taken.append(clock() - began)
    middle, deadline = 1000.0 * median(taken), package.about.policy.deadline_ms
    said = f"{middle:.3f} ms a row (median of {len(taken)}); the deadline is {deadline:g} ms"
    if middle > deadline:
        raise ModelError(said)
    return said
