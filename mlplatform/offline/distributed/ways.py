"""The words of `parallel` in defs.yaml and the models that each fits. It must not import Dask.

data: rows divided, full histograms exchanged. voting: rows divided, only the histograms of features that the
workers vote for exchanged (LightGBM's hybrid). model: parts of the model on different workers.
"""

from typing import Literal, get_args

from mlplatform.errors import ConfigurationError

Parallel = Literal["data", "voting", "model"]
PARALLEL: tuple[Parallel, ...] = get_args(Parallel)

MODELS: dict[Parallel, tuple[str, ...]] = {
    "data": ("lightgbm",),
    "voting": ("lightgbm",),
    "model": ("random_forest", "linear_regression", "ridge_regression"),
}


def check(kind: str, parallel: Parallel) -> None:
    """ConfigurationError unless models of the type `kind` can be trained in parallel in this way."""
    if kind in MODELS[parallel]:
        return
    fitting = [word for word in PARALLEL if kind in MODELS[word]]
    raise ConfigurationError(
        f"got parallel: {parallel} for {kind}; allowed: {parallel} for {', '.join(MODELS[parallel])}.",
        hint=f"Write parallel: {' or '.join(fitting)}." if fitting else "Remove `parallel` to train here.",
    )
