"""`mlplatform score … --from … --to …` and `mlplatform batch-scores`, in a copy of a finished home."""

import shutil
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlplatform.crosscutting.settings import Settings
from mlplatform.stores.lake import Lake, Table
from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Zygote

SCORES = Table(world.NAME, "scores")


@pytest.fixture
def home(finished: Finished, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(finished.home, tmp_path / "home"))


def test_days_are_scored_as_the_asset_scores_them(home: Path, finished: Finished, mlplatform: Zygote) -> None:
    settings = Settings.load({"MLPLATFORM_HOME": str(home)})
    with closing(Lake.from_settings(settings)) as lake:
        before = lake.read(SCORES)
        lake.write(SCORES, before.filter(pl.col("partition_key") < "2025-04-20"))
    asked = ("score", world.NAME, "--from", "2025-04-20", "--to", "2025-04-29", "--json")
    done = mlplatform.run(*asked, home=home, cwd=finished.project)
    assert done.returncode == 0, done.stderr
    said = world.one_object(done.stdout)
    assert (said["state"], said["days_done"], said["version"], said["progress"]) == ("done", 10, 1, 1.0)
    with closing(Lake.from_settings(settings)) as lake:
        assert_frame_equal(lake.read(SCORES), before, check_exact=True)
    listed = mlplatform.run("batch-scores", "--json", home=home, cwd=finished.project)
    assert world.one_object(listed.stdout) == {"batch_scores": [said]}
    one = mlplatform.run("batch-scores", said["id"], "--json", home=home, cwd=finished.project)
    assert world.one_object(one.stdout) == said


def test_days_without_data_fail_with_what_there_is(
    home: Path, finished: Finished, mlplatform: Zygote
) -> None:
    asked = ("score", world.NAME, "--from", "2030-01-01", "--to", "2030-01-02")
    done = mlplatform.run(*asked, home=home, cwd=finished.project)
    assert done.returncode == 1
    assert "it has days from 2025-03-01 to 2025-04-29" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    "words", [["--from", "2025-04-20"], ["--to", "2025-04-20"], ["--from", "a", "--to", "b", "warehouse=HAM"]]
)
def test_half_an_order_is_refused(words: list[str], finished: Finished, mlplatform: Zygote) -> None:
    done = mlplatform.run("score", world.NAME, *words, home=finished.home, cwd=finished.project)
    assert done.returncode == 2
    assert "--from DAY and --to DAY" in " ".join(done.stderr.split())
