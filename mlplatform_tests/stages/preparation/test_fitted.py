"""Fitted sets: codes of categories, one row = one line of the matrix to the bit, ids."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.errors import ConfigurationError, FeatureSetMismatch
from mlplatform.features import Category, FeatureSet, Row, Spine, TargetRate, col
from mlplatform.stages.preparation.fitted import FittedFeatureSet, Rates, fit

SPINE = Spine(
    "orders",
    ("order",),
    {"shop": "string", "item": "string", "n": "int", "asked": "time"},
    col("asked").minus("0m"),
)
SET = FeatureSet(
    "orders",
    SPINE,
    (Category("shop"), Row("more", col("n") + 1), Category("item"), Row("half", col("n") / 2)),
)
SCHEMA = {"shop": pl.String, "more": pl.Int64, "item": pl.String, "half": pl.Float64}


def features(*rows: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=SCHEMA, orient="row")


TRAINING = features(("z", 1, "x", 0.5), ("a", 2, None, 1.0), ("z", 3, "y", None), (None, 4, "x", 2.0))
FITTED = fit(SET, TRAINING)


def test_levels_are_those_of_the_training_rows_in_order() -> None:
    assert FITTED.levels == {"shop": ("a", "z"), "item": ("x", "y")}
    assert FITTED.categories == {"shop": 2, "item": 2}
    assert FITTED.names == ("shop", "more", "item", "half")
    assert fit(SET, TRAINING.reverse()) == FITTED


def test_unknown_is_minus_one_and_missing_minus_two() -> None:
    matrix = FITTED.matrix(features(("z", 1, "new", 0.5), (None, None, "y", None)))
    np.testing.assert_array_equal(matrix, [[1, 1, -1, 0.5], [-2, np.nan, 1, np.nan]])
    assert matrix.dtype == np.float64
    assert matrix.flags.c_contiguous


_rows = st.tuples(
    st.sampled_from(["a", "z", "new", "", None]),
    st.none() | st.integers(-(2**62), 2**62),
    st.sampled_from(["x", "y", "X", None]),
    st.none() | st.floats(allow_nan=False),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(_rows, min_size=1, max_size=6))
def test_one_row_is_a_line_of_the_matrix_to_the_bit(rows: list[tuple[Any, ...]]) -> None:
    encode = FITTED.encoder()
    lines = [np.array(encode(list(row))).tobytes() for row in rows]
    assert [line.tobytes() for line in FITTED.matrix(features(*rows))] == lines


def test_columns_are_chosen_by_name() -> None:
    shuffled = TRAINING.select("half", "item", pl.lit(1).alias("other"), "shop", "more")
    assert FITTED.matrix(shuffled).tobytes() == FITTED.matrix(TRAINING).tobytes()


def test_no_rows_and_no_levels_are_no_trouble() -> None:
    assert FITTED.matrix(TRAINING.clear()).shape == (0, 4)
    nothing_known = fit(SET, TRAINING.clear())
    assert nothing_known.categories == {"shop": 0, "item": 0}
    assert nothing_known.matrix(TRAINING)[:, 0].tolist() == [-1, -1, -1, -2]
    assert nothing_known.encoder()(["a", 1, None, 2.0]) == [-1, 1, -2, 2]


def test_a_frame_of_another_declaration_is_refused() -> None:
    with pytest.raises(FeatureSetMismatch, match="the frame lacks 2 of the 4 features of orders@") as caught:
        FITTED.matrix(TRAINING.select("shop", "half"))
    assert "more, item" in str(caught.value)
    assert caught.value.hint


def test_a_vector_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="unpack"):
        FITTED.encoder()(["a", 1, "x"])


def test_the_id_is_that_of_declaration_and_levels() -> None:
    assert FITTED.id.startswith("orders@")
    assert FITTED.id != SET.id
    assert FITTED.id == FittedFeatureSet(SET, dict(reversed(FITTED.levels.items()))).id
    assert FITTED.id != FittedFeatureSet(SET, FITTED.levels | {"shop": ("a", "b")}).id
    assert FITTED.id != FittedFeatureSet(SET, FITTED.levels | {"shop": ("z", "a")}).id
    renamed = FeatureSet("others", SET.spine, SET.features)
    assert FITTED.id != FittedFeatureSet(renamed, FITTED.levels).id


def test_json_brings_back_the_same_fitted_set() -> None:
    again = FittedFeatureSet.from_json(FITTED.to_json())
    assert again == FITTED
    assert again.id == FITTED.id
    assert again.matrix(TRAINING).tobytes() == FITTED.matrix(TRAINING).tobytes()


def test_json_of_something_else_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="this JSON is not a fitted feature set") as caught:
        FittedFeatureSet.from_json(SET.to_json())
    assert caught.value.hint


RATED = FeatureSet(
    "orders",
    SPINE,
    (
        TargetRate("shop", weight=2),
        Category("item"),
        TargetRate(("shop", "n"), name="rate"),
        Row("half", col("n")),
    ),
)
RATED_SCHEMA = {
    "target_rate_by_shop": pl.String, "item": pl.String, "rate": pl.String, "half": pl.Float64
}  # fmt: skip


def rated(*shops: str | None) -> pl.DataFrame:
    rows = [(shop, "x", None if shop is None else f"{shop}\x1f1", 0.5) for shop in shops]
    return pl.DataFrame(rows, schema=RATED_SCHEMA, orient="row")


RATED_ROWS = rated("a", "a", "a", "b", None, "c")
LABEL = pl.Series("late", [True, True, False, False, True, True])
RATES = fit(RATED, RATED_ROWS, LABEL)


class TestTargetRates:
    def test_a_rate_is_drawn_to_the_overall_rate(self) -> None:
        found = RATES.rates["target_rate_by_shop"]
        overall = 4 / 6
        assert found.overall == overall
        assert found.by_key == {
            "a": (2 + 2 * overall) / (3 + 2),
            "b": (0 + 2 * overall) / (1 + 2),
            "c": (1 + 2 * overall) / (1 + 2),
        }
        assert RATES.rates["rate"].by_key["a\x1f1"] == (2 + 20 * overall) / (3 + 20)
        assert RATES.categories == {"item": 1}

    def test_unknown_and_missing_get_the_overall_rate(self) -> None:
        matrix = RATES.matrix(rated("a", "new", None))
        rates = RATES.rates["target_rate_by_shop"]
        assert matrix[:, 0].tolist() == [rates.by_key["a"], rates.overall, rates.overall]
        assert matrix[1, 2] == matrix[2, 2] == rates.overall

    @given(st.lists(st.sampled_from(["a", "b", "c", "new", "", None]), min_size=1, max_size=6))
    def test_one_row_is_a_line_of_the_matrix_to_the_bit(self, shops: list[str | None]) -> None:
        rows, encode = rated(*shops), RATES.encoder()
        lines = [np.array(encode(row)).tobytes() for row in rows.iter_rows()]
        assert [line.tobytes() for line in RATES.matrix(rows)] == lines

    def test_the_order_of_the_rows_changes_no_bit(self) -> None:
        assert fit(RATED, RATED_ROWS.reverse(), LABEL.reverse()) == RATES
        assert fit(RATED, RATED_ROWS, LABEL.cast(pl.Float64)).to_json() == RATES.to_json()

    def test_json_and_id_hold_the_rates(self) -> None:
        again = FittedFeatureSet.from_json(RATES.to_json())
        assert again == RATES
        assert again.matrix(RATED_ROWS).tobytes() == RATES.matrix(RATED_ROWS).tobytes()
        other = RATES.rates | {"rate": Rates(0.5, {})}
        assert FittedFeatureSet(RATED, RATES.levels, other).id != RATES.id
        assert fit(RATED, RATED_ROWS, ~LABEL).id != RATES.id
        assert (
            b"rates" not in FITTED.to_json()
        )  # sets without rates keep the id they had before there were any

    def test_a_training_row_does_not_see_its_own_label(self) -> None:
        shops = ["a", "b", "a", None, "b"] * 8
        rows, label = rated(*shops), pl.Series("late", [n % 3 == 0 for n in range(40)])
        whole = fit(RATED, rows, label).training_matrix(rows, label)
        for row in (0, 7, 39):
            turned = label.to_list()
            turned[row] = not turned[row]
            other = pl.Series("late", turned)
            again = fit(RATED, rows, other).training_matrix(rows, other)
            assert again[row].tobytes() == whole[row].tobytes()
            assert again.tobytes() != whole.tobytes()

    def test_the_rate_of_a_training_row_is_that_of_the_other_folds(self) -> None:
        shops = ["a", "b", "a", "b", "a", "a", "b"] * 6
        rows, label = rated(*shops), pl.Series("late", [n % 4 < 2 for n in range(42)])
        fitted = fit(RATED, rows, label)
        others = pl.Series([n % 5 != 3 for n in range(42)])
        expected = fit(RATED, rows.filter(others), label.filter(others)).matrix(rows.filter(~others))
        got = fitted.training_matrix(rows, label)[(~others).to_numpy()]
        assert got.tobytes() == expected.tobytes()
        assert FITTED.training_matrix(TRAINING, LABEL.head(4)).tobytes() == FITTED.matrix(TRAINING).tobytes()

    def test_a_rate_may_be_the_only_feature(self) -> None:
        alone = fit(RATED.only(["rate"]), RATED_ROWS, LABEL)
        both = fit(RATED.only(["rate", "half"]), RATED_ROWS, LABEL)
        got = alone.training_matrix(RATED_ROWS, LABEL)
        assert got.tolist() == both.training_matrix(RATED_ROWS, LABEL)[:, :1].tolist()
        assert got.tolist() != alone.matrix(RATED_ROWS).tolist()

    def test_only_the_rates_that_are_left_are_fitted(self) -> None:
        assert list(fit(RATED.only(["rate", "half"]), RATED_ROWS, LABEL).rates) == ["rate"]
        assert fit(RATED.only(["half"]), RATED_ROWS).rates == {}

    @pytest.mark.parametrize(
        ("label", "said"),
        [
            (None, "'target_rate_by_shop' is a target rate, but no label was given"),
            (LABEL.head(3), "6 rows with 3 labels"),
            (pl.Series("late", [1, 0, 2, 0, 0, 1]), "label 'late' has 1 values that are neither 0 nor 1"),
            (pl.Series("late", [1, 0, None, 0, 0, 1]), "label 'late' has 1 values that are neither"),
        ],
    )
    def test_a_label_that_does_not_fit_is_refused(self, label: pl.Series | None, said: str) -> None:
        with pytest.raises(ConfigurationError, match=said) as caught:
            fit(RATED, RATED_ROWS, label)
        assert caught.value.hint

    def test_no_rows_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="0 rows with 0 labels"):
            fit(RATED, RATED_ROWS.clear(), LABEL.clear())
        with pytest.raises(ConfigurationError, match="0 rows with 0 labels"):
            RATES.training_matrix(RATED_ROWS.head(1), LABEL.head(1))

    @pytest.mark.parametrize(
        ("feature", "said"),
        [
            (lambda: TargetRate(()), r"TargetRate\(\(\), weight=20\); allowed: at least one fact"),
            (lambda: TargetRate("shop", weight=-1), "weight=-1"),
            (
                lambda: FeatureSet("o", SPINE, [TargetRate("asked")]),
                r"'asked' \(time\); allowed: .*shop, item, n",
            ),
            (lambda: FeatureSet("o", SPINE, [TargetRate(("shop", "x"))]), r"'x' \(no fact\); allowed"),
            (
                lambda: FeatureSet("o", SPINE, [TargetRate("n", name="r"), Row("s", col("r") + 1)]),
                "feature 's' reads r; known at that point",
            ),
            (lambda: FeatureSet("o", SPINE, [TargetRate("n", name="shop")]), "'shop' is used twice"),
        ],
    )
    def test_a_declaration_that_cannot_be_is_refused(self, feature: Callable[[], object], said: str) -> None:
        with pytest.raises(ConfigurationError, match=said) as caught:
            feature()
        assert caught.value.hint
