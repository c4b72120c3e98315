"""Target rates in the executors: the same key in batch and online, and so the same number."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.features import Category, FeatureSet, Spine, TargetRate, col
from mlplatform.stages.preparation.batch import compute
from mlplatform.stages.preparation.declarations import described
from mlplatform.stages.preparation.fitted import fit
from mlplatform.stages.preparation.online import OnlineFeatures

ASKED = datetime(2025, 1, 1, tzinfo=UTC)
SET = FeatureSet(
    "orders",
    Spine("orders", ("n",), {"n": "int", "shop": "string", "asked": "time"}, as_of=col("asked").minus("0m")),
    [TargetRate("n"), Category("shop"), TargetRate(("shop", "n"), weight=1.5)],
)
SCHEMA = {"n": pl.Int32, "shop": pl.String, "asked": pl.Datetime("us", "UTC")}

Facts = tuple[int | None, str | None]


def batch(*rows: Facts) -> pl.DataFrame:
    spine = pl.DataFrame([(*row, ASKED) for row in rows], schema=SCHEMA, orient="row")
    return compute(SET, spine, {}).select(SET.names)


def online(*rows: Facts) -> list[list[Any]]:
    features = OnlineFeatures(SET)
    asked = int(ASKED.timestamp()) * 1_000_000
    return [features.vector({"n": n, "shop": shop, "asked": asked}) for n, shop in rows]


def test_the_key_is_the_values_as_one_text() -> None:
    rows: list[Facts] = [(1, "a"), (None, "a"), (-7, None), (0, "")]
    expected = [["1", "a", "a\x1f1"], [None, "a", None], ["-7", None, None], ["0", "", "\x1f0"]]
    assert online(*rows) == expected
    assert [list(row) for row in batch(*rows).iter_rows()] == expected


TRAINING: list[Facts] = [(1, "a"), (1, "b"), (2, "a"), (None, "a"), (2, None), (1, "a")]
FITTED = fit(SET, batch(*TRAINING), pl.Series([True, False, True, False, True, True]))
_rows = st.tuples(
    st.none() | st.sampled_from([1, 2, 3]) | st.integers(-(2**31), 2**31 - 1), st.none() | st.text(max_size=2)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_rows, min_size=1, max_size=5))
def test_batch_and_online_get_the_same_bits(rows: list[Facts]) -> None:
    encode = FITTED.encoder()
    lines = [np.array(encode(vector)).tobytes() for vector in online(*rows)]
    assert [line.tobytes() for line in FITTED.matrix(batch(*rows))] == lines


def test_names_and_words_say_what_it_is() -> None:
    assert SET.names == ("target_rate_by_n", "shop", "target_rate_by_shop_n")
    assert SET.target_rates == ("target_rate_by_n", "target_rate_by_shop_n")
    assert SET.categories == ("shop",)
    assert FeatureSet.from_json(SET.to_json()) == SET
    said = described(SET.features[2])
    assert said == "rate of the label among training rows of the same shop, n, weight 1.5"
    assert FITTED.rates["target_rate_by_n"].by_key["1"] == (2 + 20 * (4 / 6)) / (3 + 20)
