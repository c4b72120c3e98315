"""Drift figures against hand-computed values and scipy, and what they must be for any data."""

import math

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from mlplatform.errors import FeatureError
from mlplatform.stages.monitoring.drift import Drift, compare, drift, jensen_shannon, picture, psi
from mlplatform.stages.monitoring.profiles import (
    NumberProfile,
    Profile,
    bin_counts,
    present,
    profile,
    slice_means,
)

RANDOM = np.random.default_rng(11)
counts = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=12).filter(
    lambda pairs: sum(a for a, _ in pairs) > 0 and sum(b for _, b in pairs) > 0
)


def one(reference: object, current: object, kind: str = "numerical") -> Drift:
    names = {"numerical": [], "categorical": [], kind: ["x"]}
    return compare(pl.DataFrame({"x": reference}), pl.DataFrame({"x": current}), **names)[0]


def number_profile(values: object) -> NumberProfile:
    (found,) = profile(pl.DataFrame({"x": values}), numerical=["x"], categorical=[])
    assert isinstance(found, NumberProfile)
    return found


def test_psi_by_hand() -> None:
    # Shares with half a row per bin: (10.5, 20.5)/31 and (20.5, 10.5)/31.
    expected = 2 * (10 / 31) * math.log(20.5 / 10.5)
    assert psi(np.array([10, 20]), np.array([20, 10])) == pytest.approx(expected, abs=1e-15)


def test_bins_empty_on_both_sides_change_nothing() -> None:
    a, b = np.array([10, 20]), np.array([20, 10])
    assert psi(np.append(a, 0), np.append(b, 0)) == psi(a, b)


def test_psi_of_an_empty_bin_is_finite_and_large() -> None:
    assert 5 < psi(np.array([1000, 0]), np.array([0, 1000])) < 20


def test_jensen_shannon_by_hand() -> None:
    # Shares (1, 0) and (1/2, 1/2), middle (3/4, 1/4): root of (log2(4/3) + (log2(2/3) + log2(2)) / 2) / 2.
    expected = math.sqrt((math.log2(4 / 3) + (math.log2(2 / 3) + 1) / 2) / 2)
    assert jensen_shannon(np.array([4, 0]), np.array([3, 3])) == pytest.approx(expected, abs=1e-15)
    assert jensen_shannon(np.array([4, 0]), np.array([0, 3])) == 1.0


@given(counts)
def test_distances_are_symmetric_not_negative_and_agree_with_scipy(pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array(column) for column in zip(*pairs, strict=True))
    assert psi(a, b) >= 0.0
    assert psi(a, b) == pytest.approx(psi(b, a), abs=1e-12)
    assert psi(a, a) == 0.0
    # scipy's root of a rounding error is about 1e-8 where ours is 0.
    assert jensen_shannon(a, b) == pytest.approx(float(jensenshannon(a, b, base=2)), abs=1e-7)


def test_reference_bins_are_tenths() -> None:
    found = number_profile(np.arange(1.0, 101.0))
    assert found.edges[1:] == (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0)
    assert found.counts == (0, *[10] * 10, 0)


def test_ties_share_a_bin_and_edges_are_each_there_once() -> None:
    found = number_profile([0.0] * 95 + [1.0] * 5)
    assert found.edges == (np.nextafter(0.0, -1.0), 0.0, 1.0)
    assert found.counts == (0, 95, 5, 0)


def test_bin_counts_by_hand() -> None:
    assert bin_counts(np.array([-1.0, 0.0, 0.5, 1.0, 2.0]), [0.0, 1.0]).tolist() == [2, 2, 1]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=700))
def test_slice_means_keep_order_and_mean(values: list[float]) -> None:
    ordered = np.sort(np.array(values))
    means = slice_means(ordered)
    assert len(means) == 200
    assert np.all(np.diff(means) >= -1e-4)
    assert means.mean() == pytest.approx(ordered.mean(), abs=1e-4)


@pytest.mark.parametrize(("rows", "shift"), [(301, 0.5), (1000, 2.0), (1234, 0.01)])
def test_wasserstein_of_a_shift_is_the_shift_in_standard_deviations(rows: int, shift: float) -> None:
    values = RANDOM.exponential(3.0, rows)
    found = one(values, values + shift)
    assert found.wasserstein == pytest.approx(shift / values.std(), rel=1e-9)


def test_wasserstein_is_near_scipys_and_never_above() -> None:
    a, b = RANDOM.lognormal(0, 1, 20_000), RANDOM.lognormal(0.1, 1.2, 5_000)
    exact = wasserstein_distance(a, b) / a.std()
    found = one(a, b).wasserstein
    assert found is not None
    assert exact * 0.98 < found <= exact * (1 + 1e-9)


def test_same_frame_has_no_drift() -> None:
    values = [*RANDOM.normal(0, 1, 500), math.nan, None]
    found = one(values, values)
    assert (found.psi, found.wasserstein) == (0.0, 0.0)
    assert found.missing_reference == found.missing_current == pytest.approx(2 / 502)


def test_more_missing_values_are_drift_of_the_psi_not_of_the_values() -> None:
    values = RANDOM.normal(0, 1, 1000)
    holed = values.copy()
    holed[::2] = math.nan
    found = one(values, holed)
    assert found.missing_current == 0.5
    assert found.psi is not None
    assert found.psi > 0.5
    assert found.wasserstein is not None
    assert found.wasserstein < 0.1


def test_a_feature_that_vanishes_stands_out() -> None:
    found = one(RANDOM.normal(0, 1, 1000), [None] * 1000)
    assert found.missing_current == 1.0
    assert found.wasserstein is None
    assert found.psi is not None
    assert found.psi > 5


@pytest.mark.parametrize("moved", [0.3 - 1e-9, 0.3 + 1e-9, 5.0, -5.0])
def test_a_constant_that_moves_is_seen(moved: float) -> None:
    found = one([0.3] * 1000, [moved] * 1000)
    assert found.psi is not None
    assert found.psi > 5
    assert found.wasserstein is None


def test_too_few_rows_have_shares_but_no_distances() -> None:
    found = one([1.0] * 500, [2.0] * 299)
    assert (found.psi, found.wasserstein, found.rows_current) == (None, None, 299)
    assert one(["a"] * 299, ["b"] * 500, "categorical").jensen_shannon is None
    assert one([], [], "numerical").missing_current == 0.0


def test_rare_levels_are_one_group_and_new_ones_another() -> None:
    rare = [f"rare-{i}" for i in range(4)]
    reference = ["a"] * 600 + ["b"] * 396 + rare
    assert one(reference, ["a"] * 600 + ["b"] * 396 + [rare[0]] * 4, "categorical").jensen_shannon == 0.0
    new = one(reference, ["a"] * 600 + ["b"] * 396 + ["new"] * 4, "categorical")
    expected = jensen_shannon(np.array([600, 396, 4, 0]), np.array([600, 396, 0, 4]))
    assert new.jensen_shannon == pytest.approx(expected, abs=1e-12)


def test_categories_of_other_types_are_compared_by_their_text() -> None:
    whole = one([1, 2, None] * 400, [1, 2, None] * 200, "categorical")
    assert (whole.psi, whole.jensen_shannon) == (pytest.approx(0.0, abs=1e-4), 0.0)
    assert whole.missing_reference == pytest.approx(1 / 3)
    assert one([True, False] * 200, ["true", "false"] * 200, "categorical").jensen_shannon == 0.0


def test_profiles_survive_json_and_give_the_same_drift() -> None:
    frame = pl.DataFrame({"x": RANDOM.normal(0, 1, 999), "c": RANDOM.choice(["a", "b"], 999)})
    profiles = profile(frame, numerical=["x"], categorical=["c"])
    stored = msgspec.json.decode(msgspec.json.encode(profiles), type=tuple[Profile, ...])
    assert stored == profiles
    assert drift(stored, frame[:500]) == drift(profiles, frame[:500])


def test_refusals_name_the_column() -> None:
    frame = pl.DataFrame({"x": [1.0, math.inf], "t": ["a", "b"]})
    with pytest.raises(FeatureError, match="no column 'y'; the frame has x, t"):
        profile(frame, numerical=["y"], categorical=[])
    with pytest.raises(FeatureError, match="'x' holds an infinite value"):
        present(frame, "x")
    with pytest.raises(FeatureError, match="'t' is of type String"):
        present(frame, "t")


def test_picture_has_the_largest_first_and_leaves_out_the_unknown() -> None:
    drifts = [
        Drift(
            feature=f"f{i:02}",
            kind="number",
            rows_reference=1000,
            rows_current=1000,
            missing_reference=0.0,
            missing_current=0.0,
            psi=None if i == 0 else i / 100,
        )
        for i in range(30)
    ]
    bars = picture(drifts).bars
    assert [bar.label for bar in bars] == [f"f{i:02}" for i in range(29, 9, -1)]
    assert bars[0].text == "0.290"
