"""Scripts and notebooks of one's own: really run, and never run again to open what they left."""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlplatform import plugins
from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.training import models, script_contract
from mlplatform.stages.training.candidate import Metadata, assemble, open_model
from mlplatform.stages.training.contract import Task, TrainingSet
from mlplatform.stages.training.models import _script_run as run
from mlplatform.stages.training.models import script

NAMES = ("a", "b", "c")
TABLE = """
from mlplatform.stages.training import script_contract
from mlplatform.stages.training.models import rate_table

training = script_contract.read()
table = rate_table.build(by=["a"], smoothing=script_contract.params()["smoothing"])
script_contract.save(table.fit(training))
"""
BOOSTER = """
import lightgbm
from mlplatform.stages.training import script_contract

training = script_contract.read()
data = lightgbm.Dataset(training.X, training.y, feature_name=list(training.names))
params = {"objective": "binary", "verbosity": -1, "deterministic": True, "num_threads": 1}
script_contract.save(lightgbm.train(params, data, 10))
"""
ESTIMATOR = """
from sklearn.ensemble import RandomForestRegressor
from mlplatform.stages.training import script_contract

training = script_contract.read()
forest = RandomForestRegressor(20, random_state=0, n_jobs=2)
script_contract.save(forest.fit(training.X, training.y))
"""
BY_HAND = """
import json, os, sys
import numpy as np

assert os.environ["MLPLATFORM_TRAINING"] == sys.argv[1]
assert os.listdir(".") == []
arrays = np.load(sys.argv[1] + "/training.npz", allow_pickle=False)
told = json.load(open(sys.argv[1] + "/training.json"))
assert sorted(arrays.files) == ["X", "groups", "times", "y"], arrays.files
assert told["task"] == "forecasting" and told["categories"] == {"a": 4}
os.mkdir(sys.argv[1] + "/model")
value = float(np.median(arrays["y"]))
saved = {"kind": "constant", "names": told["names"], "value": value}
json.dump(saved, open(sys.argv[1] + "/model/model.json", "w"))
json.dump({"kind": "constant"}, open(sys.argv[1] + "/model/kind.json", "w"))
"""


def training_set(task: Task = "classification", rows: int = 200) -> TrainingSet:
    random = np.random.default_rng(0)
    X = random.normal(size=(rows, 3))
    X[:, 0] = random.integers(0, 4, rows)
    y = X[:, 1] * 2 + (X[:, 0] == 1)
    if task == "classification":
        y = (y > 0).astype(np.float64)
    forecast = task == "forecasting"
    groups, times = (np.zeros(rows, dtype=np.int64), np.arange(rows)) if forecast else (None, None)
    return TrainingSet(X, y, NAMES, {"a": 4}, task, groups, times)


def written(folder: Path, text: str, name: str = "train.py") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def notebook(*cells: tuple[str, str | list[str]]) -> str:
    made: list[object] = [{"cell_type": kind, "source": source, "metadata": {}} for kind, source in cells]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": made})


def fit(path: str, task: Task = "classification", **told: Any) -> Any:
    return script.build(path=path, **told).fit(training_set(task))


def test_a_script_trains_with_its_params_and_its_model_is_opened_by_its_kind(tmp_path: Path) -> None:
    path, training = written(tmp_path, TABLE), training_set()
    model = fit(path, params={"smoothing": 3})
    own = plugins.find(models, "rate_table").build(by=["a"], smoothing=3).fit(training)
    assert model.predict(training.X).tobytes() == own.predict(training.X).tobytes()
    assert model.files()["model.json"] == own.files()["model.json"]
    said = json.loads(model.files()["kind.json"])
    assert (said["kind"], len(said["script"])) == ("rate_table", 64)


def test_a_notebook_trains_by_its_code_cells_in_order(tmp_path: Path) -> None:
    cells: list[tuple[str, str | list[str]]] = [
        ("markdown", "# Delays"),
        ("code", ["%matplotlib inline\n", "!pip --version\n", "smoothing = 2 \\\n", " % 5"]),
        (
            "code",
            TABLE.replace('script_contract.params()["smoothing"]', "smoothing").splitlines(keepends=True),
        ),
        ("raw", "this is no Python"),
    ]
    path = written(tmp_path, notebook(*cells), "train.ipynb")
    own = plugins.find(models, "rate_table").build(by=["a"], smoothing=2).fit(training_set())
    assert fit(path).files()["model.json"] == own.files()["model.json"]


def test_to_open_and_to_score_runs_nothing_of_the_script(tmp_path: Path) -> None:
    mark = tmp_path / "runs"
    path = written(tmp_path, f"open({str(mark)!r}, 'a').write('x')\n" + TABLE)
    training = training_set()
    model = fit(path, params={"smoothing": 3})
    assert mark.read_text() == "x"
    kept = assemble("delays", "script", {"path": path}, model, training, b"{}", Metadata(200, 0.5))
    os.remove(path)
    assert open_model(kept).predict(training.X).tobytes() == model.predict(training.X).tobytes()
    assert mark.read_text() == "x"


@pytest.mark.parametrize(
    ("text", "task", "kind"),
    [
        (BOOSTER, "classification", "lightgbm"),
        (ESTIMATOR, "regression", "scikit_learn"),
        (BY_HAND, "forecasting", "constant"),
    ],
)
def test_other_ways_to_leave_a_model(tmp_path: Path, text: str, task: Task, kind: str) -> None:
    path, training = written(tmp_path, text), training_set(task)
    model = fit(path, task)
    assert model.said.kind == kind
    loaded, score = script.load(model.files()), model.row_scorer()
    alone = np.array([score(row) for row in training.X.tolist()])
    assert loaded.predict(training.X).tobytes() == alone.tobytes()


def test_a_module_beside_the_script_can_be_imported(tmp_path: Path) -> None:
    written(tmp_path, "SMOOTHING = 3", "beside.py")
    text = TABLE.replace('script_contract.params()["smoothing"]', "__import__('beside').SMOOTHING")
    for path in (written(tmp_path, text), written(tmp_path, notebook(("code", text)), "train.ipynb")):
        assert fit(path).said.kind == "rate_table"


def left(kind: str, **files: str) -> str:
    """A script that leaves these files."""
    lines = ["import os, sys", "m = sys.argv[1] + '/model/'", "os.mkdir(m)"]
    told = {
        "kind.json": json.dumps({"kind": kind}),
        **{name.replace("_", "."): text for name, text in files.items()},
    }
    return "\n".join([*lines, *(f"open(m + {name!r}, 'w').write({text!r})" for name, text in told.items())])


CONSTANT = '{"kind":"constant","names":["a","b","c"],"value":%s}'
NAIVE = '{"kind":"seasonal_naive","names":["a"],"step":0,"lags":[0],"season":1,"mean":0}'
FOREIGN = '{"kind":"scikit_learn","names":["a"],"task":"regression","estimator":"antigravity.X"}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys; print('half way'); sys.exit(3)", r"ended with code 3; its last lines:\nhalf way"),
        ("1 / 0", r"ended with code 1; its last lines:\n[^$]*ZeroDivisionError"),
        ("pass", "got no files in its folder 'model'; allowed: kind.json"),
        (left("constant"), "cannot read a constant model"),
        (left("constant", model_json="{"), "cannot read a constant model"),
        (left("script"), "got a model of kind 'script'; allowed: arima, constant"),
        (left("os.path"), "got a model of kind 'os.path'"),
        (left("scikit_learn", model_json=FOREIGN), "got an estimator 'antigravity.X'"),
        (left("constant", model_json=CONSTANT.replace('"c"', '"d"') % "0.5"), "got a model of the features"),
        (left("constant", model_json=CONSTANT % "1.5"), r"got scores \[1.5, 1.5, 1.5\].*a probability"),
        (left("seasonal_naive", model_json=NAIVE), "kind 'seasonal_naive' in classification"),
    ],
)
def test_what_is_no_model_is_refused_with_what_the_script_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        fit(written(tmp_path, text))


def test_a_link_to_elsewhere_is_no_model_file(tmp_path: Path) -> None:
    text = left("constant") + "\nos.symlink('/etc/hostname', m + 'model.json')"
    with pytest.raises(ModelError, match=r"got 'model.json' .* plain files"):
        fit(written(tmp_path, text))


def test_a_script_that_runs_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    text = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
print("begun", flush=True)
time.sleep(600)
"""
    with pytest.raises(ModelError, match=r"ran longer than 3 seconds; its last lines:\nbegun") as caught:
        fit(written(tmp_path, text), seconds=3)
    assert caught.value.hint
    child = Path("/proc") / (tmp_path / "pid").read_text()
    until = time.monotonic() + 20
    while _alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _alive(child)


def _alive(process: Path) -> bool:
    """A killed child whose parent is gone may wait to be collected by the system."""
    try:
        return "State:\tZ" not in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("path", ["nowhere.py", "train.txt", ""])
def test_a_path_without_a_script_is_refused(tmp_path: Path, path: str) -> None:
    written(tmp_path, "", "train.txt")
    with pytest.raises(ConfigurationError, match=r"allowed: a .py or .ipynb that is there") as caught:
        script.build(path=str(tmp_path / path))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot read the notebook"),
        ('{"worksheets": []}', "cannot read the notebook"),
        (notebook(("code", "a = 1"), ("code", "%%bash\nls")), "code cell 2 of train.ipynb is no Python"),
        (notebook(("code", "if True")), "code cell 1"),
    ],
)
def test_a_notebook_that_is_no_python_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        run.code(Path(written(tmp_path, text, "train.ipynb")))
    assert caught.value.hint


def test_a_script_can_be_tried_by_hand(tmp_path: Path) -> None:
    training = training_set("forecasting")
    script_contract.write(tmp_path / "given", training, {"smoothing": 2})
    again = script_contract.read(tmp_path / "given")
    assert (again.X == training.X).all()
    assert (again.task, again.names, again.categories) == ("forecasting", NAMES, {"a": 4})
    assert (again.moments == training.moments).all()
    assert script_contract.params(tmp_path / "given") == {"smoothing": 2}
    with pytest.raises(ConfigurationError, match=r"cannot read training.json"):
        script_contract.read(tmp_path)
    with pytest.raises(ModelError, match="got a dict; allowed: a model of the platform"):
        script_contract.save({}, tmp_path / "given")
