"""The windows of drift that are reported, as `monitor` and the status page tell them.

It must not compute a figure, nor read a report's file.
"""

from typing import Any

import polars as pl

from mlplatform.offline.declared import Declared
from mlplatform.offline.drift_files import page_of
from mlplatform.offline.drift_windows import FIRST, LAST, Window
from mlplatform.stores.lake import Lake

REPORT = "drift_report"
_NAMED = 3


def drift_windows(declared: Declared, lake: Lake) -> list[dict[str, Any]]:
    """Per window first and last day, columns, how many are judged and drifted, the farthest, and its report.

    Raises
    ------
    StoreError
        if the lake cannot be read.
    """
    table = declared.table(REPORT)
    if not lake.exists(table) or LAST not in lake.read(table, partitions=[]).columns:
        return []
    rows = lake.read(table).drop_nulls(LAST).sort(LAST, FIRST)
    return [_window(declared, part) for part in rows.partition_by(FIRST, LAST, maintain_order=True)]


def _window(declared: Declared, rows: pl.DataFrame) -> dict[str, Any]:
    window = Window.of(rows[FIRST][0], rows[LAST][0])
    beyond = rows.filter("drifted").sort(pl.col("psi") / pl.col("past_psi"), descending=True, nulls_last=True)
    return {
        "first": str(window.first),
        "last": str(window.last),
        "columns": rows.height,
        "judged": rows.height - rows["drifted"].null_count(),
        "drifted": beyond.height,
        "farthest": beyond["feature"].head(_NAMED).to_list(),
        "report": page_of(declared, window),
    }
