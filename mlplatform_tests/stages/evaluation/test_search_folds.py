"""Folds of a search: earlier rows learn, later rows judge, whole days, nothing fitted on what is judged."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.features import Category, FeatureSet, Row, Spine, TargetRate, col
from mlplatform.stages.evaluation.search import folds
from mlplatform.stages.preparation.fitted import UNKNOWN, FittedFeatureSet
from mlplatform.stages.training.contract import TrainingSet
from mlplatform_tests.stages.evaluation.searched_rows import days, regression

DAYS = days(600, 10)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_every_fold_learns_from_all_that_is_before_what_it_judges(count: int) -> None:
    judged_before: set[str] = set()
    for learned, judged in folds.windows(DAYS, count):
        past, later = DAYS.filter(pl.Series(learned)), DAYS.filter(pl.Series(judged))
        assert past.max() < later.min()  # type: ignore[operator]
        assert len(past) == DAYS.to_list().index(str(later.min()))
        assert later.n_unique() == 60 // (2 * count)
        assert not judged_before & set(later)
        judged_before |= set(later)
    assert max(judged_before) == DAYS.max()


def test_days_may_be_dates() -> None:
    made = zip(folds.windows(DAYS, 3), folds.windows(DAYS.str.to_date(), 3), strict=True)
    assert all((a == b).all() for one, other in made for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("count", [31, 60])
def test_more_folds_than_days_are_refused(count: int) -> None:
    with pytest.raises(ConfigurationError, match=f"600 rows of 60 days for {count} folds"):
        folds.windows(DAYS, count)


def test_a_window_without_rows_is_refused() -> None:
    gap = DAYS.filter((DAYS < "2025-01-25") | (DAYS >= "2025-02-20"))
    with pytest.raises(ConfigurationError, match="folds that each have rows before and in their window"):
        folds.windows(gap, 3)


def test_a_sample_is_of_whole_days_and_the_same_for_a_seed() -> None:
    for share, kept in ((0.25, 15), (1.0, 60), (0.001, 1)):
        chosen = folds.sample(DAYS, share, 0)
        assert DAYS.filter(chosen).n_unique() == kept
        assert chosen.sum() == kept * 10
    assert folds.sample(DAYS, 0.25, 0).equals(folds.sample(DAYS, 0.25, 0))
    assert not folds.sample(DAYS, 0.25, 1).equals(folds.sample(DAYS, 0.25, 0))


def test_every_column_of_a_training_set_is_cut_alike() -> None:
    whole = regression()
    groups = np.arange(600, dtype=np.int64)
    ranked = TrainingSet(whole.X, np.abs(whole.y), whole.names, task="ranking", groups=groups)
    for fold, (learned, judged) in zip(
        folds.of_training_set(ranked, DAYS, 3), folds.windows(DAYS, 3), strict=True
    ):
        assert fold.training.groups is not None
        assert (fold.training.groups == groups[learned]).all()
        assert np.array_equal(fold.training.X, whole.X[learned])
        assert np.array_equal(fold.X, whole.X[judged])
        assert fold.training.names == whole.names


FEATURES = FeatureSet(
    "shops",
    Spine(
        table="t",
        key=("id",),
        facts={"id": "int", "shop": "string", "x": "int", "at": "time"},
        as_of=col("at").minus("0m"),
    ),
    [Category("shop"), TargetRate("shop"), Row("size", col("x") * 1)],
)


def shops() -> pl.DataFrame:
    """40 days of 10 rows; shop `new` opens on the 35th day, and is always late."""
    made = []
    for row in range(400):
        day, new = row // 10, row // 10 >= 35
        shop = "new" if new else "ab"[row % 2]
        made.append(
            {
                "day": str(date(2025, 1, 1) + timedelta(days=day)),
                "label": new or row % 3 == 0,
                "shop": shop,
                "target_rate_by_shop": shop,
                "size": row,
            }
        )
    return pl.DataFrame(made)


def as_set(fitted: FittedFeatureSet, rows: pl.DataFrame) -> TrainingSet:
    X = fitted.training_matrix(rows, rows["label"])
    return TrainingSet(X, rows["label"].cast(pl.Float64).to_numpy(), fitted.names, fitted.categories)


def test_nothing_is_fitted_on_what_is_judged() -> None:
    last = folds.of_rows(shops(), FEATURES, 4, as_set)[-1]
    code, rate = (last.training.names.index(name) for name in ("shop", "target_rate_by_shop"))
    assert last.training.categories == {"shop": 2}
    assert (last.y == 1.0).all()
    assert (last.X[:, code] == UNKNOWN).all()
    assert (last.X[:, rate] < 0.4).all()
