"""API keys: shown once, stored as hashes, one in use per name, revoked ones kept."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from mlplatform.errors import ConfigurationError, NotFound, StoreError
from mlplatform.stores.keys import KeyStore, Scope

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeyStore]:
    with closing(KeyStore(f"sqlite:///{tmp_path / 'state.sqlite'}")) as made:
        yield made


def test_a_key_is_stored_as_its_hash_alone(store: KeyStore, tmp_path: Path) -> None:
    secret, key = store.add("shop", ["score", "ingest"], "ann", NOW)
    assert len(secret) >= 47  # 32 random bytes in base64, and the prefix
    assert key.digest == sha256(secret.encode()).hexdigest()
    assert store.all() == store.in_use() == [key]
    assert (key.name, key.made_by, key.made_at, key.revoked_at) == ("shop", "ann", NOW, None)
    assert key.scopes == Scope.SCORE | Scope.INGEST
    store.close()
    for file in tmp_path.iterdir():
        assert secret.encode() not in file.read_bytes()
        assert secret.removeprefix("mlp_").encode() not in file.read_bytes()


def test_two_keys_differ(store: KeyStore) -> None:
    first, second = (store.add(name, ["score"], "ann", NOW)[0] for name in ("a", "b"))
    assert first != second


def test_admin_is_good_for_everything() -> None:
    assert Scope.SCORE in Scope.ADMIN
    assert Scope.INGEST in Scope.ADMIN
    assert Scope.ADMIN not in Scope.SCORE | Scope.INGEST
    assert [scope.word for scope in (Scope.SCORE, Scope.SCORE | Scope.INGEST, Scope.ADMIN)] == [
        "score",
        "score ingest",
        "admin",
    ]


def test_a_revoked_key_stays_as_a_row_and_frees_its_name(store: KeyStore) -> None:
    _, old = store.add("shop", ["admin"], "ann", NOW)
    with pytest.raises(StoreError, match="there is a key 'shop' already") as caught:
        store.add("shop", ["score"], "ann", NOW)
    assert "mlplatform keys revoke shop" in caught.value.hint
    later = NOW + timedelta(days=1)
    assert store.revoke("shop", later) == old._replace(revoked_at=later)
    assert store.in_use() == []
    _, new = store.add("shop", ["score"], "ann", later)
    assert store.all() == [old._replace(revoked_at=later), new]
    assert store.in_use() == [new]
    with pytest.raises(NotFound, match="no key 'shopp' is in use"):
        store.revoke("shopp", later)


@pytest.mark.parametrize("scopes", [[], ["all"], ["score", "Admin"]])
def test_unknown_scopes(store: KeyStore, scopes: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="allowed: score, ingest, admin"):
        store.add("shop", scopes, "ann", NOW)


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", "a\0"])
def test_names_that_would_spoil_a_log(store: KeyStore, name: str) -> None:
    with pytest.raises(ConfigurationError, match="1 to 100 printable characters"):
        store.add(name, ["score"], "ann", NOW)


def test_two_processes_cannot_both_add_one_name(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.sqlite'}"
    with closing(KeyStore(url)) as one, closing(KeyStore(url)) as other:
        one.add("shop", ["score"], "ann", NOW)
        with pytest.raises(StoreError, match="already"):
            other.add("shop", ["score"], "bob", NOW)
    with closing(sqlite3.connect(tmp_path / "state.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM api_keys").fetchone() == (1,)
