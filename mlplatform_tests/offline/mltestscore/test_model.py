"""Evidence of model development: commits and reviewers, searches, slices."""

import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlplatform.offline import provenance
from mlplatform.offline.mltestscore import model
from mlplatform_tests.offline.mltestscore.conftest import Deployed

AS_OF, WINNER = "2025-04-08", "logistic_regression"


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "--allow-empty", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def test_a_commit_with_a_reviewer(deployed: Deployed) -> None:
    found = deployed.found(model.reviewed)
    assert found.outcome == "broken"
    assert "was in no git repository" in found.said
    git(deployed.folder, "init", "-q")
    first = commit(deployed.folder, "Declare late orders")
    deployed.trained(commit=first)
    found = deployed.found(model.reviewed)
    assert found.outcome == "documented"
    assert found.said == f"checked in as {first[:12]}; no commit says who reviewed it"
    deployed.edit("max_iter: 200", "max_iter: 300")
    second = commit(deployed.folder, "Iterate longer\n\nReviewed-by: Bob <bob@example.org>")
    deployed.trained(commit=second)
    found = deployed.found(model.reviewed)
    assert found.outcome == "held"
    assert found.said.endswith("reviewed by Bob <bob@example.org>")
    deployed.trained(commit=second, dirty=True)
    assert deployed.found(model.reviewed).outcome == "broken"
    # What changed something else beside the use case does not take the review of the use case away.
    assert provenance.reviewers(deployed.folder, first) == ()


def search(deployed: Deployed, space: str) -> None:
    deployed.edit(
        "params: { max_iter: 200 }",
        f"params: {{ max_iter: 200 }}\n      search: {{ trials: 3, space: {space} }}",
    )


def test_parameters_that_nothing_searched(deployed: Deployed) -> None:
    found = deployed.found(model.tuned)
    assert (found.outcome, found.check) == ("broken", f"search_{WINNER}")
    assert found.said == f"nothing searched the parameters of {WINNER} (max_iter)"


@pytest.mark.parametrize(
    ("space", "outcome", "said"),
    [
        ("{ C: [0.1, 1.0], max_iter: [100, 200] }", "held", "2 trials of C, max_iter; best log_loss 0.41"),
        ("{ C: [0.1, 1.0] }", "documented", "2 trials of C; best log_loss 0.41; set by hand: max_iter"),
    ],
)
def test_a_search_over_all_that_is_declared(deployed: Deployed, space: str, outcome: str, said: str) -> None:
    search(deployed, space)
    assert deployed.found(model.tuned).outcome == "absent"
    rows = pl.DataFrame(
        {
            "partition_key": [AS_OF] * 3,
            "model": [WINNER] * 3,
            "trial": [0, 1, 2],
            "state": ["complete", "failed", "complete"],
            "best": [False, False, True],
            "metric": ["log_loss"] * 3,
            "value": [0.47, None, 0.41],
        }
    )
    deployed.write(f"search_{WINNER}", rows, AS_OF)
    found = deployed.found(model.tuned)
    assert (found.outcome, found.said) == (outcome, said)


def sliced(deployed: Deployed, name: str, figures: dict[str, float]) -> None:
    old = deployed.read(f"evaluation_{name}")
    new = pl.DataFrame(
        [
            {**old.row(0, named=True), "part": "test", "figure": figure, "value": value, "draws": None}
            for figure, value in figures.items()
        ],
        schema=old.schema,
    )
    deployed.write(f"evaluation_{name}", pl.concat([old, new]), AS_OF)


def slices(deployed: Deployed, **rule: Any) -> None:
    deployed.edit("  champion:\n", "  slices: [warehouse]\n\n  champion:\n")
    for name, value in rule.items():
        deployed.edit("    beat: rate_table", f"    beat: rate_table\n    {name}: {value}")


def test_slices_have_to_be_declared_and_have_rows(deployed: Deployed) -> None:
    assert deployed.found(model.sliced).said == "no slices are declared"
    slices(deployed)
    assert deployed.found(model.sliced).outcome == "absent"


def test_slices_that_no_model_is_held_to_are_only_shown(deployed: Deployed) -> None:
    slices(deployed)
    sliced(deployed, WINNER, {"log_loss[warehouse=HAM]": 0.3, "log_loss[warehouse=WAW]": 0.5})
    found = deployed.found(model.sliced)
    assert found.outcome == "documented"
    assert found.said.startswith("2 slices have a figure, worst log_loss[warehouse=WAW] 0.5000")


@pytest.mark.parametrize(("worst", "outcome"), [(0.405, "held"), (0.43, "broken")])
def test_no_slice_may_be_worse_than_allowed(deployed: Deployed, worst: float, outcome: str) -> None:
    slices(deployed, slice_tolerance=0.01)
    sliced(deployed, WINNER, {"log_loss[warehouse=HAM]": 0.3, "log_loss[warehouse=WAW]": worst})
    sliced(deployed, "rate_table", {"log_loss[warehouse=HAM]": 0.35, "log_loss[warehouse=WAW]": 0.4})
    found = deployed.found(model.sliced)
    assert found.outcome == outcome
    assert "against rate_table the worst is log_loss[warehouse=WAW]" in found.said
