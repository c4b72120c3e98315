"""A saved scikit-learn object builds nothing but what it was trained with, whatever the file says."""

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from mlplatform.errors import ModelError
from mlplatform.stages.training.models import _skops, scikit_learn
from mlplatform_tests.stages.training.test_scikit_learn import FOREST, NEIGHBOURS, fitted


def tampered(change: Callable[[dict[str, Any]], None]) -> dict[str, bytes]:
    """The files of a forest whose skops schema was changed."""
    files = fitted(**FOREST).files()
    with zipfile.ZipFile(io.BytesIO(files["estimator.skops"])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members["schema.json"])
    change(schema)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in (members | {"schema.json": json.dumps(schema).encode()}).items():
            archive.writestr(name, content)
    return files | {"estimator.skops": out.getvalue()}


def test_a_file_cannot_name_another_type() -> None:
    for module, name in (("os", "system"), ("builtins", "eval"), ("sklearn.cluster._birch", "_CFNode")):
        files = tampered(lambda schema, m=module, n=name: schema.update(__module__=m, __class__=n))
        with pytest.raises(ModelError, match="cannot read"):
            scikit_learn.load(files)


@pytest.mark.parametrize(
    "name",
    ["os.system", "builtins.eval", "numpy.save", "subprocess.Popen", "bureau.Thing", "sklearn.nothing.X"],
)
def test_a_file_cannot_allow_itself_a_type(name: str) -> None:
    files = fitted(**FOREST).files()
    saved = msgspec.json.decode(files["model.json"])
    saved["types"].append(name)
    with pytest.raises(ModelError, match="allowed: classes of sklearn"):
        scikit_learn.load(files | {"model.json": msgspec.json.encode(saved)})


def test_a_file_cannot_name_the_standard_library_as_its_package() -> None:
    files = fitted(**FOREST).files()
    saved = msgspec.json.decode(files["model.json"]) | {
        "estimator": "subprocess.Popen",
        "types": ["subprocess.Popen"],
    }
    with pytest.raises(ModelError):
        scikit_learn.load(files | {"model.json": msgspec.json.encode(saved)})


def test_a_file_of_another_estimator_is_refused() -> None:
    linear = fitted("regression", estimator="sklearn.linear_model.Ridge").files()["estimator.skops"]
    with pytest.raises(ModelError, match="got a Ridge"):
        scikit_learn.load(fitted(**FOREST).files() | {"estimator.skops": linear})
    neighbours = fitted(**NEIGHBOURS).files()["estimator.skops"]
    with pytest.raises(ModelError, match="Untrusted types"):
        scikit_learn.load(fitted(**FOREST).files() | {"estimator.skops": neighbours})


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_random_generators_are_neither_saved_nor_loaded() -> None:
    data = fitted(estimator="sklearn.neural_network.MLPClassifier", params={"max_iter": 2}).files()
    assert b"RandomState" not in data["estimator.skops"]
    import skops.io

    spoilt = skops.io.dumps(np.random.RandomState(0))
    with pytest.raises(ModelError, match="random generator"):
        _skops.load(spoilt, (), "sklearn")
