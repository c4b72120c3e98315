"""Performance of numbers and ranked lists: each figure against plain arithmetic, and what is refused."""

import math

import polars as pl
import pytest

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.monitoring import judged, outcomes
from mlplatform.stages.training.output import Output

NUMBERS = pl.DataFrame(
    {
        "partition_key": ["d2", "d1", "d1", "d1", "d3"],
        "score": [4.0, 1.0, 3.0, 9.0, 1.0],
        "outcome": [1.0, 2.0, 7.0, None, math.nan],
    }
)
LISTS = pl.DataFrame(
    {
        "partition_key": ["d1"] * 6,
        "to": ["x", "x", "x", "y", "y", "z"],
        "rank": [1, 2, 3, 2, 1, 1],
        "score": [3.0, 2.0, 1.0, 0.1, 0.2, 5.0],
        "outcome": [None, 4.0, 10.0, 8.0, 2.0, 99.0],
    }
)


def test_errors_of_numbers() -> None:
    days = outcomes.numbers(NUMBERS)
    assert days["partition_key"].to_list() == ["d1", "d2", "d3"]
    assert days["scored"].to_list() == [3, 1, 1]
    assert days["n"].to_list() == [2, 1, 0]
    first = days.row(0, named=True)
    assert (first["bias"], first["mae"]) == (-2.5, 2.5)
    assert first["rmse"] == pytest.approx(math.sqrt((1 + 16) / 2))
    assert (first["mean_score"], first["mean_outcome"]) == (2.0, 4.5)
    assert days.row(2, named=True)["mae"] is None


def test_first_places_of_lists() -> None:
    """The first place of x is unknown, so its second counts; z has nothing to choose from."""
    day = outcomes.lists(LISTS, ["to"]).row(0, named=True)
    assert (day["scored"], day["n"]) == (6, 2)
    assert day["mean_score"] == (4.0 + 2.0) / 2
    assert day["mean_outcome"] == (7.0 + 5.0) / 2
    assert day["best"] == (10.0 + 8.0) / 2


@pytest.mark.parametrize("score", [math.nan, math.inf, None])
def test_a_score_that_is_no_number(score: float | None) -> None:
    wrong = NUMBERS.with_columns(score=pl.lit(score, pl.Float64))
    with pytest.raises(ModelError, match="5 of 5 rows with a score of"):
        outcomes.numbers(wrong)


def test_an_absent_column() -> None:
    with pytest.raises(ModelError, match="no column 'rank'"):
        outcomes.lists(NUMBERS, [])


def test_each_kind_has_its_figures_and_picture() -> None:
    for output, scored in (
        (Output("regression"), NUMBERS),
        (Output("forecasting", (), "hour", "made", "1h", 3), NUMBERS),
        (Output("ranking", ("to",)), LISTS),
        (Output(), NUMBERS.with_columns(score=pl.lit(0.5), outcome=pl.lit(1.0))),
    ):
        days = judged.by_day(output, scored)
        (value,) = judged.headline(output, days).values()
        assert math.isfinite(value)
        picture = judged.picture(output, days, by="partition_key", title="t")
        assert len(picture.lines) == 2
        assert len(picture.lines[0].x) == days.filter(pl.col("n") > 0).height
    assert judged.headline(Output("regression"), judged.by_day(Output("regression"), NUMBERS)) == {
        "mean absolute error": round((2.5 * 2 + 3.0) / 3, 4)
    }


def test_clusters_have_no_outcome() -> None:
    with pytest.raises(ConfigurationError, match="no outcome"):
        judged.by_day(Output("clustering"), NUMBERS)
