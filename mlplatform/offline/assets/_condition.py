"""The condition of a data set within its cleaned asset: measured, stored, repaired, shown and checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from dagster import AssetCheckSeverity

from mlplatform.offline import condition_view
from mlplatform.offline.assets._shared import image, table
from mlplatform.offline.declared import Declared
from mlplatform.stages.ingestion.contract import PARTITION
from mlplatform.stages.preparation import repairs
from mlplatform.stages.preparation.condition import EVERYTHING, HISTORY_WINDOW, condition
from mlplatform.stages.preparation.limits import Finding, findings
from mlplatform.stores.lake import Lake, Write


@dataclass(frozen=True)
class Seen:
    """Partitions of one run: their condition as delivered, what is beyond limits, the repaired rows."""

    conditions: pl.DataFrame
    findings: Sequence[Finding]
    repaired: repairs.Repaired


def examined(
    declared: Declared, data_set: str, lake: Lake, raw: pl.DataFrame, keys: Sequence[str] | None
) -> Seen:
    """Measure and repair; tables `condition_<data set>` and `repairs_<data set>` are committed together."""
    rows = raw.drop("batch_id")
    stored = declared.table(f"condition_{data_set}")
    history = None
    if keys is not None and lake.exists(stored):
        earlier = [day for day in lake.partitions(stored) if day < keys[0]][-HISTORY_WINDOW:]
        history = lake.read(stored, partitions=earlier)
    conditions = condition(rows, history=history)
    repaired = repairs.apply(raw, declared.repairs(data_set))
    places = list(keys) if keys is not None else [EVERYTHING]
    counts = declared.table(f"repairs_{data_set}")
    lake.write_all(
        [
            Write(stored, conditions, places, allow_empty=True),
            Write(counts, repaired.counts, places, allow_empty=True),
        ]
    )
    found = findings(conditions, declared.limits(data_set)) if conditions.height else []
    return Seen(conditions, found, repaired)


def shown(seen: Seen) -> dict[str, Any]:
    """Metadata: the newest partition's columns, repairs by rule, charts."""
    if not seen.conditions.height:
        return {}
    counts = seen.repaired.counts.group_by("column", "repair", maintain_order=True).agg(
        pl.col("repaired").sum()
    )
    days = seen.conditions[PARTITION].unique().sort()
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    pictures = {
        "missing values": condition_view.missing_picture(seen.conditions, title=f"Missing values, {span}"),
        "trends": condition_view.trend_picture(seen.conditions, title=f"Trend of means, {span}"),
    }
    return {
        f"condition, {days[-1]}": table(condition_view.table(seen.conditions)),
        "repaired values": int(counts["repaired"].sum()),
        **({"repairs": table(counts)} if counts.height else {}),
        **{name: image(picture) for name, picture in pictures.items() if picture is not None},
    }


def verdict(seen: Seen) -> dict[str, Any]:
    """Result of the check: it fails on any finding; one that is declared to blocks what comes after."""
    blocks = any(finding.severity == "block" for finding in seen.findings)
    ordered = sorted(seen.findings, key=lambda finding: finding.severity != "block")
    rows = [{"severity": finding.severity, "finding": finding.sentence} for finding in ordered]
    found = pl.DataFrame(rows)
    return {
        "passed": not seen.findings,
        "severity": AssetCheckSeverity.ERROR if blocks else AssetCheckSeverity.WARN,
        "metadata": {
            "findings": len(seen.findings),
            **({"which": table(found)} if found.height else {}),
        },
    }
