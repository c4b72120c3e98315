"""What every selector must hold, run over each one that is found."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from mlplatform import plugins
from mlplatform.errors import ConfigurationError
from mlplatform.features import Category, FeatureSet, Row, Spine, col
from mlplatform.stages.preparation import selectors
from mlplatform.stages.preparation.fitted import fit
from mlplatform.stages.preparation.selection import check, select

Floats = npt.NDArray[np.float64]

OPTIONS: dict[str, dict[str, object]] = {
    "chi_squared": {},
    "keep": {"names": ["strong", "noise", "letter"]},
    "lightgbm_gain": {"num_iterations": 30, "num_threads": 1},
    "mutual_information": {},
}
"""Options for each selector on the features below; a new selector adds its line here."""

NAMES = ("noise", "constant", "strong", "letter", "absent", "noise_too", "gaps", "noisy_letter")
CATEGORIES = {"letter": 4, "noisy_letter": 4}


def labels(rows: int = 2000) -> Floats:
    return (np.random.default_rng(5).random(rows) < 0.3).astype(np.float64)


def matrix(rows: int = 2000) -> Floats:
    """Noise, and the label in `strong`, `letter` (codes, unknown, missing) and `gaps` (by absence)."""
    random, y = np.random.default_rng(6), labels(rows)
    X = random.normal(size=(rows, len(NAMES)))
    X[:, 0][random.random(rows) < 0.2] = np.nan
    X[:, 1] = 3.5
    X[:, 2] = y + 0.3 * X[:, 2]
    X[:, 3] = np.where(random.random(rows) < 0.7, 2 * y, random.integers(-2, 4, rows))
    X[:, 4] = np.nan
    X[:, 6][random.random(rows) < 0.2 + 0.5 * y] = np.nan
    X[:, 7] = random.integers(-2, 4, rows)
    return X


Rank = Callable[[Floats, Floats], Floats]


@pytest.fixture(params=plugins.names(selectors))
def strategy(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    assert name in OPTIONS, f"add options for the selector {name!r} to OPTIONS of this suite"
    return name


@pytest.fixture
def rank(strategy: str) -> Rank:
    found = plugins.find(selectors, strategy).rank
    return lambda X, y: found(X, y, NAMES, CATEGORIES, **OPTIONS[strategy])


def test_a_score_for_every_feature_and_never_nan(rank: Rank) -> None:
    scores = rank(matrix(), labels())
    assert scores.dtype == np.float64
    assert scores.shape == (len(NAMES),)
    assert not np.isnan(scores).any()


def test_the_same_rows_give_the_same_bits(rank: Rank) -> None:
    assert rank(matrix(), labels()).tobytes() == rank(matrix(), labels()).tobytes()


def test_the_input_is_left_as_it_was(rank: Rank) -> None:
    X, y = matrix(), labels()
    rank(X, y)
    assert (X.tobytes(), y.tobytes()) == (matrix().tobytes(), labels().tobytes())


def test_what_tells_the_label_ranks_above_noise(strategy: str, rank: Rank) -> None:
    scores = dict(zip(NAMES, rank(matrix(), labels()), strict=True))
    noise = max(scores["noise"], scores["noise_too"], scores["noisy_letter"])
    if strategy == "keep":
        assert [name for name in NAMES if scores[name] > 0] == ["noise", "strong", "letter"]
        return
    assert scores["strong"] > 2 * noise
    assert scores["letter"] > noise
    assert scores["gaps"] > noise


def test_a_constant_tells_nothing(rank: Rank) -> None:
    scores = dict(zip(NAMES, rank(matrix(), labels()), strict=True))
    assert scores["constant"] == scores["absent"] == min(scores.values()) == 0


@pytest.mark.parametrize("rows", [2, 3, 60])
def test_few_rows_are_enough(rank: Rank, rows: int) -> None:
    y = np.arange(rows) % 2.0
    assert not np.isnan(rank(matrix()[:rows].copy(), y)).any()


SET = FeatureSet(
    "orders",
    Spine("orders", ("n",), {"n": "int", "letter": "string", "asked": "time"}, col("asked").minus("0m")),
    [Category("letter"), Row("noise", col("n") * 1), Row("strong", col("n") * 1)],
)


@pytest.mark.parametrize("label", [[], [1, 1, 1], [0, 0], [1, None, 0], [1, 2]])
def test_labels_it_cannot_learn_from_are_refused(strategy: str, label: list[int | None]) -> None:
    rows = len(label)
    values = {"letter": ["a"] * rows, "noise": [1] * rows, "strong": list(range(rows))}
    frame = pl.DataFrame(values, schema={"letter": pl.String, "noise": pl.Int64, "strong": pl.Int64})
    y = pl.Series("label", label, dtype=pl.Int64)
    with pytest.raises(ConfigurationError, match="label") as caught:
        select(fit(SET, frame), frame, y, strategy=strategy, options=OPTIONS[strategy])
    assert caught.value.hint


def test_an_unknown_option_is_refused_without_data(strategy: str) -> None:
    check(SET, strategy, OPTIONS[strategy])
    with pytest.raises(ConfigurationError, match=r"colour.*allowed: most, at_least") as caught:
        check(SET, strategy, OPTIONS[strategy] | {"colour": "red"})
    assert caught.value.hint
