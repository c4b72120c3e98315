"""The champion on both paths: a row's score as the scoring service gives it, and as batch scoring does.

It must not know where features come from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import polars as pl

from mlplatform.errors import FeatureSetMismatch
from mlplatform.stages.deployment.release import Release
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.candidate import Candidate, open_model
from mlplatform.stages.training.contract import Model


@dataclass(frozen=True)
class Champion:
    """The model that scores, on both paths."""

    release: Release
    fitted: FittedFeatureSet
    model: Model

    @classmethod
    def of(cls, release: Release, candidate: Candidate, feature_set: FeatureSet) -> "Champion":
        """The champion, if it takes features of this set.

        Raises
        ------
        FeatureSetMismatch
            if it was trained with features that are declared otherwise now.
        ModelError
            if its golden rows get other scores.
        """
        fitted = FittedFeatureSet.from_json(candidate.feature_set)
        strange = [f.name for f in fitted.feature_set.features if f not in feature_set.features]
        if strange:
            raise FeatureSetMismatch(
                f"the champion's features {', '.join(strange[:5])} are not as {feature_set.id} says.",
                hint="Materialise features and models again: `mlplatform run`.",
            )
        return cls(release, fitted, open_model(candidate))

    def online(self, names: Sequence[str]) -> Callable[[list[Any]], float]:
        """From a vector in the order of `names` to the score, as the scoring service does."""
        positions = [list(names).index(name) for name in self.fitted.names]
        chosen = itemgetter(*positions) if len(positions) > 1 else lambda vector: (vector[positions[0]],)
        encode, score_row = self.fitted.encoder(), self.model.row_scorer()
        return lambda vector: score_row(encode(chosen(vector)))

    def batch(self, features: pl.DataFrame) -> pl.Series:
        """The scores of rows of features, as the asset `scores` computes them."""
        return pl.Series(self.model.predict(self.fitted.matrix(features)), dtype=pl.Float64)
