"""`mlplatform verify parity`: nothing differs in a lake as made; one changed bit is found and shown."""

import shutil
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import FeatureSetMismatch
from mlplatform.offline import project
from mlplatform.offline.parity import compare
from mlplatform.offline.parity_cells import different_rows, same
from mlplatform.offline.parity_champion import Champion
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stages.preparation.fitted import fit
from mlplatform.stages.training.candidate import Metadata, assemble
from mlplatform.stages.training.contract import TrainingSet
from mlplatform.stages.training.models import logistic_regression
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake, Table
from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Ended, Zygote

ORDERS = world.DAYS * world.ORDERS_A_DAY
MEAN = "hours_to_ship_mean_1d_by_warehouse"
FEATURES = 11
DAY = "2025-04-20"
WEEK = ("--from", "2025-04-17", "--to", "2025-04-23")


@pytest.fixture
def home(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the finished home that a test may change."""
    return Path(shutil.copytree(finished.home, tmp_path / "home"))


def verified(mlplatform: Zygote, finished: Finished, home: Path, *options: str) -> Ended:
    return mlplatform.run("verify", "parity", world.NAME, *options, home=home, cwd=finished.project)


def lake_of(home: Path) -> closing[Lake]:
    return closing(Lake.from_settings(Settings.load({"MLPLATFORM_HOME": str(home)})))


def change(home: Path, table: str, column: str, new: Callable[[float], float]) -> int:
    """Give one order of DAY another value; the order's id."""
    with lake_of(home) as lake:
        place = Table(world.NAME, table)
        rows = lake.read(place, first=DAY, last=DAY)
        at = int(rows[column].is_not_null().to_numpy().argmax())
        values = rows[column].to_list()
        values[at] = new(values[at])
        lake.write(place, rows.with_columns(pl.Series(column, values)), [DAY])
        return int(rows["order_id"][at])


def next_float(value: float) -> float:
    """The float whose bits, read as a whole number, are one more."""
    (bits,) = struct.unpack("q", struct.pack("d", value))
    return float(struct.unpack("d", struct.pack("q", bits + 1))[0])


def test_every_cell_and_score_of_every_question_is_the_same(
    finished: Finished, home: Path, mlplatform: Zygote
) -> None:
    said = verified(mlplatform, finished, home, "--json")
    assert said.returncode == 0, said.stderr
    result = world.one_object(said.stdout)
    assert (result["rows"], result["features"], result["cells"]) == (ORDERS, FEATURES, ORDERS * FEATURES)
    assert (result["different"], result["scores_different"], result["unasked"]) == (0, 0, 0)
    assert (result["scores"], result["scores_stored"]) == (ORDERS, 22 * world.ORDERS_A_DAY)
    assert (result["first"], result["last"], result["examples"]) == ("2025-03-01", "2025-04-29", [])
    assert result["feature_set"].startswith("late_orders@")
    assert result["seconds"] > 0


def test_a_few_days_alone_get_what_they_get_within_the_whole(
    finished: Finished, home: Path, mlplatform: Zygote
) -> None:
    said = verified(mlplatform, finished, home, *WEEK)
    assert said.returncode == 0, said.stdout + said.stderr
    cells = 7 * world.ORDERS_A_DAY * FEATURES
    assert f"{cells:,}" in said.stdout
    assert "2025-04-23" in said.stderr


def test_one_bit_of_one_batch_cell_is_found_and_shown(
    finished: Finished, home: Path, mlplatform: Zygote
) -> None:
    order = change(home, "features", MEAN, next_float)
    said = verified(mlplatform, finished, home, *WEEK, "--json")
    assert said.returncode == 1, said.stderr
    result = world.one_object(said.stdout)
    # The score of that day is stored, so only the cell differs.
    assert (result["different"], result["scores_different"]) == (1, 0)
    (example,) = result["examples"]
    assert (example["question"], example["feature"]) == ({"order_id": order}, MEAN)
    assert example["batch"] == next_float(example["online"])
    assert example["as_of"].startswith(DAY)
    assert example["batch_history"] == example["online_history"]
    history = example["batch_history"]
    assert 0 < len(history) <= 20
    assert {row["source"] for row in history} == {"shipments"}
    assert len({row["warehouse"] for row in history}) == 1
    hours = [row["hours_to_ship"] for row in history]
    assert len(hours) == 20 or sum(hours) / len(hours) == example["online"]
    text = verified(mlplatform, finished, home, *WEEK)
    assert text.returncode == 1
    assert f"{MEAN} of {{'order_id': {order}}}" in text.stdout


def test_one_changed_score_is_found(finished: Finished, home: Path, mlplatform: Zygote) -> None:
    order = change(home, "scores", "score", next_float)
    said = verified(mlplatform, finished, home, *WEEK, "--json")
    assert said.returncode == 1, said.stderr
    result = world.one_object(said.stdout)
    assert (result["different"], result["scores_different"]) == (0, 1)
    (example,) = result["examples"]
    assert (example["feature"], example["question"]) == ("score", {"order_id": order})
    assert example["batch"] == next_float(example["online"])


def test_a_source_row_that_batch_did_not_see_is_found(
    finished: Finished, home: Path, mlplatform: Zygote
) -> None:
    """An order that was shipped a minute later than the features say: what counts it differs."""
    with lake_of(home) as lake:
        place = Table(world.NAME, "orders")
        rows = lake.read(place, first=DAY, last=DAY)
        later = pl.col("hours_to_ship") + pl.int_range(pl.len()).eq(30).cast(pl.Int64)
        lake.write(place, rows.with_columns(later), [DAY])
    result = world.one_object(verified(mlplatform, finished, home, *WEEK, "--json").stdout)
    assert result["different"] > 0
    assert {example["feature"] for example in result["examples"]} == {MEAN, "score"}


def test_questions_without_features_are_no_agreement(
    finished: Finished, home: Path, mlplatform: Zygote
) -> None:
    with lake_of(home) as lake:
        place = Table(world.NAME, "features")
        rows = lake.read(place, first=DAY, last=DAY)
        lake.write(place, rows.head(57), [DAY])
    said = verified(mlplatform, finished, home, *WEEK, "--json")
    assert said.returncode == 1
    assert world.one_object(said.stdout)["unasked"] == world.ORDERS_A_DAY - 57


def test_comparing_nothing_is_no_success(finished: Finished, home: Path, mlplatform: Zygote) -> None:
    with lake_of(home) as lake:
        for name in ("features", "orders"):
            place = Table(world.NAME, name)
            rows = lake.read(place, first=DAY, last=DAY)
            lake.write(place, rows.clear(), [DAY], allow_empty=True)
    said = verified(mlplatform, finished, home, "--from", DAY, "--to", DAY, "--json")
    assert said.returncode == 1
    assert world.one_object(said.stdout)["rows"] == 0
    assert world.one_object(said.stdout)["unasked"] == 0


def test_a_day_that_is_none_is_wrong_use(finished: Finished, mlplatform: Zygote) -> None:
    for words in (("--from", "2025-02-30"), ("--to", "2026-01-01"), ("--from", DAY, "--to", "2025-04-01")):
        assert verified(mlplatform, finished, finished.home, *words).returncode == 2


def test_without_a_lake_it_says_what_to_do(finished: Finished, tmp_path: Path, mlplatform: Zygote) -> None:
    said = verified(mlplatform, finished, tmp_path / "nothing", "--json")
    assert (said.returncode, said.stdout) == (1, "")
    assert "mlplatform run" in said.stderr


def test_without_a_champion_features_are_compared(finished: Finished) -> None:
    declared = project.load(finished.folder)
    days: list[str] = []
    with lake_of(finished.home) as lake:
        found = compare(declared, lake, None, "2025-03-01", "2025-03-09", lambda day, _: days.append(day))
    assert found.equal
    assert (found.rows, found.scores) == (9 * world.ORDERS_A_DAY, 0)
    assert days == [f"2025-03-0{number}" for number in range(1, 10)]


def trained_on(feature_set: FeatureSet, rows: pl.DataFrame) -> Any:
    """A candidate of a logistic regression that was fitted on these features."""
    fitted = fit(feature_set, rows)
    label = (rows["order_id"] % 2).cast(pl.Float64).to_numpy()
    training = TrainingSet(fitted.matrix(rows), label, fitted.names, fitted.categories)
    model = logistic_regression.build().fit(training)
    metadata = Metadata(rows=rows.height, label_rate=0.5)
    return assemble(world.NAME, "logistic_regression", {}, model, training, fitted.to_json(), metadata)


def test_a_champion_of_fewer_features_and_one_of_others(finished: Finished) -> None:
    declared = project.load(finished.folder)
    settings = Settings.load({"MLPLATFORM_HOME": str(finished.home)})
    with closing(ChampionStore(settings.state_url)) as store:
        release = store.champion(world.NAME)
    assert release is not None
    with lake_of(finished.home) as lake:
        rows = lake.read(declared.table("features"), first="2025-03-10", last="2025-03-20")
        fewer = trained_on(declared.feature_set.only(["weekday", MEAN, "warehouse"]), rows)
        champion = Champion.of(release, fewer, declared.feature_set)
        without_stored = Table(world.NAME, "scores")
        assert lake.exists(without_stored)
        found = compare(declared, lake, champion, "2025-03-10", "2025-03-20")
    assert found.equal
    assert (found.scores, found.scores_stored) == (11 * world.ORDERS_A_DAY, 0)
    others = FeatureSet(declared.name, declared.feature_set.spine, declared.feature_set.features[:-1])
    with pytest.raises(FeatureSetMismatch, match=r"open_count.* are not as late_orders@"):
        Champion.of(release, CandidateStore(settings.candidates).get(world.NAME, release.digest), others)


def test_the_memory_of_a_replay_is_kept_small(finished: Finished) -> None:
    """Half a year would not be held as rows: what a question cannot reach any more is let go."""
    from mlplatform.offline.parity_events import Feed
    from mlplatform.stages.preparation.online import OnlineFeatures

    declared = project.load(finished.folder)
    features, day = OnlineFeatures(declared.feature_set), 86_400_000_000
    start = round(world.FIRST.timestamp()) * 1_000_000
    with lake_of(finished.home) as lake:
        feed = Feed(lake, world.NAME, features)
        feed.warm(start)
        held = []
        for week in range(start, start + 56 * day, 7 * day):
            feed.load(week, week + 7 * day)
            feed.until(week + 7 * day)
            held.append(feed.told("orders", week + 7 * day).height)
    assert max(held) <= 3 * 7 * world.ORDERS_A_DAY
    assert feed.given > 56 * world.ORDERS_A_DAY


values = st.one_of(st.none(), st.floats(width=64), st.sampled_from([0.0, -0.0, 1.0]))


@given(st.lists(st.tuples(values, st.one_of(values, st.integers(-2, 2), st.booleans())), min_size=1))
def test_cells_are_compared_by_type_and_bit(pairs: list[tuple[Any, Any]]) -> None:
    batch = pl.Series([one for one, _ in pairs], dtype=pl.Float64)
    found = different_rows(batch, [other for _, other in pairs])
    assert found == [n for n, (one, other) in enumerate(pairs) if not same(one, other)]


@pytest.mark.parametrize(
    ("batch", "online", "different"),
    [
        (pl.Series([1, None, 3], dtype=pl.Int32), [1, None, 3], []),
        (pl.Series([1, None, 3]), [1, 0, None], [1, 2]),
        (pl.Series([1, 0]), [1.0, 0], [0]),
        (pl.Series([1, 0]), [True, 0], [0]),
        (pl.Series([True, None]), [True, None], []),
        (pl.Series([True, None]), [1, None], [0]),
        (pl.Series(["a", None, ""]), ["a", None, None], [2]),
        (pl.Series([0.0, None, 1.5]), [-0.0, float("nan"), 1.5], [0, 1]),
    ],
)
def test_types_that_are_not_the_same(batch: pl.Series, online: list[Any], different: list[int]) -> None:
    assert different_rows(batch, online) == different
