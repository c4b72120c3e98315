"""Drift against past windows: the usual is no drift, however far from the reference; the unusual is named."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from mlplatform.errors import ConfigurationError, FeatureError
from mlplatform.stages.monitoring.drift_null import NullDrift, against_past, cut, summary
from mlplatform.stages.monitoring.profiles import profile

FIRST, DAYS, PER_DAY = date(2013, 1, 1), 365, 60
LAST = date(2013, 12, 31)
NUMBERS, CATEGORIES = ("temperature", "score", "label"), ("airport",)


def year(seed: int = 0) -> pl.DataFrame:
    """Weather that wanders by the day and the season, and scores, labels and airports that do not."""
    random = np.random.default_rng(seed)
    day = np.repeat(np.arange(DAYS), PER_DAY)
    weather = np.repeat(random.normal(0.0, 5.0, DAYS), PER_DAY) - 12.0 * np.cos(2 * np.pi * day / 365)
    return pl.DataFrame(
        {
            "partition_key": [(FIRST + timedelta(days=int(each))).isoformat() for each in day],
            "temperature": weather + random.normal(0.0, 1.0, len(day)),
            "score": random.beta(2, 6, len(day)),
            "label": random.random(len(day)) < 0.25,
            "airport": random.choice(["EWR", "JFK", "LGA"], len(day)),
        }
    )


def judged(rows: pl.DataFrame, **more: object) -> dict[str, NullDrift]:
    reference = rows.filter(pl.col("partition_key") <= "2013-08-31")
    profiles = profile(reference, numerical=NUMBERS, categorical=CATEGORIES)
    current, past = cut(rows, LAST, 14, 20)
    found = against_past(profiles, current, past, **more)  # type: ignore[arg-type]
    return {each.feature: each for each in found}


def test_a_season_is_no_drift_although_it_lies_far_from_the_reference() -> None:
    found = judged(year())
    assert found["temperature"].distance is not None
    assert found["temperature"].distance > 0.25  # "much" by the rule of thumb
    assert {name: each.drifted for name, each in found.items()} == dict.fromkeys(found, False)
    assert summary(list(found.values())).sentence == (
        "none of 4 columns lies further from its reference than past windows did."
    )


def test_what_changed_is_named_the_furthest_first() -> None:
    late = pl.col("partition_key") > "2013-12-17"
    rows = year().with_columns(
        score=pl.when(late).then(pl.col("score") + 0.3).otherwise("score"),
        airport=pl.when(late & (pl.int_range(pl.len()) % 2 == 0)).then(pl.lit("SWF")).otherwise("airport"),
    )
    drifts = list(judged(rows).values())
    told = summary(drifts)
    assert told.drifted
    assert set(told.features) == {"score", "airport"}
    ratios = {each.feature: each.ratio or 0.0 for each in drifts}
    assert ratios[told.features[0]] >= ratios[told.features[1]] > 1.5
    assert told.sentence.startswith("2 of 4 columns lie further from their reference than past windows did: ")
    assert "score (PSI " in told.sentence
    few = summary(drifts, share=0.75)
    assert (few.drifted, few.features) == (False, told.features)
    assert "did, fewer than the 75% that would be drift of the data: " in few.sentence


@pytest.mark.parametrize("measure", ["psi", "wasserstein", "jensen_shannon"])
def test_every_measure_finds_a_shift_and_each_kind_has_its_own(measure: str) -> None:
    late = pl.col("partition_key") > "2013-12-17"
    rows = year().with_columns(score=pl.when(late).then(pl.col("score") + 0.3).otherwise("score"))
    found = judged(rows, measure=measure)
    assert found["score"].drifted
    assert found["score"].measure == ("psi" if measure == "jensen_shannon" else measure)
    assert found["airport"].measure == ("psi" if measure == "wasserstein" else measure)
    assert not found["airport"].drifted


def test_false_alarms_are_rare() -> None:
    """Ten years without a change, four columns each."""
    drifted = [each.feature for seed in range(10) for each in judged(year(seed)).values() if each.drifted]
    assert len(drifted) <= 1


def test_too_short_a_past_says_nothing() -> None:
    rows = year().filter(pl.col("partition_key") > "2013-09-25")  # seven windows
    reference = profile(year(1), numerical=NUMBERS, categorical=CATEGORIES)
    current, past = cut(rows, LAST, 14, 20)
    found = against_past(reference, current, past[:6])
    assert {each.drifted for each in found} == {None}
    assert found[0].windows == 6
    assert found[0].null_high is not None
    told = summary(found)
    assert told.drifted is None
    assert told.sentence == "nothing is said of drift: 6 past windows of enough rows, 8 are needed."


def test_windows_are_of_equal_length_and_do_not_overlap() -> None:
    rows = year()
    current, past = cut(rows, LAST, 7, 3)
    assert [frame["partition_key"].n_unique() for frame in (current, *past)] == [7, 7, 7, 7]
    assert current["partition_key"].min() == "2013-12-25"
    assert past[0]["partition_key"].max() == "2013-12-24"
    assert past[2]["partition_key"].min() == "2013-12-04"
    dated = rows.with_columns(pl.col("partition_key").str.to_date())
    assert cut(dated, LAST, 7, 3)[0].height == current.height
    assert cut(rows, date(2015, 1, 1), 7, 3)[0].height == 0


def test_what_cannot_be_cut_is_refused() -> None:
    for days in (6, 29):
        with pytest.raises(ConfigurationError, match=f"windows of {days} days"):
            cut(year(), LAST, days, 3)
    with pytest.raises(FeatureError, match="no column 'day'"):
        cut(year(), LAST, 7, 3, by="day")
