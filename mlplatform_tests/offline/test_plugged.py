"""What a declaration tells its split, tried without rows."""

from pathlib import Path

import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.offline import project
from mlplatform.offline.plugged import check_plugins, split_options
from mlplatform_tests.small import world

DECLARED = "strategy: by_time\n    as_of: 2025-04-08\n    options: { validation: 10d, test: 2w }"


def redeclared(folder: Path, strategy: str, options: str) -> Path:
    said = f"strategy: {strategy}\n    as_of: 2025-04-08\n    options: {options}"
    world.edit(folder / "defs.yaml", DECLARED, said)
    return folder


def test_a_strategy_is_told_the_day_if_it_takes_one_and_the_column_of_days(late_orders: Path) -> None:
    declared = project.load(late_orders)
    told = {"time": "partition_key", "as_of": "2025-04-01", "validation": "10d", "test": "2w"}
    assert split_options(declared, "2025-04-01") == told
    assert split_options(declared, "2025-04-01", given={"gap": "1d"}) == told | {"gap": "1d"}
    assert split_options(declared, "2025-04-01", "by_time", {"test": "1d"}) == told | {"test": "1d"}


def test_another_strategy_does_not_get_the_declared_options(late_orders: Path) -> None:
    declared = project.load(late_orders)
    assert split_options(declared, "2025-04-01", "random", {"seed": 1}) == {
        "time": "partition_key",
        "seed": 1,
    }


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("by_group", "{ group: customer, shuffle_within: true }"),
        ("stratified", "{ by: warehouse }"),
        ("sequential", "{ time: placed, group: customer }"),
        ("rolling_origin", "{ fold: 0, validation: 1w, gap: 1d }"),
        ("k_fold", "{ folds: 3, test: 0.2 }"),
    ],
)
def test_every_strategy_may_be_declared(strategy: str, options: str, late_orders: Path) -> None:
    check_plugins(project.load(redeclared(late_orders, strategy, options)))


@pytest.mark.parametrize(
    ("strategy", "options", "said"),
    [
        ("by_group", "{}", "split.options: split 'by_group': got options"),
        ("random", "{ test: 2w }", "split.options: got test '2w'; allowed: a share between 0 and 1"),
        ("sequential", "{ seed: 1 }", r"seed \(with shuffle_within\)"),
    ],
)
def test_a_mistake_is_told_without_rows(strategy: str, options: str, said: str, late_orders: Path) -> None:
    with pytest.raises(ConfigurationError, match=said):
        check_plugins(project.load(redeclared(late_orders, strategy, options)))
