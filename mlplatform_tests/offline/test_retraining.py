"""Retraining in hindsight: which dates, which rows judge, and what the first and the later models get."""

from contextlib import closing
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError, NotFound
from mlplatform.offline import project, retraining
from mlplatform.offline.declared import Declared
from mlplatform.offline.retraining import ALL, Period, periods, steps
from mlplatform.stores.lake import Lake
from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world


@pytest.fixture
def declared(tmp_path: Path) -> Declared:
    """1 March to 29 April 2025."""
    return project.load(world.make_use_case(tmp_path))


class TestPeriods:
    def test_each_date_judges_up_to_the_next_and_the_last_to_the_end_of_the_data(
        self, declared: Declared
    ) -> None:
        assert periods(declared, date(2025, 3, 15), date(2025, 4, 20)) == [
            Period("2025-03-15", "2025-04-14"),
            Period("2025-04-15", "2025-04-29"),
        ]
        assert periods(declared, date(2025, 3, 10), date(2025, 3, 24), "1w") == [
            Period("2025-03-10", "2025-03-16"),
            Period("2025-03-17", "2025-03-23"),
            Period("2025-03-24", "2025-03-30"),
        ]

    def test_one_date(self, declared: Declared) -> None:
        assert periods(declared, date(2025, 4, 29), date(2025, 4, 29)) == [Period("2025-04-29", "2025-04-29")]

    @pytest.mark.parametrize(
        ("first", "last", "every", "said"),
        [
            (date(2025, 3, 1), date(2025, 4, 1), "1mo", "after 2025-03-01 and up to 2025-04-29"),
            (date(2025, 4, 1), date(2025, 3, 20), "1mo", "in this order"),
            (date(2025, 4, 1), date(2025, 5, 1), "1mo", "got dates from 2025-04-01 to 2025-05-01"),
            (date(2025, 4, 1), date(2025, 4, 20), "monthly", "got a length 'monthly'"),
            (date(2025, 4, 1), date(2025, 4, 20), "-1w", "got a length '-1w'"),
            (date(2025, 4, 1), date(2025, 4, 20), "6h", "got a length '6h'"),
            (date(2025, 4, 1), date(2025, 4, 20), "0d", "got a length '0d'"),
            (date(2025, 4, 1), date(2025, 4, 20), "", "got a length ''"),
        ],
    )
    def test_what_cannot_be(self, declared: Declared, first: date, last: date, every: str, said: str) -> None:
        with pytest.raises(ConfigurationError, match=said):
            periods(declared, first, last, every)


class TestSteps:
    def test_a_step_per_date_of_split_and_candidate(self, declared: Declared) -> None:
        made = steps(declared, "rate_table", periods(declared, date(2025, 4, 1), date(2025, 4, 15), "1w"))
        assert [each.partitions for each in made] == [("2025-04-01",), ("2025-04-08",), ("2025-04-15",)]
        assert {tuple(asset.path[-1] for asset in each.assets) for each in made} == {
            ("split", "candidate_rate_table")
        }

    def test_only_declared_models(self, declared: Declared) -> None:
        with pytest.raises(ConfigurationError, match="got model 'lightgbm'; allowed: rate_table"):
            steps(declared, "lightgbm", [Period("2025-04-01", "2025-04-02")])


class TestLabelled:
    def test_the_questions_of_the_days_whose_outcome_is_known(self, finished: Finished) -> None:
        declared = project.load(finished.folder)
        settings = Settings.load({"MLPLATFORM_HOME": str(finished.home)})
        with closing(Lake.from_settings(settings)) as lake:
            found = retraining.labelled(declared, lake, Period("2025-04-20", "2025-04-28"))
            orders = lake.read(declared.table("orders"), first="2025-04-20", last="2025-04-28")
            with pytest.raises(NotFound, match="no rows with features and outcome"):
                retraining.labelled(declared, lake, Period("2025-05-20", "2025-05-21"))
        known = orders.filter(pl.col("late").is_not_null())
        assert 0 < known.height < orders.height
        assert set(found["order_id"]) == set(known["order_id"])
        assert found["day"].is_sorted()
        assert set(declared.feature_set.names) <= set(found.columns)


def scored(days: int, seed: int) -> "retraining._Scored":
    random = np.random.default_rng(seed)
    n = days * 50
    p = random.beta(2, 5, n)
    y = (random.random(n) < p).astype(np.float64)
    worse = np.clip(p + random.normal(0, 0.2, n), 0.01, 0.99)
    return retraining._Scored(pl.Series([f"2025-04-{n // 50 + 1:02d}" for n in range(n)]), y, worse, p)


def test_a_gain_is_positive_where_retraining_is_better_whichever_way_a_figure_goes(
    declared: Declared,
) -> None:
    judged = retraining._judged(declared, "2025-04-01", "2025-04-20", scored(20, 1))
    assert judged.rows == 1000
    for figure in ("roc_auc", "log_loss"):
        gain = judged.gains[figure]
        assert gain.low is not None
        assert gain.high is not None
        assert 0 < gain.low < gain.value < gain.high
    loss = judged.gains["log_loss"].value
    assert loss == judged.static["log_loss"] - judged.retrained["log_loss"]


def test_all_is_every_row_once(declared: Declared) -> None:
    parts = [scored(10, 1), scored(7, 2)]
    both = retraining._together(parts)
    assert len(both.y) == len(both.days) == sum(len(each.y) for each in parts) == 850
    assert retraining._judged(declared, ALL, "2025-04-17", both).rows == 850


def test_the_picture_has_both_models_period_by_period_without_the_sum(declared: Declared) -> None:
    one = retraining._judged(declared, "2025-04-01", "2025-04-10", scored(10, 1))
    two = retraining._judged(declared, "2025-04-11", "2025-04-20", scored(10, 2))
    drawn = retraining.picture(
        [one, two, retraining._judged(declared, ALL, "", scored(10, 3))], "roc_auc", "10d"
    )
    again, once = drawn.lines
    assert again.y == (one.retrained["roc_auc"], two.retrained["roc_auc"])
    assert once.y == (one.static["roc_auc"], two.static["roc_auc"])
    assert [text for _, text in drawn.ticks] == ["04-01", "04-11"]
