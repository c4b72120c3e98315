"""The candidate store: what it gives back, what it refuses, what a crash leaves."""

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlplatform.errors import NotFound, StoreError
from mlplatform.stages.training.candidate import Candidate, Metadata, assemble, open_model
from mlplatform.stages.training.contract import TrainingSet
from mlplatform.stages.training.models import lightgbm
from mlplatform.stores.candidates import CandidateStore


@pytest.fixture(scope="module")
def candidate() -> Candidate:
    source = np.random.default_rng(0)
    X = source.normal(size=(500, 3))
    X[::5, 1] = np.nan
    training = TrainingSet(X, (X[:, 0] > 0).astype(np.float64), ("a", "b", "c"))
    params = {"num_iterations": 3}
    model = lightgbm.build(**params).fit(training)
    metadata = Metadata(rows=500, label_rate=0.5, window=("2013-01-01", "2013-09-30"), timings={"fit": 1.5})
    return assemble("delays", "lightgbm", params, model, training, b'{"names":["a","b","c"]}', metadata)


@pytest.fixture
def store(tmp_path: Path) -> CandidateStore:
    return CandidateStore(tmp_path / "candidates")


def folder(tmp_path: Path, candidate: Candidate) -> Path:
    return tmp_path / "candidates" / "delays" / candidate.digest


def contents(of: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in of.iterdir()}


def test_a_candidate_comes_back_as_it_was(store: CandidateStore, candidate: Candidate) -> None:
    digest = store.put(candidate)
    back = store.get("delays", digest)
    assert digest == candidate.digest == back.digest
    assert back == candidate
    assert back.metadata == candidate.metadata
    assert open_model(back).files() == dict(candidate.model_files)


def test_what_is_stored_already_stays(store: CandidateStore, candidate: Candidate, tmp_path: Path) -> None:
    store.put(candidate)
    before = {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder(tmp_path, candidate).iterdir()
    }
    later = replace(candidate, metadata=Metadata(rows=1, label_rate=0.1))
    assert store.put(later) == candidate.digest
    after = {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder(tmp_path, candidate).iterdir()
    }
    assert after == before


def test_the_list_is_of_one_use_case(store: CandidateStore, candidate: Candidate) -> None:
    assert store.list("delays") == []
    other = replace(candidate, params={"num_iterations": 4})
    elsewhere = replace(candidate, use_case="routes")
    digests = sorted(store.put(each) for each in (candidate, other))
    store.put(elsewhere)
    assert store.list("delays") == digests
    assert store.list("routes") == [elsewhere.digest]


def test_every_flipped_bit_is_refused(store: CandidateStore, candidate: Candidate, tmp_path: Path) -> None:
    digest = store.put(candidate)
    source = random.Random(0)
    files = sorted(folder(tmp_path, candidate).iterdir())
    for attempt in range(200):
        path = files[attempt % len(files)]
        content = path.read_bytes()
        damaged = bytearray(content)
        damaged[source.randrange(len(damaged))] ^= 1 << source.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match="damaged"):
            store.get("delays", digest)
        with pytest.raises(StoreError, match="damaged"):
            store.put(candidate)
        path.write_bytes(content)
    assert store.get("delays", digest) == candidate


def test_a_file_that_is_cut_or_gone_is_refused(
    store: CandidateStore, candidate: Candidate, tmp_path: Path
) -> None:
    digest = store.put(candidate)
    for path in sorted(folder(tmp_path, candidate).iterdir()):
        content = path.read_bytes()
        for change in (content[:-1], content[: len(content) // 2], b"", content + b"\n", None):
            path.unlink() if change is None else path.write_bytes(change)
            with pytest.raises(StoreError, match="damaged"):
                store.get("delays", digest)
            path.write_bytes(content)


def test_a_folder_under_another_name_is_refused(
    store: CandidateStore, candidate: Candidate, tmp_path: Path
) -> None:
    store.put(candidate)
    folder(tmp_path, candidate).rename(folder(tmp_path, candidate).with_name("0" * 64))
    with pytest.raises(StoreError, match="damaged"):
        store.get("delays", "0" * 64)


def test_a_candidate_of_another_use_case_is_refused(
    store: CandidateStore, candidate: Candidate, tmp_path: Path
) -> None:
    store.put(candidate)
    (tmp_path / "candidates" / "delays").rename(tmp_path / "candidates" / "routes")
    with pytest.raises(StoreError, match="belongs to 'delays'"):
        store.get("routes", candidate.digest)


def test_one_that_is_not_there_is_not_found(store: CandidateStore) -> None:
    with pytest.raises(NotFound) as caught:
        store.get("delays", "a" * 64)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("use_case", "digest"),
    [
        ("..", "a" * 64),
        ("../delays", "a" * 64),
        ("/tmp", "a" * 64),
        ("", "a" * 64),
        ("Delays", "a" * 64),
        ("delays\n", "a" * 64),
        ("delays", ".." + "a" * 62),
        ("delays", "../" + "a" * 64),
        ("delays", "A" * 64),
        ("delays", "a" * 64 + "\n"),
        ("delays", "a" * 63),
        ("delays", ""),
    ],
)
def test_ids_that_could_leave_the_root_are_refused(store: CandidateStore, use_case: str, digest: str) -> None:
    with pytest.raises(StoreError, match="got"):
        store.get(use_case, digest)


@pytest.mark.parametrize(
    "name", ["../x", "a/b", ".hidden", "", "golden.json", "SHA256SUMS", "metadata.json", "x\n"]
)
def test_model_files_with_such_names_are_refused(
    store: CandidateStore, candidate: Candidate, tmp_path: Path, name: str
) -> None:
    with pytest.raises(StoreError):
        store.put(replace(candidate, model_files={name: b"x"}))
    assert not (tmp_path / "candidates").exists()


def test_the_remains_of_a_crash_are_not_candidates(
    store: CandidateStore, candidate: Candidate, tmp_path: Path
) -> None:
    remains = folder(tmp_path, candidate).with_name(f".{candidate.digest}-12345678")
    remains.mkdir(parents=True)
    (remains / "golden.json").write_bytes(b"{")
    assert store.list("delays") == []
    digest = store.put(candidate)
    assert store.list("delays") == [digest]


def test_nothing_is_left_beside_what_was_stored(
    store: CandidateStore, candidate: Candidate, tmp_path: Path
) -> None:
    digest = store.put(candidate)
    assert [path.name for path in (tmp_path / "candidates" / "delays").iterdir()] == [digest]


def test_a_root_that_cannot_be_written_is_an_error_with_a_hint(candidate: Candidate, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write") as caught:
        CandidateStore(tmp_path / "file" / "candidates").put(candidate)
    assert caught.value.hint


def test_sha256sum_can_check_a_folder(store: CandidateStore, candidate: Candidate, tmp_path: Path) -> None:
    store.put(candidate)
    listed = (folder(tmp_path, candidate) / "SHA256SUMS").read_text()
    assert [line.split("  ")[1] for line in listed.splitlines()] == [
        "candidate.json",
        "feature_set.json",
        "golden.json",
        "metadata.json",
        "model.txt",
    ]


def test_writers_of_the_same_candidate_agree(
    store: CandidateStore, candidate: Candidate, tmp_path: Path
) -> None:
    """Four processes store the same bytes at once: one folder, no error."""
    digest = store.put(candidate)
    code = (
        "import sys; from pathlib import Path; from mlplatform.stores.candidates import CandidateStore;"
        "source, target = (CandidateStore(Path(a)) for a in sys.argv[1:3]);"
        f"candidate = source.get('delays', '{digest}'); sys.stdin.readline(); print(target.put(candidate))"
    )
    target = tmp_path / "target"
    command = [sys.executable, "-c", code, str(tmp_path / "candidates"), str(target)]
    writers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    answers = [writer.communicate()[0].strip() for writer in writers]
    assert answers == [digest] * 4
    assert CandidateStore(target).get("delays", digest) == candidate
    assert [path.name for path in (target / "delays").iterdir()] == [digest]
