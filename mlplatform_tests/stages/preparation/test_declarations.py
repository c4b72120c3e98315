"""Declarations: names, ids, JSON, what a set needs, and what is refused with which words."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.features import Agg, Category, FeatureSet, Last, Open, Row, Source, Spine, Static, col
from mlplatform.stages.preparation.declarations import Feature, columns_of, key_columns, sources_of
from mlplatform.use_cases.flight_delay.features import FEATURES as FLIGHTS
from mlplatform_tests.stages.preparation.histories import FEATURES as MADE_UP

due = Source("due", table="orders", at="due_at", key=("order",))
paid = Source("paid", table="payments", at="paid_at", key=("order",), lag="10m")
SPINE = Spine(
    "orders", key=("order",), facts={"shop": "string", "asked": "time"}, as_of=col("asked").minus("1h")
)


def declared(*features: Any, name: str = "orders", spine: Spine = SPINE) -> FeatureSet:
    return FeatureSet(name, spine, features)


@pytest.mark.parametrize(
    ("feature", "name"),
    [
        (Agg(due, "shop", "count", "2h"), "due_count_2h_by_shop"),
        (Agg(paid, ("shop", "city"), "mean", "7d", "euros"), "euros_mean_7d_by_shop_city"),
        (Agg(paid, (), "sum", "7d", "euros"), "euros_sum_7d_by_all"),
        (Agg(paid, "shop", "sum", "7d", "euros", name="income"), "income"),
        (Last(paid, "shop", "euros", "7d"), "euros_last_by_shop"),
        (Last(paid, "shop", "euros", "7d", ago="1d"), "euros_last_ago_1d_by_shop"),
        (Last(paid, "shop", "age", "7d"), "age_last_by_shop"),
        (Static("shops", by="shop", value="size"), "size_by_shop"),
        (Open(due, paid, "shop", "count", "9d"), "due_open_count_9d_by_shop"),
        (Open(due, paid, (), "mean_age", "9d", "1d"), "due_open_mean_age_9d_after_1d_by_all"),
        (Category("shop"), "shop"),
        (Category("shop", name="branch"), "branch"),
        (Row("slack", col("as_of").hour("UTC")), "slack"),
    ],
)
def test_names_say_what_a_feature_is(feature: Any, name: str) -> None:
    assert feature.name == name


def test_a_set_knows_names_categories_sources_statics_and_reach() -> None:
    features = declared(
        Category("shop", name="branch"),
        Agg(due, "shop", "count", "2h", name="_step"),
        Agg(paid, "shop", "mean", "3d", "euros"),
        Last(paid, "shop", "euros", "2d", ago="2d"),
        Open(due, paid, (), "count", "1d"),
        Static("shops", by="shop", value="size"),
    )
    assert features.names[:2] == ("branch", "euros_mean_3d_by_shop")
    assert "_step" not in features.names
    assert features.categories == ("branch",)
    assert features.sources == (due, paid)
    assert features.statics == ("shops",)
    assert features.retention_us == (4 * 24 * 60 + 10) * 60_000_000
    assert declared(Category("shop")).retention_us == 0
    assert sources_of(features.features[4]) == (due, paid)
    assert sources_of(features.features[0]) == ()


def test_the_columns_a_table_must_have() -> None:
    features: list[Feature] = [
        Agg(paid, ("shop", "city"), "mean", "3d", "euros"),
        Last(paid, "shop", "age", "2d"),
        Open(due, paid, "clerk", "mean_state", "1d", value="delay"),
        Static("shops", by="shop", value="size"),
    ]
    assert columns_of(features, "payments") == ["city", "delay", "euros", "order", "paid_at", "shop"]
    assert columns_of(features, "orders") == ["clerk", "due_at", "order"]
    assert columns_of(features, "shops") == ["shop", "size"]
    assert columns_of(features, "nothing") == []
    assert key_columns("shop") == ("shop",)
    assert key_columns(()) == ()


@pytest.mark.parametrize("feature_set", [MADE_UP, FLIGHTS, declared()])
def test_json_brings_back_the_same_set(feature_set: FeatureSet) -> None:
    again = FeatureSet.from_json(feature_set.to_json())
    assert again == feature_set
    assert again.id == feature_set.id
    assert again.to_json() == feature_set.to_json()


def test_an_id_is_the_name_and_twelve_digits() -> None:
    name, _, digits = FLIGHTS.id.partition("@")
    assert name == "flight_delay"
    assert len(digits) == 12
    assert set(digits) <= set("0123456789abcdef")


BASE = (Category("shop"), Agg(paid, "shop", "mean", "3d", "euros", name="a"), Row("b", col("a") + 1))


@pytest.mark.parametrize(
    "other",
    [
        declared(*BASE, name="others"),
        declared(*BASE[:2]),
        declared(BASE[1], BASE[0], BASE[2]),
        declared(BASE[0], msgspec.structs.replace(BASE[1], window="4d"), BASE[2]),
        declared(BASE[0], msgspec.structs.replace(BASE[1], fn="sum"), BASE[2]),
        declared(BASE[0], msgspec.structs.replace(BASE[1], scale=10), BASE[2]),
        declared(BASE[0], msgspec.structs.replace(BASE[1], by=()), BASE[2]),
        declared(
            BASE[0],
            msgspec.structs.replace(BASE[1], source=msgspec.structs.replace(paid, lag="11m")),
            BASE[2],
        ),
        declared(*BASE[:2], Row("b", col("a") + 2)),
        declared(*BASE[:2], Row("c", col("a") + 1)),
        declared(*BASE, spine=msgspec.structs.replace(SPINE, as_of=col("asked").minus("2h"))),
        declared(*BASE, spine=msgspec.structs.replace(SPINE, facts={**SPINE.facts, "more": "int"})),
        declared(*BASE, spine=msgspec.structs.replace(SPINE, key=("order", "shop"))),
    ],
)
def test_any_change_changes_the_id(other: FeatureSet) -> None:
    assert other.id != declared(*BASE).id


def test_nothing_else_changes_the_id() -> None:
    """Not another process, not another way to write the same declaration."""
    by_list = FeatureSet("orders", SPINE, list(BASE))
    assert by_list.id == declared(*BASE).id
    assert by_list == declared(*BASE)
    spelled = msgspec.structs.replace(BASE[1], scale=1, name="a")
    assert declared(BASE[0], spelled, BASE[2]).id == declared(*BASE).id
    program = "from mlplatform.use_cases.flight_delay.features import FEATURES; print(FEATURES.id)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == FLIGHTS.id


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: Source("s", table="t", at="at", key=()),
            "source 's' has an empty key; a row must be identifiable.",
        ),
        (lambda: Source("s", table="t", at="at", key=("k",), lag="soon"), "got duration 'soon'; allowed: "),
        (lambda: Agg(paid, "shop", "mean", "long", "euros"), "got duration 'long'; allowed: "),
        (
            lambda: Agg(paid, "shop", "mean", "1h"),
            "Agg('paid', fn='mean') has no value; only count",
        ),
        (lambda: Last(paid, "shop", "euros", "ever"), "got duration 'ever'; allowed: "),
        (lambda: Last(paid, "shop", "euros", "1h", ago="once"), "got duration 'once'; allowed: "),
        (
            lambda: Last(paid, "shop", "euros", "1h", ago="once", name="x"),
            "got duration 'once'; allowed: ",
        ),
        (
            lambda: Open(due, paid, (), "count", "1h", "1h"),
            "Open has after='1h' and window='1h'; after must be the shorter.",
        ),
        (
            lambda: Open(due, paid, (), "mean_state", "1h"),
            "Open(fn='mean_state', value=None): mean_state needs a value, others take none.",
        ),
        (
            lambda: Open(due, paid, (), "count", "1h", value="euros"),
            "Open(fn='count', value='euros'): mean_state needs a value, others take none.",
        ),
        (
            lambda: Open(due, Source("p", "payments", "at", ("payment",)), (), "count", "1h"),
            "Open joins 'due' with key ('order',) to 'p' with key ('payment',); the keys must",
        ),
        (
            lambda: declared(
                Row("b", col("a") + col("z")), Agg(paid, "shop", "sum", "1h", "euros", name="a")
            ),
            "feature 'b' reads a, z; known at that point: facts of the ",
        ),
        (
            lambda: declared(Category("color")),
            "category 'color' is not a fact of the spine; facts: shop",
        ),
        (
            lambda: declared(Row("a", col("shop").is_null()), Row("a", col("shop").is_null())),
            "feature name 'a' is used twice in 'orders'.",
        ),
        (
            lambda: declared(Row("asked", col("shop").is_null())),
            "feature name 'asked' is used twice in 'orders'.",
        ),
        (
            lambda: declared(Row("as_of", col("shop").is_null())),
            "feature name 'as_of' is used twice",
        ),
        (lambda: declared(Category("shop", name="asked")), "feature name 'asked' is used twice in 'orders'."),
        (lambda: FeatureSet.from_json(b'{"name": 1}'), "this JSON is not a feature set: "),
        (lambda: FeatureSet.from_json(b"{"), "this JSON is not a feature set: "),
    ],
)
def test_what_is_refused_and_how_it_is_said(wrong: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        wrong()
    assert str(caught.value).startswith(message)
    assert caught.value.hint
