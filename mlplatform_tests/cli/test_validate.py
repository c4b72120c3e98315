"""`mlplatform validate` says how a sound use case will be served, and nothing of that of an unsound one."""

from pathlib import Path

from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Zygote

SERVED = "deadline_ms: 50, previous_versions: 2, constant: 0.25, entity: warehouse, precomputed: never"


def test_the_serving_policy_is_said(late_orders: Path, tmp_path: Path, mlplatform: Zygote) -> None:
    file = late_orders / "defs.yaml"
    world.edit(file, "  evaluators: [roc", f"  serving: {{ {SERVED} }}\n\n  evaluators: [roc")
    home, cwd = tmp_path / "home", late_orders.parent
    shown = mlplatform.run("validate", world.NAME, home=home, cwd=cwd)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines() == [
        "late_orders: valid",
        "  deadline          50 ms; a version that takes longer is passed over",
        "  previous versions 2 earlier champions are kept loaded to answer for the champion",
        "  batch scores      never answer",
        "  constant          0.25 is the answer when there is no other",
        "  canary            gets its share of the entities (warehouse), each always from the same version",
        "  shadow            is asked after the answer is sent, and only logged",
        "  score log         is written after the answer is sent",
    ]
    told = world.one_object(mlplatform.run("validate", world.NAME, "--json", home=home, cwd=cwd).stdout)
    assert told["valid"] is True
    policy = told["serving"][world.NAME]
    assert (policy["deadline_ms"], policy["previous_versions"], policy["constant"]) == (50, 2, 0.25)
    assert policy["in_words"]["batch scores"] == "never answer"


def test_what_is_wrong_is_not_served(late_orders: Path, tmp_path: Path, mlplatform: Zygote) -> None:
    world.edit(late_orders / "defs.yaml", "metric: log_loss", "metric: log_los")
    ended = mlplatform.run("validate", world.NAME, "--json", home=tmp_path / "home", cwd=late_orders.parent)
    assert ended.returncode == 1
    told = world.one_object(ended.stdout)
    assert (told["valid"], told["serving"]) == (False, {})
    assert told["problems"]
