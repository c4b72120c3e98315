"""Makes a scikit-learn estimator of what defs.yaml says: a dotted path and parameters; must not fit it."""

import importlib
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from mlplatform.errors import ConfigurationError
from mlplatform.stages.training.contract import Task

_HINT = "Name a class with the scikit-learn interface, such as sklearn.neighbors.KNeighborsClassifier."
_SEEN_BY = {
    "classification": ("a classifier with predict_proba", "predict_proba"),
    "regression": ("a regressor", "predict"),
    "forecasting": ("a regressor", "predict"),
    "clustering": ("a clusterer with predict", "predict"),
}


def package(path: str) -> str:
    """The top package of a dotted path."""
    return path.partition(".")[0]


def find(path: str) -> type:
    """The estimator class at a dotted path; ConfigurationError if there is none."""
    from sklearn.base import BaseEstimator

    module, _, name = path.rpartition(".")
    if not module or package(path) in sys.stdlib_module_names:
        raise ConfigurationError(
            f"scikit_learn: got estimator: {path!r}; allowed: a dotted path.", hint=_HINT
        )
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise ConfigurationError(f"scikit_learn: no estimator {path!r}: {error}.", hint=_HINT) from error
    if not (isinstance(found, type) and issubclass(found, BaseEstimator)):
        raise ConfigurationError(
            f"scikit_learn: got estimator: {path!r}; allowed: a subclass of sklearn.base.BaseEstimator.",
            hint=_HINT,
        )
    return found


def make(path: str, params: Mapping[str, Any], seed: int) -> Any:
    """The unfitted estimator, with every `random_state` that is not given set to `seed`.

    A parameter may itself be `{estimator: …, params: …}`. Estimators inside run in one thread, because
    threads that add up decide the order of the additions.
    """
    kind = find(path)
    allowed = [name for name in inspect.signature(kind).parameters if name != "self"]
    unknown = sorted(set(params) - set(allowed))
    if unknown:
        raise ConfigurationError(
            f"scikit_learn: got params {unknown} of {kind.__name__}; allowed: {', '.join(allowed)}.",
            hint=f"Remove or correct {unknown[0]!r}.",
        )
    try:
        estimator = kind(**{name: _value(value, seed) for name, value in params.items()})
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"scikit_learn: {kind.__name__} refuses its params: {error}.") from error
    given = estimator.get_params(deep=True)
    chosen = {name: seed for name in given if name.endswith("random_state") and given[name] is None}
    return estimator.set_params(**chosen, **{name: 1 for name in given if name.endswith("__n_jobs")})


def _value(value: Any, seed: int) -> Any:
    if isinstance(value, Mapping) and "estimator" in value and set(value) <= {"estimator", "params"}:
        return make(value["estimator"], value.get("params", {}), seed)
    if isinstance(value, list):
        return [_value(each, seed) for each in value]
    return value


def check_task(estimator: Any, task: Task) -> None:
    """ConfigurationError unless the estimator answers the task's question."""
    from sklearn.base import is_classifier, is_regressor

    what, method = _SEEN_BY[task]
    regressor = is_regressor(estimator)
    kinds = {"classification": is_classifier(estimator), "regression": regressor, "forecasting": regressor}
    fits = kinds.get(task, not any(kinds.values()))
    if not (fits and hasattr(estimator, method)):
        raise ConfigurationError(
            f"scikit_learn: got {type(estimator).__name__} in {task}; allowed: {what}.",
            hint="CalibratedClassifierCV of sklearn.calibration gives any classifier probabilities."
            if is_classifier(estimator) and task == "classification"
            else f"Choose {what}.",
        )
