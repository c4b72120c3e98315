"""The package store: what it gives back, and that it refuses what was damaged, file by file."""

import tarfile
from pathlib import Path

import pytest

from mlplatform.errors import NotFound, StoreError
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.packages import SUMS, PackageStore
from mlplatform_tests.stages.deployment.packed import candidate, packed

FILES = packed()


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    """The folder of the stored candidate."""
    store = CandidateStore(tmp_path / "candidates")
    return store.folder("parcels", store.put(candidate()))


@pytest.fixture
def store(tmp_path: Path) -> PackageStore:
    return PackageStore(tmp_path / "packages")


def test_it_comes_back_as_it_was_and_is_stored_once(store: PackageStore, taken: Path) -> None:
    id = store.put("parcels", FILES, taken)
    assert store.get("parcels", id) == FILES
    assert store.put("parcels", FILES, taken) == id
    assert store.list("parcels") == [id]


def test_files_of_the_candidate_take_no_room_twice(store: PackageStore, taken: Path) -> None:
    folder = store.folder("parcels", store.put("parcels", FILES, taken))
    both = [name for name in FILES if (taken / name).exists()]
    shared = {name for name in both if (folder / name).samefile(taken / name)}
    assert shared == {"candidate.json", "feature_set.json", "golden.json", "metadata.json", "model.txt"}


def test_it_is_whole_where_the_candidate_is_elsewhere(store: PackageStore, tmp_path: Path) -> None:
    id = store.put("parcels", FILES, tmp_path / "nowhere")
    assert store.get("parcels", id) == FILES


@pytest.mark.parametrize("name", [*sorted(FILES), SUMS])
@pytest.mark.parametrize("damage", ["changed", "absent"])
def test_a_package_damaged_in_any_file_is_refused(
    store: PackageStore, tmp_path: Path, name: str, damage: str
) -> None:
    id = store.put("parcels", FILES, tmp_path / "nowhere")
    file = store.folder("parcels", id) / name
    if damage == "absent":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] + b"#")
    with pytest.raises(StoreError, match="is damaged"):
        store.get("parcels", id)
    with pytest.raises(StoreError, match="is damaged"):
        store.put("parcels", FILES, tmp_path / "nowhere")


def test_what_is_written_to_a_file_is_all_of_it_and_always_the_same(
    store: PackageStore, taken: Path, tmp_path: Path
) -> None:
    id = store.put("parcels", FILES, taken)
    for name in ("one.tar", "two.tar"):
        store.export("parcels", id, tmp_path / name)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as archive:
        names = {Path(name).name for name in archive.getnames()}
    assert names == {*FILES, SUMS}


def test_mistakes_are_named(store: PackageStore, taken: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has no package"):
        store.get("parcels", "0" * 64)
    with pytest.raises(StoreError, match="64 hexadecimal digits"):
        store.get("parcels", "../candidates")
    with pytest.raises(StoreError, match="plain file names"):
        store.put("parcels", {"../x": b""}, taken)
    id = store.put("parcels", FILES, taken)
    with pytest.raises(StoreError, match="cannot write"):
        store.export("parcels", id, tmp_path / "no" / "folder.tar")
