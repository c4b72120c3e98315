"""A synthetic home to score in: a year of stored features of any size, and a LightGBM champion.

Made the same each time. It must not time anything.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from mlplatform.crosscutting.settings import Settings
from mlplatform.features import FeatureSet, Row, Spine, col
from mlplatform.stages.deployment.release import Promotion, Release
from mlplatform.stages.preparation.declarations import FactType
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.candidate import Metadata, assemble
from mlplatform.stages.training.contract import Floats, TrainingSet
from mlplatform.stages.training.models import lightgbm
from mlplatform.stores import stored_features
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import KEY, Lake, Table

USE_CASE = "synthetic"
FIRST = datetime(2013, 1, 1, tzinfo=UTC)
BLOCK = 100_000
"""Rows that are made and written at once."""
_TRAINED_ON = 10_000
_FACTS: dict[str, FactType] = {
    "carrier": "string",
    "flight": "int",
    "tailnum": "string",
    "origin": "string",
    "dest": "string",
    "sched_dep": "time",
    "distance": "int",
}


def feature_set(features: int) -> FeatureSet:
    """So many features of one question."""
    spine = Spine("flights", ("sched_dep", "carrier", "flight"), dict(_FACTS), col("sched_dep").minus("60m"))
    return FeatureSet(USE_CASE, spine, [Row(f"f{at}", col("distance") * at) for at in range(features)])


def make(settings: Settings, *, rows: int, features: int, trees: int, days: int = 365) -> Release:
    """Features of `rows` questions in `days` days, and a champion of so many trees of 31 leaves."""
    declared = feature_set(features)
    with closing(Lake.from_settings(settings)) as lake:
        for frame in _frames(declared, rows, days):
            block = frame[KEY].unique().to_list()
            lake.write(Table(USE_CASE, "features"), frame, block)
            key = frame.select(*_FACTS, KEY)
            lake.write(Table(USE_CASE, "flights"), key, block)
            stored_features.keep(lake, USE_CASE, declared, block)
    return _champion(settings, declared, trees)


def day_keys(days: int) -> list[str]:
    """The partition keys of the days."""
    return [f"{FIRST + timedelta(days=day):%Y-%m-%d}" for day in range(days)]


def _frames(declared: FeatureSet, rows: int, days: int) -> Iterator[pl.DataFrame]:
    random = np.random.default_rng(0)
    keys, per_day = day_keys(days), rows // days
    extra = rows - per_day * days
    counts = [per_day + (day < extra) for day in range(days)]
    at = 0
    while at < days:
        until = at + 1
        while until < days and sum(counts[at : until + 1]) <= BLOCK:
            until += 1
        yield _frame(declared, random, keys[at:until], counts[at:until], at)
        at = until


def _frame(
    declared: FeatureSet, random: np.random.Generator, keys: list[str], counts: list[int], first: int
) -> pl.DataFrame:
    n = sum(counts)
    day = np.repeat(np.arange(len(keys)), counts)
    second = np.concatenate([np.sort(random.integers(0, 86_400, count)) for count in counts])
    moment = (FIRST + timedelta(days=first)).timestamp() + day * 86_400.0 + second
    values = _values(random, n, len(declared.names))
    return pl.DataFrame(
        {
            "carrier": random.choice(["AA", "B6", "DL", "EV", "UA"], n),
            "flight": np.arange(n),
            "tailnum": np.char.add("N", random.integers(10_000, 14_000, n).astype(str)),
            "origin": random.choice(["EWR", "JFK", "LGA"], n),
            "dest": random.choice(["ATL", "BOS", "LAX", "MIA", "ORD"], n),
            "sched_dep": (moment * 1e6).astype(np.int64),
            "distance": random.integers(80, 5000, n),
        }
    ).with_columns(
        pl.col("sched_dep").cast(pl.Datetime("us", "UTC")),
        as_of=(pl.col("sched_dep") - 3_600_000_000).cast(pl.Datetime("us", "UTC")),
        **{KEY: pl.Series(np.array(keys)[day])},
        **{name: pl.Series(values[:, at]) for at, name in enumerate(declared.names)},
    )


def _values(random: np.random.Generator, rows: int, features: int) -> Floats:
    """Counts, shares and minutes as features are: few different values in most, some missing."""
    values: Floats = np.round(random.normal(size=(rows, features)) * 40)
    values[:, ::3] = values[:, ::3] / 7
    values[random.random(values.shape) < 0.05] = np.nan
    return values


def _champion(settings: Settings, declared: FeatureSet, trees: int) -> Release:
    random = np.random.default_rng(1)
    X = _values(random, _TRAINED_ON, len(declared.names))
    pull = np.nan_to_num(X[:, :8]).sum(axis=1) + random.normal(size=len(X)) * 60
    fitted = FittedFeatureSet(declared, {})
    training = TrainingSet(X, (pull > 0).astype(np.float64), fitted.names, fitted.categories)
    params: dict[str, object] = {"num_iterations": trees, "max_bin": 63, "feature_fraction": 0.3}
    model = lightgbm.build(**params).fit(training)
    metadata = Metadata(rows=len(X), label_rate=0.5)
    made = assemble(USE_CASE, "lightgbm", params, model, training, fitted.to_json(), metadata)
    digest = CandidateStore(settings.candidates).put(made)
    with closing(ChampionStore(settings.state_url)) as store:
        return store.promote(
            Promotion(
                use_case=USE_CASE,
                digest=digest,
                model="lightgbm",
                feature_set_id=fitted.id,
                figures={"threshold": 0.5},
                as_of="2013-01-01",
                released_at=FIRST,
                released_by="benchmark",
                why="it is the only one",
            )
        )
