"""Fitted sets: codes of categories, one row = one line of the matrix to the bit, ids."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.errors import ConfigurationError, FeatureSetMismatch
from mlplatform.features import Category, FeatureSet, Row, Spine, col
from mlplatform.stages.preparation.fitted import FittedFeatureSet, fit

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
    with pytest.raises(ValueError, match="zip"):
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
