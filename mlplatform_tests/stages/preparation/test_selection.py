"""Selection: how many features stay, how ties go, what is refused; figures of the statistics."""

import math

import numpy as np
import polars as pl
import pytest
from sklearn.feature_selection import chi2
from sklearn.metrics import mutual_info_score

from mlplatform.errors import ConfigurationError
from mlplatform.features import Category, FeatureSet, Row, Spine, TargetRate, col
from mlplatform.stages.preparation.fitted import fit
from mlplatform.stages.preparation.selection import Selection, check, select
from mlplatform.stages.preparation.selectors import chi_squared, mutual_information
from mlplatform.stages.preparation.selectors._bins import bins

OWN = "mlplatform_tests.stages.preparation.own_selector"
SPINE = Spine("orders", ("n",), {"n": "int", "shop": "string", "asked": "time"}, col("asked").minus("0m"))
SET = FeatureSet(
    "orders", SPINE, [Row("a", col("n") * 1), Category("shop"), Row("twin", col("n") * 2), Row("b", col("n"))]
)
ROWS, LABEL = 200, pl.Series("label", [n % 2 == 1 for n in range(200)])
TRAINING = pl.DataFrame(
    {
        "a": [n % 2 for n in range(ROWS)],
        "shop": [None if n % 7 == 0 else "xyz"[n % 3] for n in range(ROWS)],
        "twin": [n % 2 for n in range(ROWS)],
        "b": [1.5] * ROWS,
    }
)


def chosen(strategy: str = "mutual_information", **options: object) -> Selection:
    return select(fit(SET, TRAINING), TRAINING, LABEL, strategy=strategy, options=options)


def test_the_ranking_has_every_feature_the_best_first() -> None:
    found = chosen(most=2)
    assert found.ranking["feature"].to_list() == ["a", "twin", "shop", "b"]
    assert found.ranking["rank"].to_list() == [1, 2, 3, 4]
    assert found.ranking["selected"].to_list() == [True, True, False, False]
    assert found.ranking["score"].is_sorted(descending=True)
    assert found.ranking["score"][0] == pytest.approx(math.log(2))
    assert (found.names, found.strategy) == (("a", "twin"), "mutual_information")
    assert SET.only(found.names).id != SET.id


def test_of_equal_scores_the_first_declared_is_the_better() -> None:
    assert chosen(most=1).names == ("a",)
    turned = FeatureSet("orders", SPINE, SET.features[::-1])
    found = select(fit(turned, TRAINING), TRAINING, LABEL, strategy="chi_squared", options={"most": 1})
    assert found.names == ("twin",)


def test_names_keep_the_order_declared_whatever_their_rank() -> None:
    assert chosen(OWN, most=2).names == ("twin", "b")
    assert chosen("keep", names=["b", "shop"]).names == ("shop", "b")


def test_without_options_what_tells_nothing_goes() -> None:
    assert chosen().names == ("a", "shop", "twin")
    assert chosen(at_least=0).names == SET.names
    assert chosen(at_least=0.5).names == ("a", "twin")
    assert chosen(at_least=0.5, most=1).names == ("a",)
    assert chosen(most=99).names == ("a", "shop", "twin")


@pytest.mark.parametrize(
    ("strategy", "options", "said"),
    [
        ("mutual", {}, "got selector 'mutual'; allowed: chi_squared, keep, lightgbm_gain, mutual_inform"),
        ("no.such", {}, "no module 'no.such' for selector"),
        ("chi_squared", {"most": 0}, "got most 0; allowed: a whole number from 1 on"),
        ("chi_squared", {"most": 2.5}, "got most 2.5; allowed"),
        ("chi_squared", {"most": True}, "got most True; allowed"),
        ("chi_squared", {"at_least": "much"}, "got at_least 'much'; allowed: a number"),
        ("chi_squared", {"at_least": math.nan}, "got at_least nan; allowed: a number"),
        ("chi_squared", {"at_leats": 1}, r"got options \['at_leats'\].*; allowed: most, at_least\."),
        ("keep", {}, "got options .*; allowed: most, at_least, names"),
        ("keep", {"names": ["a", "shopp"]}, r"got names \['shopp'\]; allowed: a, shop, twin, b"),
        ("keep", {"names": "a"}, "got names 'a'; allowed: a list"),
        ("lightgbm_gain", {"num_leaves": 1}, "got num_leaves 1; allowed: a whole number from 2 on"),
        ("lightgbm_gain", {"learning_rate": 0}, "got learning_rate 0; allowed: above 0"),
        (OWN, {"give": "nan"}, "4 of them NaN; allowed: one float64 score for each of 4 features"),
        (OWN, {"give": "few"}, r"of shape \(3,\)"),
    ],
)
def test_a_mistake_is_named_with_data_and_without(
    strategy: str, options: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        chosen(strategy, **options)
    with pytest.raises(ConfigurationError, match=said):
        check(SET, strategy, options)


@pytest.mark.parametrize(
    ("strategy", "options"), [(OWN, {"give": "zeros"}), ("chi_squared", {"at_least": 1e9})]
)
def test_no_feature_left_is_refused(strategy: str, options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="leaves none of 4 features; the best score is") as caught:
        chosen(strategy, **options)
    assert caught.value.hint


def test_a_rate_that_only_repeats_its_own_label_is_not_chosen() -> None:
    """A key per row: fitted in one piece the rate would be the label, out of fold it tells nothing."""
    keyed = FeatureSet("orders", SPINE, [TargetRate("n", weight=0, name="rate"), Row("a", col("n") * 1)])
    rows = TRAINING.with_columns(rate=pl.int_range(ROWS).cast(pl.String))
    fitted = fit(keyed, rows, LABEL)
    assert fitted.matrix(rows)[:, 0].tolist() == LABEL.cast(pl.Float64).to_list()
    found = select(fitted, rows, LABEL, strategy="mutual_information", options={})
    scores = dict(found.ranking.select("feature", "score").iter_rows())
    assert scores["rate"] < 0.01 < scores["a"]


class TestStatistics:
    X = np.random.default_rng(1).normal(size=(500, 1))
    y = (X[:, 0] + np.random.default_rng(2).normal(size=500) > 0).astype(np.float64)

    def test_bins_are_quantiles(self) -> None:
        _, counts = np.unique(bins(self.X[:, 0]), return_counts=True)
        assert counts.tolist() == pytest.approx([50] * 10, abs=1)

    @pytest.mark.parametrize("often", [0.0, 100.0])
    def test_the_rare_values_beside_a_frequent_one_have_a_bin(self, often: float) -> None:
        x = np.array([often] * 950 + list(range(1, 51)), dtype=np.float64)
        assert len(np.unique(bins(x))) > 1

    def test_few_values_and_missing_are_a_bin_each(self) -> None:
        assert bins(np.array([5.0, np.nan, 1, 5, 9])).tolist() == [1, -1, 0, 1, 2]
        assert bins(np.array([np.nan, np.nan])).tolist() == [-1, -1]

    def test_chi_squared_is_that_of_scikit_learn_over_the_bins(self) -> None:
        codes = bins(self.X[:, 0])
        indicators = np.stack([codes == code for code in np.unique(codes)], axis=1).astype(float)
        expected = chi2(indicators, self.y)[0].sum()
        assert chi_squared.rank(self.X, self.y, ("x",), {})[0] == pytest.approx(expected)

    def test_mutual_information_is_that_of_scikit_learn(self) -> None:
        expected = mutual_info_score(bins(self.X[:, 0]), self.y)
        assert mutual_information.rank(self.X, self.y, ("x",), {})[0] == pytest.approx(expected)
