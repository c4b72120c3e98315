"""What `parallel` may be for a type of model, told before any training."""

import subprocess
import sys

import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.offline.config import Model
from mlplatform.offline.distributed import ways


@pytest.mark.parametrize(
    ("kind", "word"), [(kind, word) for word, kinds in ways.MODELS.items() for kind in kinds]
)
def test_what_fits_may_be_declared(kind: str, word: str) -> None:
    assert Model.model_validate({"type": kind, "parallel": word, "workers": 3}).workers == 3


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"type": "random_forest", "parallel": "data"}, "allowed: data for lightgbm. Write parallel: model."),
        ({"type": "lightgbm", "parallel": "model"}, "random_forest, linear_regression, ridge_regression"),
        ({"type": "lightgbm", "parallel": "model"}, "Write parallel: data or voting."),
        ({"type": "rate_table", "parallel": "voting"}, "Remove `parallel`"),
        ({"type": "lightgbm", "parallel": "feature"}, "'data', 'voting' or 'model'"),
        ({"type": "lightgbm", "parallel": "data", "workers": 0}, "greater than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(declared: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=r"parallel|workers") as caught:
        Model.model_validate(declared)
    assert said in str(caught.value)


def test_without_a_word_training_stays_local() -> None:
    assert Model.model_validate({"type": "lightgbm"}).parallel is None


def test_the_check_raises_the_project_s_own_error() -> None:
    with pytest.raises(ConfigurationError, match="got parallel: voting for k_means"):
        ways.check("k_means", "voting")


WITHOUT = """
import sys
sys.modules["distributed"] = None
from mlplatform.errors import ConfigurationError
from mlplatform.offline.distributed import {modules}
from mlplatform.offline.distributed.cluster import cluster
try:
    cluster("", 1).__enter__()
except ConfigurationError as error:
    print(error.hint)
print([name for name in sys.modules if name.split(".")[0] in ("dask", "distributed") and sys.modules[name]])
"""


def test_without_the_extra_it_is_told_and_nothing_imports_dask_before() -> None:
    modules = "forest, least_squares, lightgbm_data, ring, tasks, train, ways"
    code = WITHOUT.replace("{modules}", modules)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install mlplatform[dask]" in said
    assert said.splitlines()[1] == "[]"
