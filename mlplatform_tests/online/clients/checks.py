"""Runs functions as checks and prints what became of each as one JSON object; for the clients' own Python.

It must import nothing but the standard library: the project is not installed where it runs.
"""

import json
import sys
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

OK = "ok"


def asked() -> dict[str, Any]:
    """What the test that started this process wrote into its standard input."""
    told: dict[str, Any] = json.load(sys.stdin)
    return told


def run(checks: Mapping[str, Callable[[], None]]) -> None:
    """Run each check by its name; one that raises has failed, and the others still run."""
    with ThreadPoolExecutor(max_workers=1) as one_by_one:  # each future keeps the failure of its check
        futures = {name: one_by_one.submit(check) for name, check in checks.items()}
    print(json.dumps({name: _result(future.exception()) for name, future in futures.items()}))


def _result(failure: BaseException | None) -> str:
    return OK if failure is None else "".join(traceback.format_exception(failure))
