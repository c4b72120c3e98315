"""What every split strategy must hold, run over each one that is found."""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlplatform import plugins
from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation import splits, strategies
from mlplatform.stages.segregation.dataset import PARTS, Split, segregate
from mlplatform.stages.segregation.segregated import divide

OPTIONS: dict[str, dict[str, Any]] = {
    "by_group": {"group": "tail", "seed": 7, "validation": 0.2, "test": 0.1},
    "by_time": {"time": "partition_key", "as_of": "2013-04-11", "validation": "20d", "test": "1mo"},
    "k_fold": {"folds": 4, "fold": 1, "seed": 7, "test": 0.1},
    "random": {"seed": 7, "validation": 0.2, "test": 0.1},
    "rolling_origin": {
        "time": "partition_key",
        "as_of": "2013-05-11",
        "folds": 3,
        "fold": 1,
        "validation": "20d",
        "test": "1mo",
    },
    "sequential": {"time": "partition_key", "validation": 0.2, "test": 0.1},
    "stratified": {"seed": 7, "validation": 0.2, "test": 0.1},
}
"""Options for each strategy on the frame below; a new strategy adds its line here."""

LOOKS_AT_LABELS = {"stratified"}
LEAVES_OUT = {
    "by_group": pl.col("tail").is_null(),
    "by_time": pl.col("partition_key").is_null() | (pl.col("partition_key") >= "2013-06-01"),
    "rolling_origin": pl.col("partition_key").is_null() | (pl.col("partition_key") >= "2013-06-11"),
    "sequential": pl.col("partition_key").is_null(),
}
"""Rows that by a strategy's documentation belong to no part, with the options above; by others none."""

KEYS = ["carrier", "flight"]
WRONG: list[object] = [{"no": "such"}, "", True]
"""Values that no option of any strategy can have."""
SMALL = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def frame(rows: int = 2000) -> pl.DataFrame:
    start = date(2013, 1, 1)
    return pl.DataFrame(
        {
            "carrier": [("AA", "B6", "UA")[i % 3] for i in range(rows)],
            "flight": list(range(rows)),
            "partition_key": [str(start + timedelta(days=i * 365 // (2 * rows))) for i in range(rows)],
            "tail": [f"N{i * 7 % 60}" for i in range(rows)],
            "late": [None if i % 50 == 0 else float(i % 4 == 0) for i in range(rows)],
        }
    )


DAYS = st.one_of(st.none(), st.dates(date(2013, 1, 1), date(2013, 7, 31)).map(str))
ROW = st.tuples(st.integers(0, 10**6), DAYS, st.sampled_from([None, "N1", "N2", "N3", "N4"]))
LABELS = st.sampled_from([None, 0.0, 1.0, 2.5, float("nan")])


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    """Few rows, none at all too, in any order; times, groups and labels may be missing or all the same."""
    rows = draw(st.lists(st.tuples(ROW, LABELS), max_size=40, unique_by=lambda row: row[0][0]))
    return pl.DataFrame(
        [("AA", *row, label) for row, label in rows], schema=dict(frame(2).schema), orient="row"
    )


@pytest.fixture(params=plugins.names(splits))
def strategy(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    assert name in OPTIONS, f"add options for the split {name!r} to OPTIONS of this suite"
    return name


def split(strategy: str, rows: pl.DataFrame, label: str | None = "late", **more: Any) -> Split:
    return segregate(rows, strategy=strategy, options=OPTIONS[strategy] | more, keys=KEYS, label=label)


def parts_by_key(result: Split) -> dict[tuple[object, ...], str | None]:
    return {(row["carrier"], row["flight"]): row["part"] for row in result.parts.iter_rows(named=True)}


def own_options(strategy: str) -> list[str]:
    return [name for name in strategies.find(strategy).takes if name not in ("keys", "label")]


def test_every_part_has_rows_and_no_row_has_two(strategy: str) -> None:
    result = split(strategy, frame())
    assert all(result.counts()[part] > 100 for part in PARTS)
    assert result.parts.select(KEYS).is_unique().all()


def test_nothing_is_lost_and_rows_keep_their_places(strategy: str) -> None:
    rows = frame()
    result = split(strategy, rows)
    assert result.parts.select(KEYS).equals(rows.select(KEYS))
    assert set(result.parts["part"].unique()) <= {*PARTS, None}


def test_rows_without_a_label_are_in_no_part_and_counted(strategy: str) -> None:
    rows = frame()
    result = split(strategy, rows)
    assert result.unlabelled == 40
    assert result.parts.filter(rows["late"].is_null())["part"].is_null().all()


def test_the_same_rows_give_the_same_split(strategy: str) -> None:
    first, second = split(strategy, frame()), split(strategy, frame())
    assert first.id == second.id
    assert first.parts.equals(second.parts)


def test_the_order_of_the_rows_does_not_matter(strategy: str) -> None:
    shuffled = frame().sample(fraction=1.0, shuffle=True, seed=3)
    first, second = split(strategy, frame()), split(strategy, shuffled)
    assert first.id == second.id
    assert parts_by_key(first) == parts_by_key(second)
    assert first.warnings == second.warnings


def test_other_rows_are_another_split(strategy: str) -> None:
    assert split(strategy, frame()).id != split(strategy, frame().head(1999)).id


def test_another_seed_is_another_split(strategy: str) -> None:
    if "seed" not in own_options(strategy):
        with pytest.raises(ConfigurationError, match="seed"):
            split(strategy, frame(), seed=8)
        return
    first, second = split(strategy, frame(), seed=7), split(strategy, frame(), seed=8)
    assert first.id != second.id
    assert not first.parts.equals(second.parts)


def test_the_label_does_not_decide_the_part(strategy: str) -> None:
    turned = frame().with_columns(late=1 - pl.col("late"))
    if strategy not in LOOKS_AT_LABELS:
        assert split(strategy, turned).parts.equals(split(strategy, frame()).parts)


def test_an_unknown_option_is_refused(strategy: str) -> None:
    with pytest.raises(ConfigurationError, match="colour") as caught:
        split(strategy, frame(), colour="red")
    assert all(name in str(caught.value) for name in own_options(strategy))


def test_a_wrong_value_of_any_option_is_refused(strategy: str) -> None:
    for option in own_options(strategy):
        for value in WRONG:
            with pytest.raises(ConfigurationError, match="got"):
                split(strategy, frame(), **{option: value})


def test_an_empty_frame_gives_empty_parts_and_says_so(strategy: str) -> None:
    result = split(strategy, frame().clear())
    assert result.counts() == dict.fromkeys(PARTS, 0)
    assert len(result.warnings) == 3


def test_without_labels_every_row_takes_part(strategy: str) -> None:
    more = {"by": "carrier"} if strategy in LOOKS_AT_LABELS else {}
    rows = frame()
    result = split(strategy, rows, None, **more)
    left_out = rows.select(LEAVES_OUT.get(strategy, pl.lit(False)).alias("out")).to_series()
    assert result.unlabelled == 0
    assert result.parts["part"].is_null().any() == left_out.any()


def test_shuffled_parts_have_the_same_rows_in_an_order_of_their_own(strategy: str) -> None:
    plain, shuffled, again = (
        divide(rows, strategy=strategy, options=OPTIONS[strategy] | more, keys=KEYS, label="late")
        for rows, more in (
            (frame(), {}),
            (frame(), {"shuffle_within": True}),
            (frame().reverse(), {"shuffle_within": True}),
        )
    )
    assert plain.id != shuffled.id == again.id
    for part in PARTS:
        before, after = plain.part(part), shuffled.part(part)
        assert not before.equals(after)
        assert before.equals(after.sort("flight"))
        assert after.equals(again.part(part))


@SMALL
@given(rows=frames())
def test_each_labelled_row_is_in_exactly_one_part_or_left_out_for_a_reason(
    strategy: str, rows: pl.DataFrame
) -> None:
    divided = divide(rows, strategy=strategy, options=OPTIONS[strategy], keys=KEYS, label="late")
    found = pl.concat([divided.part(part) for part in PARTS])
    assert found.select(KEYS).is_unique().all()
    labelled = rows.filter(pl.col("late").is_not_nan())
    missing = labelled.join(found, on=KEYS, how="anti")
    assert found.height + missing.height == labelled.height
    if strategy in LEAVES_OUT:
        assert missing.filter(~LEAVES_OUT[strategy]).is_empty()
    else:
        assert missing.is_empty()
    assert divided.split.unlabelled == rows.height - labelled.height
    assert divided.rows().height == found.height


@SMALL
@given(rows=frames(), seed=st.integers(0, 2**32))
def test_any_rows_in_any_order_give_one_split(strategy: str, rows: pl.DataFrame, seed: int) -> None:
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=seed)
    first, second = split(strategy, rows), split(strategy, shuffled)
    assert (first.id, first.warnings) == (second.id, second.warnings)
    assert parts_by_key(first) == parts_by_key(second)
