"""Values of the champion's history: what is asked to be released, and what was.

They must not know where the history is kept (stores/champions.py) or how a server takes a release.
"""

from datetime import datetime

import msgspec

from mlplatform.stages.deployment.policy import Policy


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to make one model the champion of a use case.

    `figures` are those it was chosen by; `as_of` is the partition key (YYYY-MM-DD) up to which it was
    trained; `released_at` is the caller's clock, with a time zone; `why` is one sentence.
    """

    use_case: str
    digest: str
    model: str
    feature_set_id: str
    figures: dict[str, float]
    as_of: str
    released_at: datetime
    released_by: str
    why: str
    policy: Policy = Policy()


class Release(Promotion, frozen=True, kw_only=True):
    """A promotion that took place: `version` counts a use case's releases from 1, without gaps.

    One digest may have several versions: with another policy or threshold, or promoted anew by the pipeline.
    """

    version: int


def number(promotion: Promotion, version: int) -> Release:
    """The promotion as release `version`."""
    return Release(**msgspec.structs.asdict(promotion), version=version)


def same_service(promotion: Promotion, release: Release) -> bool:
    """Whether promoting would change nothing of what is served: the model, its threshold and its policy."""
    return (
        promotion.digest == release.digest
        and promotion.figures.get("threshold") == release.figures.get("threshold")
        and promotion.policy == release.policy
    )
