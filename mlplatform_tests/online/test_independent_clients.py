"""Clients that others wrote for the Open Inference Protocol, in real HTTP against a real server.

They live in an environment of their own, made by `make test-deps`; the scripts in `clients/` run in it.
"""

import ast
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlplatform.online.http import application
from mlplatform_tests.online.clients.checks import OK
from mlplatform_tests.online.real_server import serving
from mlplatform_tests.online.world import FEATURES, USE_CASE, Trained, World, facts_of

CLIENTS = Path(sys.prefix) / "clients"
SCRIPTS = Path(__file__).parent / "clients"
KINDS = {"string": "BYTES", "time": "BYTES", "int": "INT64", "float": "FP64", "bool": "BOOL"}
ROWS = 20
OLD, CHAMPION = "1", "3"

pytestmark = pytest.mark.skipif(
    not (CLIENTS / ".ready").is_file(), reason="no tritonclient, no kserve: run `make test-deps`"
)


def checks_of(script: str) -> list[str]:
    """The checks in a script, read without running it: it imports what this Python does not have."""
    for node in ast.parse((SCRIPTS / script).read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CHECKS":
            assert isinstance(node.value, ast.Tuple)
            return [ast.unparse(each) for each in node.value.elts]
    raise AssertionError(f"{script} has no CHECKS")


@pytest.fixture(scope="module")
def address(three: World) -> Iterator[str]:
    """A server with three releases, of which the first is not loaded."""
    releases = three.releases()
    releases.poll()
    assert releases.problems == {}
    with serving(application(releases, poll_seconds=0)) as served:
        yield served


@pytest.fixture(scope="module")
def told(address: str, trained: Trained, other: Trained) -> dict[str, Any]:
    """What the scripts are told: rows, and what our own JSON face answers to them."""
    frame = trained.frame
    whole = frame.drop_nulls(list(FEATURES.spine.facts)).tail(5)
    asked = [facts_of(row) for row in whole.iter_rows(named=True)]
    rows = [[None if math.isnan(each) else each for each in row] for row in trained.matrix[-ROWS:].tolist()]
    tensor = {"name": "features", "shape": [ROWS, len(rows[0])], "datatype": "FP64", "data": rows}
    with httpx.Client(base_url=f"http://{address}", trust_env=False) as client:
        plain = [client.post(f"/score/{USE_CASE}", json=facts).json()["score"] for facts in asked]
        body = client.post(f"/v2/models/{USE_CASE}/infer", json={"inputs": [tensor]}).json()
    data = {each["name"]: each["data"] for each in body["outputs"]}
    assert data["probability"] == trained.scores[-ROWS:].tolist()
    return {
        "address": address,
        "name": USE_CASE,
        "version": CHAMPION,
        "other_version": OLD,
        "width": len(FEATURES.names),
        "kinds": {name: KINDS[kind] for name, kind in FEATURES.spine.facts.items()},
        "rows": rows,
        "scores": data["probability"],
        "ids": data["prediction_id"],
        "other_scores": other.scores[-ROWS:].tolist(),
        "facts": {
            name: {"datatype": KINDS[kind], "data": [facts[name] for facts in asked]}
            for name, kind in FEATURES.spine.facts.items()
        },
        "fact_scores": plain,
    }


def ran(script: str, told: dict[str, Any]) -> dict[str, str]:
    """What became of each check of a script."""
    command = [CLIENTS / "bin" / "python", SCRIPTS / script]
    done = subprocess.run(command, input=json.dumps(told), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    results: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return results


@pytest.fixture(scope="module")
def triton(told: dict[str, Any]) -> dict[str, str]:
    """What became of the checks of tritonclient."""
    return ran("triton_checks.py", told)


@pytest.fixture(scope="module")
def kserve(told: dict[str, Any]) -> dict[str, str]:
    """What became of the checks of kserve."""
    return ran("kserve_checks.py", told)


@pytest.mark.parametrize("check", checks_of("triton_checks.py"))
def test_tritonclient(triton: dict[str, str], check: str) -> None:
    assert triton[check] == OK, triton[check]


@pytest.mark.slow  # loading this client takes seconds
@pytest.mark.parametrize("check", checks_of("kserve_checks.py"))
def test_kserve(kserve: dict[str, str], check: str) -> None:
    assert kserve[check] == OK, kserve[check]
