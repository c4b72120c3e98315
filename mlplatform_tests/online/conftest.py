"""Worlds that several tests look at; training takes longest, so it is done once."""

from dataclasses import replace
from pathlib import Path

import pytest

from mlplatform_tests.online.world import Trained, World, orders, train


@pytest.fixture(scope="session")
def trained() -> Trained:
    """A LightGBM candidate."""
    return train(orders())


@pytest.fixture(scope="session")
def other() -> Trained:
    """Another candidate of the same use case: a logistic regression."""
    return train(orders(), "logistic_regression")


@pytest.fixture
def world(tmp_path: Path, trained: Trained) -> World:
    """Orders in the lake, nothing released."""
    made = World(tmp_path)
    made.write(trained.frame)
    return made


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory, trained: Trained) -> World:
    """Orders in the lake and one release; not to be changed."""
    made = World(tmp_path_factory.mktemp("ready"))
    made.write(trained.frame)
    made.promote(trained.candidate)
    return made


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory, trained: Trained, other: Trained) -> World:
    """Orders in the lake and three releases, the first a logistic regression; not to be changed."""
    made = World(tmp_path_factory.mktemp("three"))
    made.write(trained.frame)
    between = replace(trained.candidate, params={**trained.candidate.params, "seed": 1})
    for candidate in (other.candidate, between, trained.candidate):
        made.promote(candidate)
    return made
