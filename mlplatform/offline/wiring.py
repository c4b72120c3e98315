"""The resources of a deployment, one set for every use case in it."""

from functools import cache
from typing import Any

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.io_manager import LakeIOManager
from mlplatform.offline.resources import (
    CandidatesResource,
    ChampionsResource,
    CheckpointsResource,
    LakeResource,
    PackagesResource,
    RawResource,
    ScoringService,
)


@cache
def resources(settings: Settings) -> dict[str, Any]:
    """Every resource of a deployment by its key.

    One set per deployment, so that several use cases in one project bring the same objects and merge.
    """
    lake = LakeResource.from_settings(settings)
    return {
        "mlplatform_lake": lake,
        "mlplatform_io": LakeIOManager(lake=lake),
        "mlplatform_raw": RawResource(folder=str(settings.raw), lake=lake, audit=settings.state_url),
        "mlplatform_candidates": CandidatesResource(folder=str(settings.candidates)),
        "mlplatform_packages": PackagesResource(folder=str(settings.packages)),
        "mlplatform_checkpoints": CheckpointsResource(folder=str(settings.checkpoints)),
        "mlplatform_champions": ChampionsResource(url=settings.state_url),
        "mlplatform_scoring": ScoringService(url=settings.scoring_url),
    }
