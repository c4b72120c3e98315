"""Which columns a feature is made of, as its declaration says."""

from mlplatform.features import Agg, Category, FeatureSet, Last, Open, Row, Source, Spine, Static, col
from mlplatform.stages.preparation.column_lineage import column_lineage
from mlplatform.stages.preparation.declarations import TargetRate

placed = Source("placed", table="orders", at="placed", key=("order",))
arrived = Source("arrived", table="orders", at="arrived", key=("order",), lag="1h")
weather = Source("weather", table="weather", at="hour", key=("city", "hour"))
FEATURES = FeatureSet(
    "shop",
    Spine(
        "orders",
        key=("order",),
        facts={"order": "int", "city": "string", "placed": "time", "promised": "time"},
        as_of=col("placed").minus("5m"),
    ),
    [
        Category("city", name="where"),
        TargetRate("city", name="rate"),
        Row("promised_minutes", col("promised").minutes_since(col("placed"))),
        Agg(arrived, by="city", value="late", fn="mean", window="7d", name="_late"),
        Row("late_again", col("_late") * 2),
        Last(weather, by="city", value="temp", max_age="3h", name="temp"),
        Static("cities", by="city", value="people", name="people"),
        Open(placed, arrived, by="city", fn="count", window="2d", name="open"),
    ],
)
ASKED = {("orders", "placed")}
LATE = {("orders", name) for name in ("arrived", "order", "city", "late")} | ASKED


def test_columns_of_every_kind_of_feature() -> None:
    found = column_lineage(FEATURES, "late")
    assert found["where"] == {("orders", "city")}
    assert found["rate"] == {("orders", "city"), ("orders", "late")}
    assert found["promised_minutes"] == {("orders", "promised"), ("orders", "placed")}
    assert found["temp"] == {("weather", n) for n in ("hour", "city", "temp")} | ASKED | {("orders", "city")}
    assert found["people"] == {("cities", "city"), ("cities", "people"), ("orders", "city")}
    assert found["open"] == {("orders", n) for n in ("placed", "arrived", "order", "city")}


def test_steps_are_resolved_and_not_shown() -> None:
    found = column_lineage(FEATURES)
    assert found["late_again"] == LATE
    assert "_late" not in found
    assert found["rate"] == {("orders", "city")}, "without a label there is none to rest on"


def test_keys_facts_and_the_time_of_the_question() -> None:
    found = column_lineage(FEATURES)
    assert found["order"] == {("orders", "order")}
    assert found["as_of"] == {("orders", "placed")}
    assert list(found) == ["order", "city", "placed", "promised", "as_of", *FEATURES.names]
