"""A process that trains, to be killed by `test_training_kill`.

`model <folder> <stand after>`: LightGBM on rows of its own with checkpoints in the folder. After so many of
them it stands still, which a file `standing` says; 0: it goes on to the end and writes `model.txt` and the
steps it made. `candidate <use case> <home>`: the training of a use case's LightGBM as `mlplatform run` does.
"""

import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlplatform.stages.training.checkpoints import Checkpoint
from mlplatform.stages.training.contract import TrainingSet
from mlplatform.stages.training.models import lightgbm
from mlplatform.stores.checkpoints import FileCheckpoints

ROUNDS, EVERY = 200, 20
SAMPLED = {"feature_fraction": 0.4, "bagging_fraction": 0.6, "bagging_freq": 5, "path_smooth": 1.0}


class Standing(FileCheckpoints):
    """Stands still after some checkpoints, in the middle of the training."""

    def __init__(self, folder: Path, stand_after: int) -> None:
        super().__init__(folder / "checkpoints")
        self.steps: list[int] = []
        self._sign, self._stand_after = folder / "standing", stand_after

    def save(self, key: str, checkpoint: Checkpoint) -> None:
        """Save, and wait for the end if it was the last one."""
        super().save(key, checkpoint)
        self.steps.append(checkpoint.steps)
        if len(self.steps) == self._stand_after:
            self._sign.write_text("")
            signal.pause()


def rows() -> TrainingSet:
    """The same rows in every process."""
    random = np.random.default_rng(5)
    X = random.normal(size=(1500, 12))
    X[:, 0] = random.integers(-2, 9, len(X))
    X[:, 1:][random.random((len(X), 11)) < 0.1] = np.nan
    signal_ = np.nansum(X[:, 1:5], axis=1) + np.isin(X[:, 0], [1, 4]) * 2
    y = (random.random(len(X)) < 1 / (1 + np.exp(-signal_))).astype(np.float64)
    return TrainingSet(X, y, tuple(f"f{n}" for n in range(12)), {"f0": 9})


def train(checkpoints: FileCheckpoints | None) -> bytes:
    """The model's text."""
    estimator = lightgbm.build(
        num_iterations=ROUNDS, checkpoint_every=EVERY, num_threads=1, num_leaves=15, **SAMPLED
    )
    return estimator.fit(rows(), checkpoints=checkpoints).files()["model.txt"]


def model(folder: Path, stand_after: int) -> None:
    """Train with checkpoints in a folder."""
    checkpoints = Standing(folder, stand_after)
    text = train(checkpoints)
    (folder / "steps.txt").write_text(" ".join(map(str, checkpoints.steps)))
    (folder / "model.txt").write_bytes(text)


def candidate(folder: Path, home: Path) -> None:
    """Materialise split and candidate of a use case whose features are there."""
    from mlplatform.crosscutting.settings import Settings
    from mlplatform.offline import project
    from mlplatform.offline.assets._shared import key
    from mlplatform.offline.plan import steps
    from mlplatform.offline.run import materialise

    declared = project.load(folder)
    wanted = (key(declared, "split"), key(declared, "candidate_lightgbm"))
    step = replace(steps(declared)[2], assets=wanted)
    materialise(declared, Settings.load({"MLPLATFORM_HOME": str(home)}), [step])


if __name__ == "__main__":
    what, first, second = sys.argv[1:]
    if what == "model":
        model(Path(first), int(second))
    else:
        candidate(Path(first), Path(second))
