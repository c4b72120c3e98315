"""The section `serving:`: what it gives a release, and that a mistake is named with what is allowed."""

from pathlib import Path

import pytest

from mlplatform.offline import project
from mlplatform.offline.config.serving import Serving, check_constant
from mlplatform.stages.deployment.policy import Policy
from mlplatform.stages.training.output import KINDS, Kind
from mlplatform_tests.small import world

BEFORE = "  champion:\n    metric: log_loss\n"


def problems(folder: Path, serving: str) -> list[project.Problem]:
    world.edit(folder / "defs.yaml", BEFORE, f"  serving: {serving}\n{BEFORE}")
    return project.problems(folder)


def test_left_out_it_is_the_default_policy() -> None:
    assert Serving().policy == Policy()


def test_every_key_reaches_the_policy(late_orders: Path) -> None:
    told = (
        "{ deadline_ms: 20, previous_versions: 2, own_process: true, precomputed: first, valid_minutes: 30, "
        "constant: 0.2, entity: warehouse, log: sync }"
    )
    assert problems(late_orders, told) == []
    assert project.load(late_orders).config.serving.policy == Policy(
        deadline_ms=20.0,
        previous_versions=2,
        own_process=True,
        precomputed="first",
        valid_minutes=30.0,
        constant=0.2,
        entity=("warehouse",),
        log="sync",
    )


@pytest.mark.parametrize(
    ("told", "key", "said"),
    [
        ("{ deadline_ms: 0 }", "serving.deadline_ms", "got 0; allowed: above 0 to 60000 milliseconds"),
        ("{ deadline_ms: .nan }", "serving.deadline_ms", "allowed: above 0 to 60000 milliseconds"),
        ("{ previous_versions: 11 }", "serving.previous_versions", "got 11; allowed: from 0 to 10 versions"),
        ("{ valid_minutes: -1 }", "serving.valid_minutes", "allowed: above 0 to 525600 minutes"),
        ("{ precomputed: firts }", "serving.precomputed", "allowed: never, fallback, first"),
        ("{ log: later }", "serving.log", "allowed: async, sync"),
        ("{ constant: 1.5 }", "", "serving.constant is 1.5; allowed: a probability from 0 to 1"),
        ("{ constant: .inf }", "serving.constant", "finite"),
        ("{ entity: warehous }", "", "serving.entity names 'warehous'; allowed: a fact of the spine"),
        ("{ dead_line: 5 }", "serving.dead_line", "unknown key; allowed: deadline_ms"),
    ],
)
def test_a_mistake_is_named(late_orders: Path, told: str, key: str, said: str) -> None:
    (problem,) = problems(late_orders, told)
    assert (problem.key, said in problem.message) == (key, True), problem
    assert problem.hint


def test_the_entity_of_a_list_is_what_its_rows_share() -> None:
    alternatives = project.load(project.BUILT_IN / "flight_alternatives").config
    assert set(alternatives.serving.entity) <= set(alternatives.output.together)


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_fits_the_kind_of_score(kind: Kind) -> None:
    fits = {"probability": 0.5, "cluster": 3.0}.get(kind, -2.5)
    check_constant(fits, kind)
    check_constant(None, kind)
    if kind in ("probability", "cluster"):
        with pytest.raises(ValueError, match="allowed"):
            check_constant(-0.5, kind)


@pytest.mark.parametrize("use_case", project.use_cases(project.BUILT_IN))
def test_every_use_case_of_the_package_says_how_it_is_served(use_case: str) -> None:
    config = project.load(project.BUILT_IN / use_case).config
    assert config.serving.entity
    assert (config.serving.constant is None) is (config.output.kind == "cluster")
