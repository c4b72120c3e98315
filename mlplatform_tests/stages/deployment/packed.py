"""A small candidate with real features, and the package of it."""

from functools import cache

import msgspec
import numpy as np
import polars as pl

from mlplatform.features import Category, FeatureSet, Row, Spine, col
from mlplatform.stages.deployment import package
from mlplatform.stages.deployment.card import Facts, Figure
from mlplatform.stages.deployment.policy import Policy
from mlplatform.stages.preparation.fitted import fit
from mlplatform.stages.training.candidate import METADATA, Candidate, Metadata, assemble
from mlplatform.stages.training.contract import TrainingSet
from mlplatform.stages.training.models import lightgbm

FEATURES = FeatureSet(
    "parcels",
    Spine(
        table="parcels",
        key=("id",),
        facts={"id": "int", "carrier": "string", "weight": "float", "sent": "time"},
        as_of=col("sent").minus("0m"),
    ),
    [Category("carrier"), Row("heft", col("weight") * 1)],
)
FACTS = Facts(
    title="Parcels",
    description="Will a parcel be late?",
    owners=("team:parcels",),
    target="late",
    figures=(
        Figure("test", "log_loss", 0.4, 0.35, 0.45),
        Figure("test", "log_loss[carrier=A]", 0.5),
        Figure("test", "rows", 1200.0),
    ),
)


@cache
def candidate() -> Candidate:
    """A LightGBM model of two features."""
    source = np.random.default_rng(0)
    frame = pl.DataFrame({"carrier": ["A", "B", "C"] * 100, "heft": source.normal(size=300)})
    late = pl.Series("late", (frame["heft"] > 0).to_list())
    fitted = fit(FEATURES, frame, late)
    training = TrainingSet(
        fitted.matrix(frame), late.cast(pl.Float64).to_numpy(), fitted.names, categories=fitted.categories
    )
    params = {"num_iterations": 3}
    model = lightgbm.build(**params).fit(training)
    versions = {"mlplatform": "1", "lightgbm": "4.7.0", "python": "3.11.7"}
    made = Metadata(300, 0.5, versions=versions, created_at="2025-05-01T00:00:00+00:00")
    return assemble("parcels", "lightgbm", params, model, training, fitted.to_json(), made)


def files_of(one: Candidate) -> dict[str, bytes]:
    """The files of a candidate as its store has them."""
    return {**one.deciding_files(), METADATA: msgspec.json.encode(one.metadata)}


def packed(one: Candidate | None = None, policy: Policy = Policy(constant=0.5)) -> dict[str, bytes]:
    """The files of the package."""
    files = files_of(one or candidate())
    chain = (package.Link(3, "rate_table", "f" * 64),)
    return package.build(
        files, FACTS, model="boosted", as_of="2025-05-01", threshold=0.4, policy=policy, chain=chain
    )
