"""Segregation: identity, refusals, warnings, and strategies from outside."""

import sys
from types import ModuleType

import polars as pl
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation.dataset import Split, segregate


def frame(rows: int = 400) -> pl.DataFrame:
    """Four blocks of equal size; the last has twice the late share of the first."""
    month = [1 + i * 4 // rows for i in range(rows)]
    late = [float(i % 10 < (2 if month[i] < 4 else 4)) for i in range(rows)]
    return pl.DataFrame({"id": range(rows), "day": [f"2013-{m:02}-01" for m in month], "late": late})


def by_time(rows: pl.DataFrame, **options: object) -> Split:
    chosen = {"time": "day", "as_of": "2013-03-01", "validation": "1mo", "test": "1mo"} | options
    return segregate(rows, strategy="by_time", options=chosen, keys=["id"], label="late")


def test_the_id_names_strategy_options_and_rows() -> None:
    ids = {
        by_time(frame()).id,
        by_time(frame(), test="28d").id,
        by_time(frame().with_columns(pl.col("id") + 1)).id,
        by_time(frame().with_columns(late=pl.when(pl.col("id") != 3).then("late"))).id,
        segregate(frame(), strategy="random", options={}, keys=["id"], label="late").id,
    }
    assert len(ids) == 5
    assert all(len(each) == 64 for each in ids)


def test_the_id_does_not_depend_on_the_order_of_options() -> None:
    options = {"time": "day", "as_of": "2013-03-01"}
    turned = dict(reversed(options.items()))
    first, second = (
        segregate(frame(), strategy="by_time", options=each, keys=["id"], label="late")
        for each in (options, turned)
    )
    assert first.id == second.id


def test_a_label_rate_that_moves_is_a_warning() -> None:
    assert by_time(frame()).warnings == ("label rate of test is 0.400, of train 0.200: the label drifts.",)


def test_small_empty_and_constant_parts_are_warnings() -> None:
    few = by_time(frame(40), test="1d", validation="1d", as_of="2013-04-01").warnings
    assert "train has only 30 rows: its figures will be noise." in few
    assert "test is empty." in few
    constant = by_time(frame().with_columns(late=pl.lit(True))).warnings
    assert sum("constant label 1" in warning for warning in constant) == 3


def test_a_repeated_key_is_refused() -> None:
    twice = pl.concat([frame(), frame().head(3)])
    with pytest.raises(ConfigurationError, match="3 of 403 rows repeat a key"):
        by_time(twice)


@pytest.mark.parametrize(("keys", "label"), [(["id", "x"], "late"), (["id"], "x"), ([], "late")])
def test_columns_that_are_not_there_are_refused(keys: list[str], label: str) -> None:
    with pytest.raises(ConfigurationError, match="the frame has: id, day, late"):
        segregate(frame(), strategy="random", options={}, keys=keys, label=label)


def test_an_unknown_strategy_is_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigurationError, match="by_group, by_time, k_fold, random") as caught:
        segregate(frame(), strategy="by_tim", options={}, keys=["id"], label="late")
    assert "by_time" in caught.value.hint


def test_an_option_that_is_missing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="as_of"):
        segregate(frame(), strategy="by_time", options={"time": "day"}, keys=["id"], label="late")


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A strategy of somebody else, reached by a dotted path."""
    package, module = ModuleType("elsewhere"), ModuleType("elsewhere.halves")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "elsewhere", package)
    monkeypatch.setitem(sys.modules, "elsewhere.halves", module)
    return module


def test_a_strategy_from_outside_is_used(outside: ModuleType) -> None:
    outside.split = lambda frame: frame.select(  # type: ignore[attr-defined]
        pl.when(pl.col("id") < 200).then(pl.lit("train")).otherwise(pl.lit("test"))
    ).to_series()
    result = segregate(frame(), strategy="elsewhere.halves", options={}, keys=["id"], label="late")
    assert result.counts() == {"train": 200, "validation": 0, "test": 200}


@pytest.mark.parametrize("answer", [["train"] * 399, ["train"] * 399 + ["holdout"]])
def test_a_strategy_that_breaks_the_contract_is_refused(outside: ModuleType, answer: list[str]) -> None:
    outside.split = lambda frame: pl.Series(answer)  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="400 of train, validation, test"):
        segregate(frame(), strategy="elsewhere.halves", options={}, keys=["id"], label="late")
