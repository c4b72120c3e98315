"""Batch scoring in chunks: the scores, classes, ranks and ids of scoring all rows at once, and of HTTP."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlplatform.errors import NotFound, StoreError
from mlplatform.features import Agg, FeatureSet, Spine
from mlplatform.stages.preparation import batch
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.output import Output
from mlplatform.stores import stored_features
from mlplatform.stores.batch_scores import SCORES, Committed, Scorer, score_days
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import KEY, Lake, Table
from mlplatform_tests.online.test_kinds_of_score import (
    AHEAD,
    ALONE,
    FORECAST,
    RANKED,
    Served,
    sent,
    served,
)
from mlplatform_tests.online.world import SHOPS, START, USE_CASE, World, orders, placed

SAID = {"model", "version", "digest", "feature_set", "prediction_id"}
FEATURES, TABLE = Table(USE_CASE, "features"), Table(USE_CASE, SCORES)


@dataclass(frozen=True)
class Case:
    """A service that answers over HTTP, the rows scored at once, and the lake to score in."""

    world: World
    feature_set: FeatureSet
    served: Served

    @property
    def expected(self) -> pl.DataFrame:
        """The rows that scoring everything at once gives, in the order of day and key."""
        return self.served.rows.sort(KEY, *self.feature_set.spine.key)

    @property
    def days(self) -> list[str]:
        return self.expected[KEY].unique().sort().to_list()

    def scorer(self, lake: Lake) -> Scorer:
        with closing(ChampionStore(self.world.state_url)) as champions:
            release = champions.champion(USE_CASE)
        assert release is not None
        return Scorer.open(release, self.world.candidates, lake)

    def score(self, days: list[str] | None = None, **bounds: int) -> list[Committed]:
        commits: list[Committed] = []
        score_days(
            self.scorer(self.world.lake), self.world.lake, days or self.days, done=commits.append, **bounds
        )
        return commits

    def forget(self) -> None:
        """Leave no scores, and no features that a scorer would read."""
        self.world.lake.drop(TABLE)
        self.world.lake.drop(Table(USE_CASE, stored_features.DECLARATIONS))


def case(folder: Path, feature_set: FeatureSet, output: Output, kind: str, **params: object) -> Case:
    """A world with stored features; each list or forecast lies in one day."""
    questions = orders() if feature_set is not PLANNED else forecasts()
    if feature_set is RANKED:
        list_day = (
            pl.when(pl.col("country") == "AT").then(pl.lit("2024-03-01")).otherwise(pl.lit("2024-03-02"))
        )
        questions = questions.drop_nulls("country").with_columns(list_day.alias(KEY))
    if feature_set is PLANNED:
        World(folder).lake.write(Table(USE_CASE, "plans"), questions, questions[KEY].unique().to_list())
    made = served(folder, feature_set, output, kind, questions, **params)
    found = Case(World(folder), feature_set, made)
    features = batch.compute(feature_set, questions, {"orders": orders(), "shops": SHOPS})
    lake = found.world.lake
    lake.write(FEATURES, features.with_columns(questions[KEY]), found.days)
    stored_features.keep(lake, USE_CASE, feature_set, found.days)
    return found


def forecasts() -> pl.DataFrame:
    starts = [START + timedelta(days=day) for day in range(1, 6)]
    rows = [
        {"shop": shop, "made": start, "hour": start + timedelta(hours=hour), KEY: f"{start:%Y-%m-%d}"}
        for shop in ("a", "b")
        for start in starts
        for hour in range(5)
    ]
    times = {name: pl.Datetime("us", "UTC") for name in ("made", "hour")}
    return pl.DataFrame(rows, schema_overrides=times)


PLANNED = FeatureSet(
    USE_CASE, Spine("plans", AHEAD.spine.key, AHEAD.spine.facts, AHEAD.spine.as_of), AHEAD.features
)
FEW: dict[str, object] = {"num_iterations": 3, "num_leaves": 3, "min_data_in_leaf": 5}
CASES: dict[str, tuple[FeatureSet, Output, str, dict[str, object]]] = {
    "probability": (ALONE, Output(), "lightgbm", FEW),
    "number": (ALONE, Output("regression"), "ridge_regression", {}),
    "cluster": (ALONE, Output("clustering"), "k_means", {"n_clusters": 3}),
    "ranked_list": (RANKED, Output("ranking", ("country",)), "lightgbm", FEW),
    "forecast": (PLANNED, FORECAST, "ridge_regression", {}),
}


@pytest.fixture(scope="module", params=CASES)
def any_case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    feature_set, output, kind, params = CASES[request.param]
    return case(tmp_path_factory.mktemp(request.param), feature_set, output, kind, **params)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Case]:
    """One case that a test may change."""
    found = case(tmp_path, ALONE, Output(), "lightgbm", **FEW)
    with closing(found.world.lake):
        yield found


def test_every_kind_in_chunks_is_all_at_once_to_the_bit(any_case: Case) -> None:
    commits = any_case.score(most_rows=any_case.expected.height // 2)
    assert len(commits) > 1
    got = any_case.world.lake.read(TABLE)
    assert set(got.columns) - set(any_case.expected.columns) == SAID
    assert_frame_equal(got.drop(SAID), any_case.expected.select(got.drop(SAID).columns), check_exact=True)
    assert got["prediction_id"].n_unique() == got.height
    assert sum(sum(each.rows.values()) for each in commits) == got.height


def test_an_answer_over_http_has_the_id_of_the_batch_row(any_case: Case) -> None:
    any_case.score()
    key, facts = list(any_case.feature_set.spine.key), any_case.feature_set.spine.facts
    rows = any_case.expected.join(
        any_case.world.lake.read(TABLE).select(*key, "prediction_id"), on=key, nulls_equal=True
    )
    compared = 0
    for row in rows.sample(min(25, rows.height), seed=1).iter_rows(named=True):
        answer = any_case.served.ask(sent(row, facts)).json()
        assert (answer["prediction_id"], answer["score"]) == (row["prediction_id"], row["score"])
        compared += 1
    assert compared == min(25, rows.height)


def test_a_whole_list_over_http_has_the_ids_of_the_batch_rows(tmp_path: Path) -> None:
    feature_set, output, kind, params = CASES["ranked_list"]
    ranked = case(tmp_path, feature_set, output, kind, **params)
    ranked.score()
    mine = ranked.world.lake.read(TABLE).filter(country="AT").sort("rank")
    rows = ranked.expected.filter(country="AT")
    said = ranked.served.ask([sent(row, RANKED.spine.facts) for row in rows.iter_rows(named=True)]).json()
    assert [place["prediction_id"] for place in said["places"]] == mine["prediction_id"].to_list()


def test_what_is_not_stored_is_computed_and_gets_the_same_ids(alone: Case) -> None:
    alone.score()
    stored = alone.world.lake.read(TABLE)
    alone.forget()
    alone.world.lake.drop(FEATURES)
    alone.score(most_rows=100)
    assert_frame_equal(alone.world.lake.read(TABLE), stored, check_exact=True)


def test_a_column_of_the_same_name_by_another_definition_is_not_read(alone: Case) -> None:
    """Two of the days are stored by another declaration, whose column of one name has other values."""
    alone.score()
    expected = alone.world.lake.read(TABLE)
    alone.world.lake.drop(TABLE)
    other = FeatureSet(
        ALONE.name,
        ALONE.spine,
        [*ALONE.features[:2], Agg(placed, "shop", "count", "12h", name=ALONE.names[2]), ALONE.features[3]],
    )
    assert other.names == ALONE.names
    lake, changed = alone.world.lake, alone.days[1:3]
    stored_features.forget(lake, USE_CASE, other, changed)
    made = batch.compute(other, orders(), {"orders": orders(), "shops": SHOPS}).with_columns(orders()[KEY])
    lake.write(FEATURES, made.filter(pl.col(KEY).is_in(changed)), changed)
    stored_features.keep(lake, USE_CASE, other, changed)
    assert stored_features.readable(lake, USE_CASE, ALONE, alone.days) == sorted({*alone.days} - {*changed})
    alone.score()
    assert_frame_equal(lake.read(TABLE), expected, check_exact=True)


def test_scored_again_nothing_changes(alone: Case) -> None:
    alone.score(most_rows=100)
    before = alone.world.lake.read(TABLE)
    alone.score(alone.days[2:4])
    assert_frame_equal(alone.world.lake.read(TABLE), before, check_exact=True)


def test_a_table_of_before_gets_the_new_column(alone: Case) -> None:
    alone.score()
    new = alone.world.lake.read(TABLE)
    alone.world.lake.drop(TABLE)
    alone.world.lake.write(TABLE, new.drop("prediction_id"), alone.days)
    alone.score(alone.days[:1])
    got = alone.world.lake.read(TABLE)
    first = got[KEY] == alone.days[0]
    assert_frame_equal(got.filter(first), new.filter(first), check_exact=True)
    assert got.filter(~first)["prediction_id"].null_count() == got.filter(~first).height


def test_what_the_listener_raises_ends_it_after_whole_days(alone: Case) -> None:
    class Stop(Exception):
        pass

    def stop(committed: Committed) -> None:
        raise Stop

    with pytest.raises(Stop):
        score_days(alone.scorer(alone.world.lake), alone.world.lake, alone.days, done=stop, most_rows=1)
    got = alone.world.lake.read(TABLE)
    whole = alone.expected.filter(pl.col(KEY).is_in(got[KEY].unique().to_list()))
    assert 0 < got.height == whole.height < alone.expected.height


def test_days_without_questions_are_refused_and_nothing_is_written(alone: Case) -> None:
    with pytest.raises(StoreError, match="no questions to score for 2030-01-01"):
        alone.score([*alone.days, "2030-01-01"])
    assert not alone.world.lake.exists(TABLE)
    with pytest.raises(NotFound, match="has days from 2024-03-01 to 2024-03-06"):
        alone.scorer(alone.world.lake).questions.within("2030-01-01", "2030-02-01")


def test_the_features_kept_are_those_of_the_model(alone: Case) -> None:
    scorer = alone.scorer(alone.world.lake)
    assert isinstance(scorer.questions.fitted, FittedFeatureSet)
    assert scorer.questions.counts(alone.days) == dict(
        alone.expected.group_by(KEY).len().sort(KEY).iter_rows()
    )
