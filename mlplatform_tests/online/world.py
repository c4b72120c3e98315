"""A small world to score in: orders of shops in a real lake, real candidates, a real champion history.

The question: when an order is placed, will it be returned? Facts and tables hold ties, nulls and unseen keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mlplatform import plugins
from mlplatform.features import Agg, Category, FeatureSet, Last, Open, Row, Source, Spine, Static, col
from mlplatform.online.releases import Releases
from mlplatform.stages.deployment.alias import Action, Change
from mlplatform.stages.deployment.policy import Policy
from mlplatform.stages.deployment.release import Promotion, Release
from mlplatform.stages.preparation import batch
from mlplatform.stages.preparation.fitted import FittedFeatureSet, fit
from mlplatform.stages.training import models
from mlplatform.stages.training.candidate import Candidate, Metadata, assemble
from mlplatform.stages.training.contract import Floats, TrainingSet
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake, Table

USE_CASE = "returns"
START = datetime(2024, 3, 1, tzinfo=UTC)
KEY = ("order_id",)

placed = Source("placed", table="orders", at="placed", key=KEY)
shipped = Source("shipped", table="orders", at="shipped", key=KEY, lag="5m")
returned = Source("returned", table="orders", at="returned_at", key=KEY)

FEATURES = FeatureSet(
    USE_CASE,
    Spine(
        table="orders",
        key=KEY,
        facts={
            "order_id": "int",
            "shop": "string",
            "country": "string",
            "amount": "int",
            "weight": "float",
            "express": "bool",
            "placed": "time",
        },
        as_of=col("placed").minus("1m"),
    ),
    (
        Category("shop"),
        Row("amount_x", col("amount") * 1),
        Row("grams", col("weight") * 1000),
        Row("is_express", col("express") * 1),
        Row("hour", col("placed").hour("America/New_York")),
        Static("shops", by="shop", value="size"),
        Agg(placed, "shop", "count", "6h"),
        Agg(placed, (), "count", "1h"),
        Agg(placed, "shop", "mean", "2d", "amount"),
        Agg(placed, ("shop", "country"), "std", "2d", "amount"),
        Agg(placed, "shop", "max", "12h", "amount"),
        Agg(placed, "country", "sum", "1d", "weight", scale=100),
        Agg(returned, "shop", "mean", "3d", "late_return"),
        Last(shipped, "shop", "amount", "1d"),
        Last(shipped, "shop", "age", "1d", name="shipped_minutes_ago"),
        Open(placed, shipped, "shop", "count", "1d", "30m"),
        Open(placed, shipped, (), "mean_state", "12h", value="handling"),
    ),
)


def orders(days: int = 6, per_day: int = 40, seed: int = 0) -> pl.DataFrame:
    """The cleaned table `orders`, one partition a day."""
    random = np.random.default_rng(seed)
    n = days * per_day
    minutes = np.sort(random.integers(0, days * 1440 // 5, n)) * 5  # many at the same minute
    handling = random.integers(-20, 900, n)
    back = random.integers(100, 4000, n)
    kept, never = random.random(n) < 0.6, random.random(n) < 0.1
    shop = random.choice(["a", "b", "ü", "d"], n)
    rows = [
        {
            "order_id": int(i),
            "shop": None if random.random() < 0.1 else str(shop[i]),
            "country": None if random.random() < 0.2 else str(random.choice(["AT", "FR"])),
            "amount": None if random.random() < 0.1 else int(random.integers(-50, 500)),
            "weight": None if random.random() < 0.2 else float(np.round(random.random() * 9, 3)),
            "express": None if random.random() < 0.2 else bool(random.random() < 0.5),
            "placed": START + timedelta(minutes=int(minutes[i])),
            "shipped": None if never[i] else START + timedelta(minutes=int(minutes[i] + handling[i])),
            "handling": None if never[i] else int(handling[i]),
            "returned_at": None if kept[i] else START + timedelta(minutes=int(minutes[i] + back[i])),
            "late_return": None if kept[i] else bool(back[i] > 2000),
            "returned": bool(not kept[i]),
            "partition_key": f"{START + timedelta(minutes=int(minutes[i])):%Y-%m-%d}",
        }
        for i in range(n)
    ]
    times = {name: pl.Datetime("us", "UTC") for name in ("placed", "shipped", "returned_at")}
    return pl.DataFrame(rows, schema_overrides=times, infer_schema_length=None)


SHOPS = pl.DataFrame({"shop": ["a", "b", "d", None], "size": [3, None, 12, 99]})


@dataclass
class World:
    """Stores below one folder, and the service's view of them."""

    folder: Path

    def __post_init__(self) -> None:
        self.lake = Lake(self.folder / "lake" / "catalog.sqlite", self.folder / "lake" / "data")
        self.candidates = CandidateStore(self.folder / "candidates")
        self.state_url = f"sqlite:///{self.folder / 'state.sqlite'}"

    def releases(self, use_cases: Sequence[str] = (USE_CASE,)) -> Releases:
        """What a server would follow; a failed release is tried again at once."""
        return Releases(
            self.lake, self.candidates, lambda: ChampionStore(self.state_url), lambda: use_cases, retry=0.0
        )

    def write(self, frame: pl.DataFrame) -> None:
        """Put orders, by day, and the shops into the lake."""
        self.lake.write(Table(USE_CASE, "orders"), frame, frame["partition_key"].unique().to_list())
        self.lake.write(Table(USE_CASE, "shops"), SHOPS)

    def promote(self, candidate: Candidate, policy: Policy = Policy(), **figures: float) -> Release:
        """Store a candidate and make it the champion."""
        return ChampionStore(self.state_url).promote(self.promotion(candidate, policy, **figures))

    def promotion(self, candidate: Candidate, policy: Policy = Policy(), **figures: float) -> Promotion:
        """What it takes to promote a candidate, which is stored."""
        digest = self.candidates.put(candidate)
        return Promotion(
            use_case=USE_CASE,
            digest=digest,
            model=candidate.kind,
            feature_set_id=FittedFeatureSet.from_json(candidate.feature_set).id,
            figures=figures,
            as_of="2024-03-06",
            released_at=START,
            released_by="test",
            why="it is the only one",
            policy=policy,
        )

    def change(self, action: Action, version: int, share: float = 0.0) -> Change:
        """Move an alias."""
        store = ChampionStore(self.state_url)
        return store.change(USE_CASE, action, version, share=share, who="test", why="a test", at=START)


@dataclass(frozen=True)
class Trained:
    """A candidate and what it was trained on."""

    candidate: Candidate
    frame: pl.DataFrame
    matrix: Floats
    scores: Floats
    """Batch scores of the frame's rows."""


def train(
    frame: pl.DataFrame, kind: str = "lightgbm", feature_set: FeatureSet = FEATURES, **more: object
) -> Trained:
    """A candidate fitted on every row, by the batch path."""
    features = batch.compute(feature_set, frame, {"orders": frame, "shops": SHOPS})
    fitted = fit(feature_set, features)
    X = fitted.matrix(features)
    training = TrainingSet(X, frame["returned"].cast(pl.Float64).to_numpy(), fitted.names, fitted.categories)
    params: dict[str, object] = {"num_iterations": 15, "min_data_in_leaf": 5} if kind == "lightgbm" else {}
    params |= more
    model = plugins.find(models, kind).build(**params).fit(training)
    metadata = Metadata(rows=len(X), label_rate=0.4)
    candidate = assemble(USE_CASE, kind, params, model, training, fitted.to_json(), metadata)
    return Trained(candidate, frame, X, model.predict(X))


def facts_of(row: dict[str, Any]) -> dict[str, Any]:
    """The facts of a row of `orders`, as a caller would send them in JSON."""
    facts = {name: row[name] for name in FEATURES.spine.facts}
    return facts | {"placed": row["placed"].isoformat().replace("+00:00", "Z")}
