"""A small complete use case in a folder: declaration, features, and data that tell late orders from others.

The same folder contents come out every time. It must not run anything.
"""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.assets.ingestion import service
from mlplatform.offline.declared import Declared
from mlplatform.stores.lake import Lake, Table
from mlplatform.stores.raw import RawStore

HERE = Path(__file__).parent
NAME = "late_orders"
MODELS = ("rate_table", "logistic_regression", "decision_tree")
FIRST = datetime(2025, 3, 1, tzinfo=UTC)
DAYS, ORDERS_A_DAY = 60, 60
WAREHOUSES = {"HAM": 40, "LYS": 18, "WAW": 55}
RUN_DEPENDENT = {"fit_seconds", "package", "received_at", "source"}
"""Columns that two runs over the same data may differ in: a duration, when and from which folder it came, and
the id of a package, whose card says when it was trained."""


SHORT = {
    "2025-04-29": "2025-03-20",
    "2025-04-08": "2025-03-14",
    "validation: 10d, test: 2w": "validation: 3d, test: 4d",
}
"""What makes 20 days of the 60 in defs.yaml, for tests that run the pipeline again and again."""


def make_use_case(project: Path, *, short: bool = False) -> Path:
    """Write the use case below a project's folder; returns its folder."""
    folder = project / NAME
    (folder / "data").mkdir(parents=True)
    declaration = (HERE / "late_orders.yaml").read_text()
    for long, brief in SHORT.items() if short else ():
        declaration = replaced(declaration, long, brief)
    (folder / "defs.yaml").write_text(declaration)
    (folder / "features.py").write_text((HERE / "late_orders.py").read_text())
    rows = orders().filter(pl.col("placed") < "2025-03-21") if short else orders()
    half = rows.height // 2  # two files, so that the pattern of the source is used
    rows.head(half).write_csv(folder / "data" / "orders-1.csv")
    rows.tail(rows.height - half).write_csv(folder / "data" / "orders-2.csv")
    pl.DataFrame({"warehouse": list(WAREHOUSES), "packers": list(WAREHOUSES.values())}).write_csv(
        folder / "data" / "warehouses.csv"
    )
    return folder


def orders() -> pl.DataFrame:
    """Orders as delivered: a warehouse that falls behind stays behind for days, the last ones are open."""
    random = np.random.default_rng(20250301)
    rows, end = [], FIRST + timedelta(days=DAYS)
    backlog = dict.fromkeys(WAREHOUSES, 0.0)
    for day in range(DAYS):
        for name in WAREHOUSES:
            backlog[name] = 0.8 * backlog[name] + random.normal(0, 11)
        for minute in np.sort(random.integers(0, 24 * 60, ORDERS_A_DAY)).tolist():
            warehouse = str(random.choice(list(WAREHOUSES)))
            placed = FIRST + timedelta(days=day, minutes=minute)
            express = bool(random.random() < 0.25)
            promised = placed + timedelta(days=2 if express else 4)
            hours = max(1.0, 14 + backlog[warehouse] + random.exponential(8))
            shipped = placed + timedelta(minutes=round(hours * 60))
            arrived = shipped + timedelta(
                minutes=round(60 * (20 if express else 52) * random.uniform(0.6, 1.4))
            )
            rows.append(
                {
                    "order_id": len(rows) + 1,
                    "customer": int(random.integers(1, 900)),
                    "warehouse": warehouse,
                    "weight_g": None if random.random() < 0.03 else int(random.integers(80, 24_000)),
                    "express": "true" if express else "false",
                    "placed": _text(placed),
                    "promised": _text(promised),
                    "shipped": _text(shipped) if shipped < end else None,
                    "delivered": _text(arrived) if arrived < end else None,
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def cleaned_lake(declared: Declared) -> Lake:
    """A lake in the folder of the use case that holds its cleaned tables."""
    lake = Lake(declared.folder / "catalog.sqlite", declared.folder / "data")
    warehouses = declared.clean("warehouses")(_raw(declared, "warehouses"))
    orders = declared.clean("orders")(_raw(declared, "orders"), warehouses)
    lake.write(declared.table("warehouses"), warehouses)
    lake.write(declared.table("orders"), orders, declared.days())
    return lake


def _raw(declared: Declared, name: str) -> pl.DataFrame:
    """The rows of a data set, ingested into a store of their own."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.load({"MLPLATFORM_HOME": folder})
        daily = declared.config.data_sets[name].daily
        deliveries = declared.source(name).deliveries(declared.days() if daily else None)
        with closing(Lake.from_settings(settings)) as lake:
            service(declared, name, RawStore.from_settings(settings, lake)).ingest(deliveries)
            return lake.read(declared.table(f"raw_{name}"))


def replaced(text: str, old: str, new: str) -> str:
    """The text with its one `old` made `new`."""
    assert text.count(old) == 1, f"{old!r} is in the text {text.count(old)} times"
    return text.replace(old, new)


def edit(file: Path, old: str, new: str) -> None:
    """Make the one `old` in a file `new`."""
    file.write_text(replaced(file.read_text(), old, new))


def tables(home: Path) -> dict[str, pl.DataFrame]:
    """Every table of the use case in a home, without what two runs may differ in, in one order of rows."""
    settings = Settings.load({"MLPLATFORM_HOME": str(home)})
    with closing(Lake.from_settings(settings)) as lake:
        frames = {name: lake.read(Table(NAME, name)) for name in lake.tables(NAME)}
    return {
        name: frame.drop(RUN_DEPENDENT, strict=False).sort(pl.all().exclude(RUN_DEPENDENT))
        for name, frame in frames.items()
    }


def assert_same_tables(got: dict[str, pl.DataFrame], expected: dict[str, pl.DataFrame]) -> None:
    """Fail with the first table that is other than it should be."""
    assert sorted(got) == sorted(expected)
    for name, frame in expected.items():
        assert got[name].columns == frame.columns, name
        assert_frame_equal(
            got[name].with_columns(table=pl.lit(name)),
            frame.with_columns(table=pl.lit(name)),
            check_exact=True,
        )


def cli(*arguments: str, home: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The installed command line in a process of its own, with nothing of this one's settings."""
    return process([str(Path(sys.executable).with_name("mlplatform")), *arguments], home=home, cwd=cwd)


def process(
    command: list[str], *, home: Path, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A command to its end, with what it said."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=environ(home, **environment),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def environ(home: Path, **more: str) -> dict[str, str]:
    """This process's environment with the settings of the platform replaced."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("MLPLATFORM_", "DAGSTER_"))
    }
    return {**kept, "MLPLATFORM_HOME": str(home), "OMP_NUM_THREADS": "1", **more}


def one_object(text: str) -> dict[str, Any]:
    """Standard output as the one JSON object it has to be."""
    parsed = json.loads(text)
    assert isinstance(parsed, dict)
    return parsed


def _text(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:00Z}"
