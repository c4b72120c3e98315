"""What strategies share: drawn orders, parts by shares, checks."""

import polars as pl
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation.splits._draw import by_shares, check_seed, check_whole, drawn

ROWS = pl.DataFrame({"id": range(200), "name": [f"n{i}" for i in range(200)]})


def test_an_order_has_every_row_once_and_depends_on_seed_columns_and_purpose() -> None:
    orders = [
        drawn(ROWS, ["id"], 1),
        drawn(ROWS, ["id"], 2),
        drawn(ROWS, ["id", "name"], 1),
        drawn(ROWS, ["id"], 1, " within"),
    ]
    assert all(sorted(order) == list(range(200)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4


def test_an_order_is_of_the_rows_and_not_of_their_places() -> None:
    turned = ROWS.reverse()
    assert ROWS[drawn(ROWS, ["id"], 1)].equals(turned[drawn(turned, ["id"], 1)])


def test_the_head_of_an_order_tests_and_rows_without_a_place_are_in_no_part() -> None:
    part = by_shares(6, [5, 4, 2, 1], validation=0.25, test=0.25)
    assert part.to_list() == [None, "train", "train", None, "validation", "test"]
    assert by_shares(0, [], 0.2, 0.2).dtype == pl.String


@pytest.mark.parametrize("seed", [2**63, -(2**63), 1.0, False, "1", None])
def test_a_seed_that_is_none_is_refused(seed: int) -> None:
    with pytest.raises(ConfigurationError, match="got seed"):
        check_seed(seed)


def test_bounds_are_told() -> None:
    check_whole("folds", 2, 2, 9)
    with pytest.raises(ConfigurationError, match="got folds 10; allowed: a whole number from 2 to 9"):
        check_whole("folds", 10, 2, 9)
