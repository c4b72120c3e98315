"""A trained model as the champion rule sees it: figures and draws, nothing that could be scored with."""

import msgspec


class Candidate(msgspec.Struct, frozen=True):
    """A trained model and its figures on the validation rows (these decide) and on the test rows.

    `draws` are the validation figures on each resampling of the days; `broken` says why the golden rows do
    not replay, and is empty if they do.
    """

    digest: str
    model: str
    validation: dict[str, float]
    test: dict[str, float] = {}
    draws: dict[str, tuple[float, ...]] = {}
    broken: str = ""
