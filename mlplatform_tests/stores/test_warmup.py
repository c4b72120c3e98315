"""Filling a store from the lake: whole or day by day, it answers as the batch executor does."""

from pathlib import Path

import pytest

from mlplatform.errors import NotFound
from mlplatform.stages.preparation.online import OnlineFeatures
from mlplatform.stores.online import MemoryStore
from mlplatform.stores.warmup import fill, replicate, tables_of, warm
from mlplatform_tests.online.conftest import ready as ready
from mlplatform_tests.online.conftest import trained as trained
from mlplatform_tests.online.world import FEATURES, USE_CASE, Trained, World


def vectors(store: MemoryStore | OnlineFeatures, trained: Trained) -> list[list[object]]:
    rows = trained.frame.with_columns(trained.frame["placed"].dt.timestamp("us"))
    return [store.vector(row) for row in rows.iter_rows(named=True)]


def test_a_filled_store_answers_like_a_service(ready: World, trained: Trained) -> None:
    store, done = MemoryStore(FEATURES), []
    memory = fill(store, ready.lake, USE_CASE, done=done.append)
    own = warm(ready.lake, USE_CASE, FEATURES)
    assert memory.rows == own.rows
    assert memory.fingerprint == own.fingerprint
    assert done == [*tables_of(FEATURES), *FEATURES.statics]
    assert isinstance(own.features, OnlineFeatures)
    assert vectors(store, trained) == vectors(own.features, trained)


def test_day_by_day_is_the_same_and_twice_changes_nothing(ready: World, trained: Trained) -> None:
    filled, told = MemoryStore(FEATURES), MemoryStore(FEATURES)
    fill(filled, ready.lake, USE_CASE)
    days = sorted(trained.frame["partition_key"].unique())
    for day in reversed(days):
        replicate(told, ready.lake, USE_CASE, [day])
    counts = replicate(told, ready.lake, USE_CASE, days)
    assert counts["placed"] == trained.frame.height
    assert counts["shops"] == 3
    assert vectors(told, trained) == vectors(filled, trained)


def test_without_tables_nothing_is_filled(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        fill(MemoryStore(FEATURES), World(tmp_path).lake, USE_CASE)
