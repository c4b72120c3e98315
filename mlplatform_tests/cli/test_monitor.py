"""`mlplatform monitor`: what is known after a run, for people and as JSON."""

from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world

MORE = ("slices", "slices_left_out", "features", "scores", "drift")


def test_before_anything_was_asked(finished: Finished) -> None:
    said = world.cli("monitor", world.NAME, home=finished.home, cwd=finished.project)
    assert said.returncode == 0
    assert "no answer is judged yet" in said.stderr
    told = world.one_object(
        world.cli("monitor", world.NAME, "--json", home=finished.home, cwd=finished.project).stdout
    )
    assert (told["use_case"], told["in_use"]["champion"]["version"]) == (world.NAME, 1)
    for name in ("versions", "days", "reasons", "calibration", "verdicts", "rollbacks", "alerts", *MORE):
        assert told[name] == []
