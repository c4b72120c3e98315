"""Warnings of labels: rates, classes, numbers, and what is told of each."""

from typing import Any

import polars as pl
import pytest

from mlplatform.stages.segregation.uneven_labels import between, constant


def series(labels: list[Any]) -> pl.Series:
    return pl.Series(labels, dtype=None if labels else pl.Float64)


def told(train: list[Any], test: list[Any]) -> list[str]:
    return list(between({"train": series(train), "test": series(test)}))


def test_a_rate_that_moves_by_a_quarter_is_told() -> None:
    assert told([True, False] * 100, [True] * 62 + [False] * 38) == []
    assert told([True, False] * 100, [True] * 63 + [False] * 37) == [
        "label rate of test is 0.630, of train 0.500: the label drifts."
    ]
    assert len(told([0.0, 1.0] * 100, [0.0] * 100)) == len(told([0, 1] * 100, [0] * 100)) == 1


def test_classes_that_move_are_told_with_the_one_that_moves_most() -> None:
    train = ["a"] * 50 + ["b"] * 30 + ["c"] * 20
    assert told(train, ["a"] * 59 + ["b"] * 21 + ["c"] * 20) == []
    assert told(train, ["a"] * 65 + ["b"] * 10 + ["c"] * 25) == [
        "the classes of test differ from train's for 20% of the rows, most 'b' (0.100, of train 0.300)."
    ]


def test_a_class_that_train_has_not_is_told() -> None:
    assert told([1, 2, 3] * 100, [1, 2, 3] * 99 + [4]) == [
        "test has 1 classes that train has not, such as 4: they cannot be learned."
    ]


def test_numbers_whose_mean_moves_are_told() -> None:
    train = [float(i) for i in range(200)]
    assert told(train, [each + 14 for each in train]) == []
    assert told(train, [each + 20 for each in train]) == [
        "labels of test average 119.5, of train 99.5: they are 0.35 standard deviations apart."
    ]


def test_numbers_that_spread_otherwise_are_told() -> None:
    train = [float(i) for i in range(201)]
    said = told(train, [100 + (each - 100) * 2 for each in train])
    assert said == ["60% of the labels of test lie outside 20 to 180, of train's 20%: they spread otherwise."]
    assert told(train, [100.0] * 50) == []


@pytest.mark.parametrize("train", [[], [5.0] * 100])
def test_nothing_is_compared_with_nothing(train: list[float]) -> None:
    assert told(train, [5.0] * 100) == []
    assert told([float(i) for i in range(50)], []) == []


@pytest.mark.parametrize(
    ("labels", "spelled"), [([True, True], "1"), ([2.5], "2.5"), (["a", "a"], "'a'"), ([0, 0], "0")]
)
def test_a_constant_label_is_told(labels: list[Any], spelled: str) -> None:
    said = f"train has the constant label {spelled}: nothing can be learned or measured."
    assert list(constant("train", pl.Series(labels))) == [said]
    assert list(constant("train", pl.Series(labels[:0]))) == []
    assert list(constant("train", pl.Series([1, 2]))) == []
