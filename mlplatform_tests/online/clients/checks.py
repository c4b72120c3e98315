"""Runs functions as checks and prints what became of each as one JSON object; for the clients' own Python.

It must import nothing but the standard library: the project is not installed where it runs.
"""

import json
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

OK = "ok"


def asked() -> dict[str, Any]:
    """What the test that started this process wrote into its standard input."""
    told: dict[str, Any] = json.load(sys.stdin)
    return told


def run(checks: Mapping[str, Callable[[], None]]) -> None:
    """Run each check by its name; one that raises has failed, and the others still run."""
    results = {}
    for name, check in checks.items():
        try:
            check()
            results[name] = OK
        except Exception:  # noqa: BLE001  (the result is the failure itself, with its trace)
            results[name] = traceback.format_exc()
    print(json.dumps(results))
