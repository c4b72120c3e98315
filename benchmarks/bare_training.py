"""What the bare libraries do for the declared models, on the same rows: the yardstick of training's time.

Each function trains as a script would, with the library's own preparation and no artefact. It must not use
the platform's models.
"""

from collections.abc import Callable, Mapping
from typing import Any

import lightgbm
import polars as pl
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from mlplatform.stages.training.contract import TrainingSet

THREADS = 2


def lightgbm_train(data: TrainingSet, params: Mapping[str, Any]) -> None:
    """`lightgbm.train` with the same parameters; as many threads as ours has by default."""
    told = {"objective": "binary", "num_threads": THREADS, "verbosity": -1, "seed": 0, **params}
    rounds = told.pop("num_iterations")
    made = {"feature_name": list(data.names), "categorical_feature": list(data.category_columns)}
    rows = lightgbm.Dataset(data.X.copy(), data.y, params=told, **made)
    lightgbm.train(told, rows, num_boost_round=rounds)


def logistic_regression(data: TrainingSet, params: Mapping[str, Any]) -> None:
    """Median, indicator, standardise and one-hot by scikit-learn, then its Newton solver."""
    categories = list(data.category_columns)
    numbers = [place for place in range(len(data.names)) if place not in categories]
    prepare = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), numbers),
            ("categories", OneHotEncoder(handle_unknown="ignore", max_categories=120), categories),
        ],
        sparse_threshold=0.0,
    )
    solver = LogisticRegression(solver="newton-cholesky", max_iter=50, tol=1e-6, **params)
    make_pipeline(prepare, solver).fit(data.X, data.y)


def decision_tree(data: TrainingSet, params: Mapping[str, Any]) -> None:
    """scikit-learn's tree on the matrix as it is."""
    DecisionTreeClassifier(random_state=0, **params).fit(data.X, data.y)


def rate_table(data: TrainingSet, params: Mapping[str, Any]) -> None:
    """A mean per combination, by polars."""
    columns = {name: data.X[:, data.names.index(name)] for name in params["by"]}
    pl.DataFrame(columns | {"y": data.y}).group_by(list(params["by"])).agg(pl.mean("y"))


BARE: dict[str, Callable[[TrainingSet, Mapping[str, Any]], None]] = {
    "lightgbm": lightgbm_train,
    "logistic_regression": logistic_regression,
    "decision_tree": decision_tree,
    "rate_table": rate_table,
}
"""By model type; a type that is not here is timed alone."""
