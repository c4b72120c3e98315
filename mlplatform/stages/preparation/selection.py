"""Selection, the last step of a feature set: which features a model gets, by a ranking on the training rows.

It must not know a selector by name. The caller gives it training rows only, or the choice would see the test.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from mlplatform import plugins
from mlplatform.errors import ConfigurationError
from mlplatform.stages.preparation import selectors
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stages.preparation.fitted import FittedFeatureSet, as_label

Floats = npt.NDArray[np.float64]
Rank = Callable[..., Floats]

COMMON = ("most", "at_least")
"""Options of every strategy: how many features stay at most, and the lowest score that stays."""


@dataclass(frozen=True)
class Selection:
    """Which features stay. Use it as `feature_set.only(selection.names)`.

    `ranking` has a row per feature, the best first: feature, score, rank (from 1), selected.
    """

    ranking: pl.DataFrame
    names: tuple[str, ...]
    """Those selected, in the order declared."""
    strategy: str


def select(
    fitted: FittedFeatureSet,
    features: pl.DataFrame,
    label: pl.Series,
    *,
    strategy: str,
    options: Mapping[str, object],
) -> Selection:
    """Rank the features by the selector of that name (a file of `selectors/`, or a dotted path) and choose.

    Parameters
    ----------
    features: the training rows, as `batch.compute` gives them; `label`: theirs, true/false or 1/0.
    options: `most` (the best so many stay), `at_least` (only this score and above; without it, only scores
        above 0), and what the selector takes. Of equal scores the feature declared first ranks first.

    Raises
    ------
    ConfigurationError
        for an unknown strategy or option, a value that is not allowed, labels of one class, or no feature
        left.
    """
    most, at_least, own = _split(strategy, options)
    y = _both_classes(label)
    X = fitted.training_matrix(features, label)
    scores = _scores(strategy, X, y, fitted.names, fitted.categories, own)
    order = np.argsort(-scores, kind="stable")
    enough = scores[order] > 0 if at_least is None else scores[order] >= at_least
    chosen = enough & (np.arange(len(order)) < (len(order) if most is None else most))
    if not chosen.any():
        raise ConfigurationError(
            f"selection {strategy!r} with {dict(options)} leaves none of {len(order)} features; the best "
            f"score is {scores.max(initial=-math.inf):g}.",
            hint="Lower `at_least`, or look at the label: no feature tells anything of it.",
        )
    ranking = pl.DataFrame(
        {
            "feature": [fitted.names[place] for place in order],
            "score": scores[order],
            "rank": np.arange(1, len(order) + 1),
            "selected": chosen,
        }
    )
    kept = {fitted.names[place] for place in order[chosen]}
    return Selection(ranking, tuple(name for name in fitted.names if name in kept), strategy)


def check(feature_set: FeatureSet, strategy: str, options: Mapping[str, object]) -> None:
    """Try a strategy and its options on made-up rows, so that a mistake is known before hours of work.

    Raises
    ------
    ConfigurationError
        for an unknown strategy or option, or a value that is not allowed.
    """
    _, _, own = _split(strategy, options)
    names, categories = feature_set.names, dict.fromkeys(feature_set.categories, 2)
    X = np.tile(np.array([[0.0], [1.0]]), (60, len(names)))
    _scores(strategy, X, np.tile([0.0, 1.0], 60), names, categories, own)


def _split(strategy: str, options: Mapping[str, object]) -> tuple[int | None, float | None, dict[str, Any]]:
    """The common options, checked, and the selector's own."""
    most, at_least = (options.get(name) for name in COMMON)
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise ConfigurationError(
            f"selection {strategy!r}: got most {most!r}; allowed: a whole number from 1 on.",
            hint="Write most: 60 to keep the best 60 features.",
        )
    number = isinstance(at_least, int | float) and not isinstance(at_least, bool)
    if at_least is not None and not (number and math.isfinite(float(at_least))):  # type: ignore[arg-type]
        raise ConfigurationError(
            f"selection {strategy!r}: got at_least {at_least!r}; allowed: a number.",
            hint="It is a score of the strategy; the asset `ranking` shows those of this data.",
        )
    own = {name: value for name, value in options.items() if name not in COMMON}
    return most, None if at_least is None else float(at_least), own  # type: ignore[arg-type]


def _scores(
    strategy: str,
    X: Floats,
    y: Floats,
    names: Sequence[str],
    categories: Mapping[str, int],
    own: Mapping[str, Any],
) -> Floats:
    rank: Rank = plugins.find(selectors, strategy).rank
    try:
        inspect.signature(rank).bind(X, y, names, categories, **own)
    except TypeError as error:
        takes = inspect.signature(rank).parameters.values()
        allowed = [*COMMON, *(p.name for p in takes if p.kind is inspect.Parameter.KEYWORD_ONLY)]
        raise ConfigurationError(
            f"selection {strategy!r}: got options {sorted(own)} ({error}); allowed: {', '.join(allowed)}.",
            hint="Correct the options of the selection.",
        ) from error
    scores = rank(X, y, names, categories, **own)
    if scores.dtype != np.float64 or scores.shape != (len(names),) or np.isnan(scores).any():
        raise ConfigurationError(
            f"selector {strategy!r} gave {scores.dtype} of shape {scores.shape}, {np.isnan(scores).sum()} of "
            f"them NaN; allowed: one float64 score for each of {len(names)} features, never NaN.",
            hint="See mlplatform/stages/preparation/selectors/__init__.py.",
        )
    return scores


def _both_classes(label: pl.Series) -> Floats:
    y = as_label(label)
    classes = np.unique(y).tolist()
    if classes != [0.0, 1.0]:
        raise ConfigurationError(
            f"got {len(y)} training rows with labels {classes}; both 0 and 1 are needed to rank features.",
            hint="Train on a longer window, or check the label's definition.",
        )
    return y
