"""A selector of a team's own, found by dotted path: the later declared, the better. No test lives here."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def rank(
    X: Floats, y: Floats, features: Sequence[str], categories: Mapping[str, int], /, *, give: str = "scores"
) -> Floats:
    """The place of each feature, or with `give` what a selector must not return."""
    places = np.arange(len(features), dtype=np.float64)
    wrong = {"nan": places * np.nan, "few": places[1:], "zeros": places * 0}
    return wrong.get(give, places)
