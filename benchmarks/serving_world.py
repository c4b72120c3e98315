"""What is scored in `benchmarks.serving`: a home with a champion, and 1,000 different questions of it.

The world "wide" has 68 features over a memory of orders and a LightGBM of 300 trees with 63 leaves; any other
home is taken as it is. It must not start a server.
"""

import json
import math
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import polars as pl

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import NotFound
from mlplatform.features import Agg, Category, FeatureSet, Last, Open, Row, Spine, Static, col
from mlplatform.online.facts import FactsReader
from mlplatform.stages.preparation import batch
from mlplatform.stages.preparation.declarations import Feature
from mlplatform.stages.preparation.fitted import FittedFeatureSet, fit
from mlplatform.stages.training.candidate import Metadata, assemble
from mlplatform.stages.training.contract import Floats, TrainingSet
from mlplatform.stages.training.models import lightgbm as models
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake, Table
from mlplatform.stores.warmup import warm
from mlplatform_tests.online.world import FEATURES, SHOPS, USE_CASE, World, orders, placed, returned, shipped

ROWS = 1000
WIDE = USE_CASE
_PARAMETERS: dict[str, object] = {
    "num_iterations": 300,
    "num_leaves": 63,
    "learning_rate": 0.05,
    "num_threads": 1,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Questions:
    """Different rows of one use case, as every server is asked them, and the scores they must get."""

    use_case: str
    model: bytes
    """LightGBM's text file."""
    facts: list[bytes]
    """JSON objects."""
    matrix: Floats
    """What the features of `facts` are, rows × features; NaN is missing."""

    @cached_property
    def booster(self) -> lightgbm.Booster:
        """The model as LightGBM itself reads it."""
        return lightgbm.Booster(model_str=self.model.decode())

    @cached_property
    def whole(self) -> Floats:
        """The features without missing values, which JSON and the peers have no word for: 0 instead."""
        return np.nan_to_num(self.matrix, nan=0.0)

    def scores(self, matrix: Floats) -> list[float]:
        """`Booster.predict` of rows in batch."""
        predicted: list[float] = np.asarray(self.booster.predict(matrix, num_threads=1)).tolist()
        return predicted


def wide_features() -> FeatureSet:
    """68 features of an order: counts, means and maxima by shop and country over windows up to 3 days."""
    keys: tuple[tuple[str, ...], ...] = ((), ("shop",), ("country",), ("shop", "country"))
    windows = ("1h", "6h", "1d", "3d")
    features: list[Feature] = [
        Category("shop"),
        Row("amount_x", col("amount") * 1),
        Row("grams", col("weight") * 1000),
        Row("is_express", col("express") * 1),
        Row("hour", col("placed").hour("America/New_York")),
        Static("shops", by="shop", value="size"),
        Last(shipped, "shop", "amount", "1d"),
        Last(shipped, "shop", "age", "1d", name="shipped_minutes_ago"),
        Open(placed, shipped, "shop", "count", "1d", "30m"),
        Open(placed, shipped, (), "mean_state", "12h", value="handling"),
        Agg(returned, "shop", "mean", "3d", "late_return"),
        Agg(returned, (), "mean", "3d", "late_return"),
    ]
    for by in keys:
        for window in windows:
            features.append(Agg(placed, by, "count", window))
            features.append(Agg(placed, by, "mean", window, "amount"))
            features.append(Agg(placed, by, "max", window, "amount"))
        features += [Agg(placed, by, "std", window, "amount") for window in windows[2:]]
    spine = FEATURES.spine
    return FeatureSet(WIDE, Spine(spine.table, spine.key, spine.facts, spine.as_of), features)


def make_wide(home: Path) -> None:
    """Orders of eight days in a lake, and the model of 300 trees as champion."""
    world, frame, feature_set = World(home), orders(days=8, per_day=600), wide_features()
    world.write(frame)
    features = batch.compute(feature_set, frame, {"orders": frame, "shops": SHOPS})
    fitted = fit(feature_set, features)
    X, y = fitted.matrix(features), frame["returned"].cast(pl.Float64).to_numpy()
    training = TrainingSet(X, y, fitted.names, fitted.categories)
    model = models.build(**_PARAMETERS).fit(training)
    metadata = Metadata(rows=len(X), label_rate=float(y.mean()))
    world.promote(
        assemble(WIDE, "lightgbm", _PARAMETERS, model, training, fitted.to_json(), metadata), threshold=0.5
    )
    world.lake.close()


def questions(home: Path, use_case: str, count: int = ROWS) -> Questions:
    """The newest rows that the champion of a home can be asked about, at most `count`.

    Raises
    ------
    NotFound
        if the use case has no champion, or that is no LightGBM.
    """
    settings = Settings.load({"MLPLATFORM_HOME": str(home)})
    with closing(ChampionStore(settings.state_url)) as champions:
        release = champions.champion(use_case)
    files = CandidateStore(settings.candidates).get(use_case, release.digest) if release else None
    if files is None or "model.txt" not in files.model_files:
        raise NotFound(
            f"{use_case!r} in {home} has no LightGBM as champion.",
            hint=f"Run `mlplatform run {use_case}` with MLPLATFORM_HOME={home} first.",
        )
    fitted = FittedFeatureSet.from_json(files.feature_set)
    with closing(Lake.from_settings(settings)) as lake:
        memory = warm(lake, use_case, fitted.feature_set)
        spine = fitted.feature_set.spine
        rows = lake.read(Table(use_case, spine.table)).select(list(spine.facts))
    reader, encode = FactsReader(spine), fitted.encoder()
    bodies, matrix = [], []
    for row in rows.reverse().iter_rows(named=True):
        body = json.dumps({name: _plain(value) for name, value in row.items()}).encode()
        facts = reader.json(body)
        if memory.features.as_of(facts) >= (memory.whole_from_us or 0):
            bodies.append(body)
            matrix.append(encode(memory.features.vector(facts)))
        if len(bodies) == count:
            break
    return Questions(use_case, files.model_files["model.txt"], bodies, np.array(matrix, dtype=np.float64))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return None if isinstance(value, float) and math.isnan(value) else value
