"""Rollbacks on real flights: degraded champions found, clean ones left alone, and how soon.

    python -m benchmarks.verdicts [--season September-December] [--everywhere] [--json]

Models learn up to a day; the weeks after it are replayed, a check every six hours, outcomes as they become
known. The defaults of the rule were chosen on July-August only; September-December tests them. Exit code 1
if a degraded champion stays, or a clean one is taken back. With --everywhere each kind of degraded champion
in each of thirty weeks, by how much worse it really was in that week: no expectation, only figures.
"""

import argparse
import itertools
import json
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from mlplatform_tests.stages.monitoring.flights import SEASONS, answers
from mlplatform_tests.stages.monitoring.replays import (
    Replay,
    clean,
    degraded,
    everywhere,
    slow_and_failing,
    steady,
)

EXPECTED = {True: "rolled back", False: "left alone", None: ""}
BANDS = (0.01, 0.02, 0.03, 0.05)
"""Ends of the bands of true excess loss."""


def row(kind: str, found: Sequence[Replay], expected: bool | None) -> dict[str, Any]:
    """One line of the table: how many, how many taken back, and how soon."""
    back = [each for each in found if each.rolled_back]
    return {
        "champions": kind,
        "expected": EXPECTED[expected],
        "replays": len(found),
        "rolled_back": len(back),
        "hours_median": statistics.median(each.hours for each in back) if back else None,
        "hours_max": max((each.hours for each in back), default=None),
        "outcomes_median": statistics.median(each.outcomes for each in back) if back else None,
        "outcomes_max": max((each.outcomes for each in back), default=None),
        "excess_low": round(min(each.excess for each in found), 4),
        "excess_high": round(max(each.excess for each in found), 4),
    }


def by_excess(season: str) -> list[dict[str, Any]]:
    """Every kind in every week, by its true loss over the sound champion's."""
    rows = []
    found = everywhere(answers(SEASONS[season]), SEASONS[season])
    for kind in dict.fromkeys(each.kind for each in found):
        for low, high in itertools.pairwise((-1.0, *BANDS, 1.0)):
            inside = [each for each in found if each.kind == kind and low <= each.excess < high]
            rows += [row(kind, inside, None)] if inside else []
    return rows


def figures(season: str) -> list[dict[str, Any]]:
    """Every line of a season."""
    scored = answers(SEASONS[season])
    rows = []
    for expected, replays in (
        (True, degraded(scored, SEASONS[season])),
        (True, slow_and_failing(scored, SEASONS[season])),
        (False, clean(scored, SEASONS[season])),
        (False, steady(scored, SEASONS[season])),
    ):
        kinds = dict.fromkeys(each.kind for each in replays)
        rows += [row(kind, [each for each in replays if each.kind == kind], expected) for kind in kinds]
    return rows


def main() -> None:
    """Run and report."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--season", choices=list(SEASONS), default="September-December")
    arguments.add_argument("--everywhere", action="store_true")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    rows = by_excess(options.season) if options.everywhere else figures(options.season)
    if options.json:
        print(json.dumps({"season": options.season, "champions": rows}))
    else:
        table = Table(*rows[0], title=options.season)
        for each in rows:
            table.add_row(*("" if value is None else str(value) for value in each.values()))
        Console(width=160).print(table)
    wrong = [each for each in rows if each["expected"] and each["rolled_back"] != _right(each)]
    sys.exit(1 if wrong else 0)


def _right(each: dict[str, Any]) -> int:
    return int(each["replays"]) if each["expected"] == "rolled back" else 0


if __name__ == "__main__":
    main()
