"""Vectors become columns again as they were encoded, and scores are spread over bins beside a reference."""

import math

import numpy as np
import polars as pl
import pytest

from mlplatform.errors import FeatureError
from mlplatform.features import Category, FeatureSet, Row, Spine, col
from mlplatform.stages.monitoring.profiles import NumberProfile, profile
from mlplatform.stages.monitoring.served_vectors import BINS, UNKNOWN_LEVEL, decoded, histogram
from mlplatform.stages.preparation.fitted import FittedFeatureSet, fit

FRAME = pl.DataFrame({"origin": ["EWR", "LGA", None], "distance_km": [1.5, None, 3.0]})


def fitted() -> FittedFeatureSet:
    spine = Spine(
        table="flights",
        key=("flight",),
        facts={"flight": "int", "origin": "string", "distance": "float", "at": "time"},
        as_of=col("at").minus("0m"),
    )
    features = FeatureSet("flights", spine, [Category("origin"), Row("distance_km", col("distance") * 1.6)])
    return fit(features, FRAME)


def scores(values: list[float]) -> NumberProfile:
    (found,) = profile(pl.DataFrame({"score": values}), numerical=["score"], categorical=[])
    assert isinstance(found, NumberProfile)
    return found


def test_what_was_encoded_comes_back() -> None:
    found = fitted()
    back = decoded(found, found.matrix(FRAME))
    assert back["origin"].to_list() == ["EWR", "LGA", None]
    assert back["distance_km"].to_list() == [1.5, None, 3.0]
    strange = found.matrix(pl.DataFrame({"origin": ["JFK"], "distance_km": [math.nan]}))
    assert decoded(found, strange, ["origin"]).rows() == [(UNKNOWN_LEVEL,)]
    assert decoded(found, strange)["distance_km"].null_count() == 1


def test_vectors_of_another_set_are_refused() -> None:
    with pytest.raises(FeatureError, match="have 2 values"):
        decoded(fitted(), np.zeros((4, 3)))


def test_probabilities_are_spread_over_their_own_scale() -> None:
    random = np.random.default_rng(3)
    then, now = random.beta(2, 6, 5_000), random.beta(6, 2, 400)
    found = histogram(scores(then.tolist()), now)
    assert (found.height, found["low"][0], found["high"][-1]) == (BINS, 0.0, 1.0)
    assert found["served"].sum() == pytest.approx(1.0)
    assert found["reference"].sum() == pytest.approx(1.0)
    exact = np.histogram(then, np.linspace(0, 1, BINS + 1))[0] / len(then)
    assert np.abs(found["reference"].to_numpy() - exact).max() <= 0.0101
    assert found.sort("served")["low"][-1] > 0.5 > found.sort("reference")["low"][-1]


def test_one_strange_number_flattens_nothing_and_constants_have_a_bin() -> None:
    values = [float(n % 50) for n in range(1_000)]
    found = histogram(scores(values), np.array([*values, 1e9]))
    assert found["high"][-1] < 100.0
    assert found["served"].sum() == pytest.approx(1.0)
    same = histogram(scores([0.25] * 10), np.full(5, 0.25))
    assert same.filter(pl.col("served") > 0).select("served", "reference").rows() == [(1.0, 1.0)]
