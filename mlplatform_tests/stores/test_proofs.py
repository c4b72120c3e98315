"""Proofs: appended, read back in order, per use case, never changed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlplatform.errors import StoreError
from mlplatform.stores.proofs import PARITY, STALENESS, Proof, ProofStore

NOW = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)


def proof(name: str = PARITY, use_case: str = "shop", **more: object) -> Proof:
    given = {"at": NOW, "by": "ann@host", "passed": True, "figures": {"cells": 3}, **more}
    return Proof(use_case=use_case, name=name, **given)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ProofStore]:
    with closing(ProofStore(f"sqlite:///{tmp_path / 'state.sqlite'}")) as made:
        yield made


def test_proofs_come_back_in_order_and_only_those_of_the_use_case(store: ProofStore) -> None:
    assert store.all("shop") == ()
    given = [proof(), proof(use_case="bank"), proof(STALENESS, passed=False), proof()]
    for each in given:
        store.add(each)
    assert store.all("shop") == (given[0], given[2], given[3])
    assert store.all("bank") == (given[1],)


def test_nothing_can_be_changed_afterwards(store: ProofStore, tmp_path: Path) -> None:
    store.add(proof(passed=False))
    with (
        closing(sqlite3.connect(tmp_path / "state.sqlite")) as connection,
        pytest.raises(sqlite3.IntegrityError, match="proofs is append-only"),
    ):
        connection.execute("UPDATE proofs SET passed = 1")


def test_a_time_needs_a_zone_and_figures_are_json(store: ProofStore) -> None:
    with pytest.raises(StoreError, match="without a time zone"):
        store.add(proof(at=datetime(2026, 1, 1)))
    with pytest.raises(StoreError, match="are no JSON"):
        store.add(proof(figures={"what": object()}))
    assert store.all("shop") == ()
