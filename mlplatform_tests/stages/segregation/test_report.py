"""The reply that the command and HTTP give: plain values, all of JSON."""

import json
from datetime import date, timedelta

import polars as pl

from mlplatform.stages.segregation.report import reply
from mlplatform.stages.segregation.segregated import Segregated, divide

ROWS = pl.DataFrame(
    {
        "id": range(400),
        "day": [date(2025, 1, 1) + timedelta(days=i // 4) for i in range(400)],
        "late": [None if i == 7 else i % 4 == 0 for i in range(400)],
        "kind": ["ab"[i % 2] for i in range(400)],
    }
)


def divided(label: str | None, **options: object) -> Segregated:
    told = {"time": "day", "as_of": date(2025, 3, 2), "validation": "10d", "test": "10d"} | options
    return divide(ROWS, strategy="by_time", options=told, keys=["id"], label=label)


def test_everything_is_told_and_is_json() -> None:
    segregated = divided("late")
    body = reply("late_orders", segregated, day="day")
    assert json.loads(json.dumps(body, allow_nan=False)) == {
        "use_case": "late_orders",
        "strategy": "by_time",
        "options": {"time": "day", "as_of": "2025-03-02", "validation": "10d", "test": "10d"},
        "id": segregated.id,
        "sizes": {"train": 239, "validation": 40, "test": 40},
        "parts": {
            "train": {"first_day": "2025-01-01", "last_day": "2025-03-01", "label_rate": 60 / 239},
            "validation": {"first_day": "2025-03-02", "last_day": "2025-03-11", "label_rate": 0.25},
            "test": {"first_day": "2025-03-12", "last_day": "2025-03-21", "label_rate": 0.25},
        },
        "unlabelled": 1,
        "warnings": [
            f"{part} has only 40 rows: its figures will be noise." for part in ("validation", "test")
        ],
    }


def test_an_empty_part_and_labels_without_a_mean_are_null() -> None:
    parts = reply("late_orders", divided("kind", as_of="2025-04-08"), day="day")["parts"]
    assert parts["test"] == {"first_day": None, "last_day": None, "label_rate": None}
    assert parts["train"] == {"first_day": "2025-01-01", "last_day": "2025-04-07", "label_rate": None}
    assert reply("x", divided(None), day="day")["parts"]["train"]["label_rate"] is None
