"""Split at random: exact shares, stable draws, refusals."""

import polars as pl
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation.splits.random import split


def frame(rows: int = 1000) -> pl.DataFrame:
    return pl.DataFrame({"id": list(range(rows))})


def test_shares_are_exact() -> None:
    part = split(frame(), keys=["id"], validation=0.2, test=0.1)
    assert dict(part.value_counts().iter_rows()) == {"train": 700, "validation": 200, "test": 100}


def test_another_seed_draws_other_rows() -> None:
    first, second = (split(frame(), keys=["id"], seed=seed) for seed in (1, 2))
    assert 0.2 < (first != second).mean() < 0.6


def test_a_draw_stays_what_it_was_when_published() -> None:
    assert split(frame(10), keys=["id"], seed=0, validation=0.2, test=0.2).to_list() == PUBLISHED


PUBLISHED = ["train", "validation", "train", "test", "test", "train", "train", "validation", "train", "train"]


@pytest.mark.parametrize(
    "options",
    [{"validation": 0.0}, {"test": 1.0}, {"validation": 0.6, "test": 0.4}, {"seed": 1.5}, {"seed": True}],
)
def test_values_that_make_no_split_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="got"):
        split(frame(), keys=["id"], **options)  # type: ignore[arg-type]


def test_keys_that_are_not_there_are_refused() -> None:
    for keys in ([], ["name"]):
        with pytest.raises(ConfigurationError, match="the frame has: id"):
            split(frame(), keys=keys)
