"""Strategies: found by name, by dotted path to a file of somebody else, or given as a function."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation import strategies
from mlplatform.stages.segregation.dataset import Split, segregate

ROWS = pl.DataFrame({"id": range(300), "late": [i % 2 == 0 for i in range(300)]})

EVERY_THIRD = """
import polars as pl

def split(frame, *, keys, first=0):
    place = (pl.col(keys[0]) + first) % 3
    return frame.select(
        pl.when(place == 0).then(pl.lit("train")).when(place == 1).then(pl.lit("validation")).otherwise(None)
    ).to_series()
"""


def divided(strategy: Any, **options: object) -> Split:
    return segregate(ROWS, strategy=strategy, options=options, keys=["id"], label="late")


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of somebody else, on the path that Python imports from."""
    (tmp_path / "their_splits").mkdir()
    (tmp_path / "their_splits" / "every_third.py").write_text(EVERY_THIRD)
    (tmp_path / "their_splits" / "nothing.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_file_from_outside_is_a_strategy(theirs: Path) -> None:
    result = divided("their_splits.every_third")
    assert result.counts() == {"train": 100, "validation": 100, "test": 0}
    assert result.parts["part"].to_list()[:3] == ["train", "validation", None]
    assert result.id != divided("their_splits.every_third", first=1).id


def test_its_options_are_checked_as_those_of_our_own(theirs: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"allowed: first, shuffle_within, seed \(with shuffle_within\)"
    ):
        divided("their_splits.every_third", last=1)


def test_a_module_without_the_function_is_refused(theirs: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'their_splits\.nothing' has no function `split`"):
        divided("their_splits.nothing")
    with pytest.raises(ConfigurationError, match=r"no module 'their_splits\.no_such'"):
        divided("their_splits.no_such")


def halves(frame: pl.DataFrame, **_: Any) -> pl.Series:
    return frame.select(
        pl.when(pl.col("id") < 150).then(pl.lit("train")).otherwise(pl.lit("test"))
    ).to_series()


def test_a_function_is_a_strategy() -> None:
    result = divided(halves, whatever=1)
    assert result.counts() == {"train": 150, "validation": 0, "test": 150}
    assert result.strategy == f"{__name__}.halves"


def test_a_function_may_answer_with_categories() -> None:
    result = divided(lambda frame: halves(frame).cast(pl.Categorical))
    assert result.parts.schema["part"] == pl.String


def test_an_answer_that_is_no_series_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="returned list; allowed: 300 of train, validation, test"):
        divided(lambda frame: ["train"] * 300)


def test_what_a_strategy_takes() -> None:
    assert strategies.find("by_group").takes == ["group", "seed", "validation", "test"]
    assert strategies.find(halves).takes == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shuffle_within": 1}, "got shuffle_within 1; allowed: true or false"),
        ({"shuffle_within": True, "seed": "x"}, "got seed 'x'"),
        ({"time": "when"}, "got time column 'when'; the frame has: id, late"),
        ({"group": 3}, "got group column 3; the frame has: id, late"),
    ],
)
def test_common_options_are_checked(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        divided("random", **options)


def test_a_seed_that_nothing_heeds_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="unexpected keyword argument 'seed'"):
        divided("sequential", seed=1)
    assert divided("sequential", seed=1, shuffle_within=True).order is not None
