"""Checkpoints as files: whole or not at all, and never one of another training."""

from pathlib import Path

import pytest

from mlplatform.errors import StoreError
from mlplatform.stages.training.checkpoints import Checkpoint
from mlplatform.stores.checkpoints import FileCheckpoints

KEY, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "use_case" / "model" / "2025-01-01"


def test_the_newest_is_found_by_another_process(folder: Path) -> None:
    store = FileCheckpoints(folder)
    assert store.load(KEY) is None
    store.save(KEY, Checkpoint(10, b"ten"))
    store.save(KEY, Checkpoint(20, b"twenty\x00\xff"))
    another = FileCheckpoints(folder)
    assert another.load(OTHER) is None
    assert another.resumed_at == 0
    assert another.load(KEY) == Checkpoint(20, b"twenty\x00\xff")
    assert another.resumed_at == 20
    assert len(list(folder.iterdir())) == 1


def test_every_damage_counts_as_absent(folder: Path) -> None:
    store = FileCheckpoints(folder)
    store.save(KEY, Checkpoint(10, b"state"))
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    damaged = [whole[:n] for n in range(len(whole))]
    damaged += [whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :] for n in range(len(whole))]
    for content in damaged:
        file.write_bytes(content)
        assert store.load(KEY) is None
    assert store.resumed_at == 0
    file.write_bytes(whole)
    assert store.load(KEY) == Checkpoint(10, b"state")


def test_dropped_and_cleared(folder: Path) -> None:
    store = FileCheckpoints(folder)
    for key in (KEY, OTHER):
        store.save(key, Checkpoint(1, b""))
    store.drop(KEY)
    store.drop(KEY)
    assert store.load(KEY) is None
    assert store.load(OTHER) == Checkpoint(1, b"")
    store.clear()
    store.clear()
    assert store.load(OTHER) is None
    assert not folder.exists()


@pytest.mark.parametrize("key", ["", "a" * 63, "../" + "a" * 61, "A" * 64])
def test_what_is_no_key_is_refused(folder: Path, key: str) -> None:
    store = FileCheckpoints(folder)
    for call in (store.load, store.drop):
        with pytest.raises(StoreError, match="allowed: 64 hexadecimal digits"):
            call(key)


def test_a_disk_that_refuses_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = FileCheckpoints(tmp_path / "file" / "folder")
    with pytest.raises(StoreError, match="cannot be"):
        store.save(KEY, Checkpoint(1, b""))
    with pytest.raises(StoreError, match="cannot be read"):
        store.load(KEY)
