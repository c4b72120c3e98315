"""The leakage check: it finds what was known too late, and nothing where nothing is."""

# ruff: noqa: E501  (a table of leaks, a line each)

from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.offline import leakage, project
from mlplatform.offline.assets.preparation import feature_inputs
from mlplatform.offline.declare import declare
from mlplatform.offline.declared import Declared
from mlplatform.offline.features_file import import_file
from mlplatform.stages.preparation.batch import compute
from mlplatform_tests.small import world

PLANTED = {
    "an outcome by the clock of the question": ('Last(delivered, "warehouse", "days_late", "7d")', 'Last(placed, "warehouse", "days_late", "7d")', "days_late_last_by_warehouse"),
    "an aggregate by an earlier clock": ('Agg(delivered, "warehouse", "mean", "3d", "late")', 'Agg(shipped, "warehouse", "mean", "3d", "late")', "late_mean_3d_by_warehouse"),
    "a key that says what comes": ('Agg(placed, "warehouse", "count", "1d")', 'Agg(placed, "hours_to_ship", "count", "1d", name="x"),\n        Row("y", col("x"))', None),
}  # fmt: skip


@pytest.fixture
def declared(tmp_path: Path) -> Declared:
    return project.load(world.make_use_case(tmp_path, short=True))


def tables_of(declared: Declared) -> dict[str, pl.DataFrame]:
    """The cleaned tables with the columns that features read, as the asset reads them."""
    days = declared.days()
    with closing(world.cleaned_lake(declared)) as lake:
        return feature_inputs(declared, lake, days[0], days[-1])[1]


def unchecked(declared: Declared) -> Declared:
    """The declaration as its file says now, without what `declare` would refuse."""
    module = import_file(declared.file, "unchecked_features")
    return Declared(declared.name, declared.folder, declared.config, module)


def looked(declared: Declared) -> leakage.Found:
    tables = tables_of(declared)
    return leakage.look(declared, compute(declared.feature_set, tables["orders"], tables), tables)


def test_a_clean_feature_set_sees_nothing(declared: Declared) -> None:
    found = looked(declared)
    assert found.different == []
    assert found.asked == leakage.QUESTIONS
    assert found.cells == leakage.QUESTIONS * len(declared.feature_set.names)


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_leak_is_refused_and_without_that_found(declared: Declared, planted: str) -> None:
    old, new, feature = PLANTED[planted]
    world.edit(declared.file, old, new)
    with pytest.raises(ConfigurationError, match="it would see the future"):
        declare(declared.folder, declared.config)
    if feature:
        found = looked(unchecked(declared))
        assert {cell["feature"] for cell in found.different} == {feature}
        assert all(cell["as_of"].startswith("2025-03-") for cell in found.different)


def test_features_that_were_computed_otherwise_are_found(declared: Declared) -> None:
    tables = tables_of(declared)
    rows = compute(declared.feature_set, tables["orders"], tables)
    wrong = rows.with_columns(pl.col("hours_to_ship_mean_1d_by_warehouse").fill_null(0.0) + 1e-9)
    found = leakage.look(declared, wrong, tables)
    assert [cell["feature"] for cell in found.different] == [
        "hours_to_ship_mean_1d_by_warehouse"
    ] * leakage.QUESTIONS


def test_a_clock_that_is_moved_is_found(declared: Declared) -> None:
    """The tables say that an order was delivered when it was placed: its outcome counts too early."""
    tables = tables_of(declared)
    early = {**tables, "orders": tables["orders"].with_columns(delivered=pl.col("placed"))}
    rows = compute(declared.feature_set, tables["orders"], early)
    found = leakage.look(declared, rows, tables)
    assert {cell["feature"] for cell in found.different} >= {"late_mean_7d_by_warehouse"}


def test_without_known_the_label_itself_is_refused(declared: Declared) -> None:
    orders = declared.config.data_sets["orders"].model_copy(update={"known": {}})
    careless = declared.config.model_copy(
        update={"data_sets": {**declared.config.data_sets, "orders": orders}}
    )
    with pytest.raises(ConfigurationError, match=r"label.column is 'late'; allowed: .* \(it lists none\)"):
        declare(declared.folder, careless)


def test_a_few_rows_and_no_rows(declared: Declared) -> None:
    tables = tables_of(declared)
    few = tables["orders"].head(5)
    assert leakage.look(declared, compute(declared.feature_set, few, tables), tables).asked == 5
    none = compute(declared.feature_set, few.clear(), tables)
    assert leakage.look(declared, none, tables).asked == 0


def test_a_division_by_a_constant_gives_the_same_bits_for_one_row_and_many(declared: Declared) -> None:
    world.edit(declared.file, 'col("weight_g") * 1', 'col("weight_g") / 1000')
    changed = project.load(declared.folder)
    tables = tables_of(changed)
    rows = compute(changed.feature_set, tables["orders"], tables)
    exact = [None if grams is None else grams / 1000 for grams in tables["orders"]["weight_g"].to_list()]
    assert rows["weight"].to_list() == exact
