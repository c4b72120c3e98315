"""The trail of real scores of a finished run: back to the delivered files, and forward from a batch."""

import json
import random
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from msgspec.structs import replace

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import NotFound
from mlplatform.offline.trail import declared_reads
from mlplatform.online.bundle import Bundle
from mlplatform.online.releases import Releases
from mlplatform.online.served_log import ServedLog
from mlplatform.online.service import ScoringService
from mlplatform.stages.deployment.policy import Policy
from mlplatform.stages.deployment.release import Promotion
from mlplatform.stages.scoring.score import Answer
from mlplatform.stores.batches import Batch, Manifest
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake, Table
from mlplatform.stores.raw import RawStore
from mlplatform.stores.tracing import Tracer, touched_by, trace
from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Zygote

DAY = "2025-04-29"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CONSTANT = 0.125


def settings_of(home: Path) -> Settings:
    return Settings.load({"MLPLATFORM_HOME": str(home)})


def table(settings: Settings, name: str) -> pl.DataFrame:
    with closing(Lake.from_settings(settings)) as lake:
        return lake.read(Table(world.NAME, name))


def trails(settings: Settings, ids: list[str], finished: Finished) -> list[dict[str, Any]]:
    with Tracer(settings, declared_reads(finished.project)) as tracer:
        return list(tracer.many(ids))


def incomplete(trails: list[dict[str, Any]]) -> list[str]:
    return [sentence for trail in trails for sentence in trail["missing"]]


def ask(settings: Settings, rows: list[dict[str, Any]]) -> None:
    """Ask the scoring service these questions, in this process; its answers are in the lake after it."""
    releases = Releases.from_settings(settings, [world.NAME])
    releases.poll()
    with closing(Lake.from_settings(settings)) as lake:
        log = ServedLog(lake.write_all, most=len(rows) + 10)
        service = ScoringService(releases, log.add)
        for row in rows:
            service.score(world.NAME, row)
        _last_links(settings, log, releases.current[world.NAME].bundle)
        log.close(60)


def _last_links(settings: Settings, log: ServedLog, bundle: Bundle) -> None:
    """Answers without a question of ours: ready-made features, a batch score given again, the constant."""
    ready = bundle.asked_features([float(n) for n in range(len(bundle.names))])
    answer = bundle.told(ready, bundle.score_row(ready.row), "champion")
    log.add(bundle.facts.types, ready.facts, ready.row, answer)
    stored = table(settings, "scores").row(0, named=True)
    order = table(settings, "orders").row(by_predicate=pl.col("order_id") == stored["order_id"], named=True)
    facts = bundle.facts.convert({name: order[name] for name in bundle.facts.names})
    told = {name: stored[name] for name in ("model", "version", "digest", "feature_set", "score", "as_of")}
    given = Answer(
        prediction_id="b" * 32, use_case=world.NAME, kind="probability", link="precomputed", **told
    )
    log.add(bundle.facts.types, facts, [], given)
    nobody = {"model": "constant", "version": 0, "digest": "", "feature_set": "", "score": CONSTANT}
    log.add(
        bundle.facts.types,
        facts,
        [],
        replace(given, prediction_id="c" * 32, link="constant", **nobody),
    )


def asked(settings: Settings) -> list[dict[str, Any]]:
    """The facts of every order of DAY."""
    names = ["order_id", "warehouse", "weight_g", "express", "placed", "promised"]
    with closing(Lake.from_settings(settings)) as lake:
        return lake.read(Table(world.NAME, "orders"), columns=names, first=DAY).to_dicts()


@pytest.fixture(scope="module")
def answered(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A copy of the finished home in which questions were answered; not to be changed."""
    home = shutil.copytree(finished.home, tmp_path_factory.mktemp("answered") / "home")
    settings = settings_of(home)
    what_if = [{**row, "weight_g": 1} for row in asked(settings)[:5]]
    ask(settings, [*asked(settings), *what_if])
    return settings


@pytest.fixture
def own(finished: Finished, tmp_path: Path) -> Settings:
    """A copy of the finished home that a test may change."""
    return settings_of(shutil.copytree(finished.home, tmp_path / "home"))


@pytest.fixture
def some(finished: Finished) -> list[str]:
    """Ids of some batch scores."""
    ids = table(settings_of(finished.home), "scores")["prediction_id"].to_list()
    return random.Random(7).sample(ids, 24)


class TestBack:
    def test_every_batch_score_is_traced_whole_and_comes_out_again(
        self, finished: Finished, some: list[str]
    ) -> None:
        found = trails(settings_of(finished.home), some, finished)
        assert sorted(trail["prediction_id"] for trail in found) == sorted(some)
        assert incomplete(found) == []
        assert all(trail["complete"] for trail in found)
        assert {(p["features_again"], p["score_again"]) for p in (t["proof"] for t in found)} == {
            (True, True)
        }

    def test_what_the_trail_says_is_what_the_stores_have(self, finished: Finished, some: list[str]) -> None:
        settings = settings_of(finished.home)
        trail = trace(settings, some[0], declared_reads(finished.project))
        score = table(settings, "scores").row(by_predicate=pl.col("prediction_id") == some[0], named=True)
        order = table(settings, "orders").row(
            by_predicate=pl.col("order_id") == score["order_id"], named=True
        )
        assert (trail["score"], trail["version"], trail["digest"]) == (
            score["score"],
            score["version"],
            score["digest"],
        )
        assert trail["feature_set"] == score["feature_set"]
        assert trail["row"]["batch"] == order["batch_id"]
        assert trail["row"]["facts"]["promised"] == order["promised"]
        with closing(ChampionStore(settings.state_url)) as store:
            release = store.find(world.NAME, score["version"])
        assert (trail["release"]["who"], trail["release"]["why"]) == (release.released_by, release.why)
        figures = table(settings, f"evaluation_{release.model}").filter(part="test", figure="log_loss")
        assert trail["evaluation"]["test"]["log_loss"] == figures["value"][0]
        split = table(settings, "split").filter(order_id=score["order_id"])
        assert trail["split"]["part"] == (split["part"][0] if split.height else None)
        assert trail["split"]["same_as_stored"]
        features = table(settings, "features").row(
            by_predicate=pl.col("order_id") == score["order_id"], named=True
        )
        assert trail["features"]["warehouse"]["level"] == order["warehouse"]
        for name in ("weekday", "late_mean_7d_by_warehouse", "packers_by_warehouse"):
            assert trail["features"][name]["value"] == features[name]

    def test_the_batches_of_a_window_are_those_of_the_rows_in_it(
        self, finished: Finished, some: list[str]
    ) -> None:
        settings = settings_of(finished.home)
        orders, scores = table(settings, "orders"), table(settings, "scores")
        for trail in trails(settings, some[:6], finished):
            as_of = scores.filter(prediction_id=trail["prediction_id"])["as_of"][0]
            known = pl.col("delivered") + pl.duration(minutes=30)
            within = orders.filter(
                known > as_of - timedelta(days=3),
                known <= as_of,
                pl.col("late").is_not_null(),
                warehouse=trail["row"]["facts"]["warehouse"],
            )
            said = trail["features"]["late_mean_3d_by_warehouse"]
            assert (said["rows"], said["batches"]) == (within.height, sorted(set(within["batch_id"])))

    def test_files_are_those_that_were_delivered(self, finished: Finished, some: list[str]) -> None:
        delivered = {
            sha256(file.read_bytes()).hexdigest(): file.name for file in (finished.folder / "data").iterdir()
        }
        trail = trace(settings_of(finished.home), some[0])
        assert {delivered[file["sha256"]] for file in trail["files"]} == {
            "orders-1.csv",
            "orders-2.csv",
            "warehouses.csv",
        }
        assert all(file["kept"] and file["intact"] for file in trail["files"])
        row = next(batch for batch in trail["batches"] if batch["row"])
        assert (row["data_set"], row["partition"]) == ("orders", trail["row"]["day"])

    def test_what_was_served_is_traced_from_its_logged_vector(
        self, finished: Finished, answered: Settings
    ) -> None:
        served = table(answered, "served").filter(link="champion").drop_nulls("as_of")
        found = trails(answered, served["prediction_id"].to_list(), finished)
        assert len(found) == served["prediction_id"].n_unique() == world.ORDERS_A_DAY + 5
        assert incomplete(found) == []
        assert {(p["features_again"], p["score_again"]) for p in (t["proof"] for t in found)} == {
            (True, True)
        }
        assert all(trail["row"]["batch"] for trail in found)
        assert all(trail["answer"]["link"] == "champion" for trail in found)
        assert {"scores" in trail["stored_in"] for trail in found} == {True, False}, (
            "what if has no batch score"
        )

    def test_answers_of_the_other_links(self, finished: Finished, answered: Settings) -> None:
        served = table(answered, "served").filter(pl.col("as_of").is_null(), link="champion")
        (ready,) = served["prediction_id"]
        by_id = {t["prediction_id"]: t for t in trails(answered, [ready, "b" * 32, "c" * 32], finished)}
        assert by_id[ready]["complete"]
        assert by_id[ready]["features"]["weight"]["value"] == 1.0
        assert (by_id[ready]["batches"], by_id[ready]["proof"]["score_again"]) == ([], True)
        assert "ready-made" in by_id[ready]["notes"][0]
        again = by_id["b" * 32]
        assert again["complete"], again["missing"]
        assert again["answer"]["link"] == "precomputed"
        assert again["proof"] == {"features_again": True, "score_again": True}
        constant = by_id["c" * 32]
        assert constant["missing"] == ["release: no release declares this constant"]

    def test_a_declared_constant_is_traced_to_its_release(self, own: Settings, finished: Finished) -> None:
        with closing(ChampionStore(own.state_url)) as store:
            (first,) = store.history(world.NAME)
            told = {name: getattr(first, name) for name in Promotion.__struct_fields__}
            store.release(Promotion(**told | {"policy": Policy(constant=CONSTANT), "why": "be safe"}))
        ask(own, [])
        trail = trace(own, "c" * 32)
        assert trail["complete"], trail["missing"]
        assert (trail["release"]["why"], trail["candidate"]) == ("be safe", None)

    def test_ids_that_are_not_there(self, finished: Finished, some: list[str], tmp_path: Path) -> None:
        settings = settings_of(finished.home)
        with pytest.raises(NotFound, match="no score has the id 'x'"):
            trace(settings, "x")
        found = {t["prediction_id"]: t for t in trails(settings, [some[0], "x", "x"], finished)}
        assert len(found) == 2
        assert not found["x"]["complete"]
        with pytest.raises(NotFound, match="no lake"):
            trace(settings_of(tmp_path / "nowhere"), "x")


class TestMissing:
    def test_a_file_that_is_gone_or_other_now(self, own: Settings, some: list[str]) -> None:
        files = {Path(file["path"]) for file in trace(own, some[0])["files"]}
        gone, changed, *_ = sorted(files)
        gone.unlink()
        changed.chmod(0o644)
        changed.write_bytes(changed.read_bytes() + b"\n")
        trail = trace(own, some[0])
        assert not trail["complete"]
        assert f"files: {gone.name} is not kept any more" in trail["missing"]
        assert f"files: {changed.name} has other bytes now" in trail["missing"]

    def test_a_candidate_its_evaluation_and_its_split(self, own: Settings, some: list[str]) -> None:
        trail = trace(own, some[0])
        with closing(Lake.from_settings(own)) as lake:
            lake.drop(Table(world.NAME, "split"))
            lake.drop(Table(world.NAME, f"evaluation_{trail['release']['model']}"))
        assert [sentence.partition(":")[0] for sentence in trace(own, some[0])["missing"]] == [
            "evaluation",
            "split",
        ]
        shutil.rmtree(own.candidates / world.NAME / trail["digest"])
        assert "candidate" in {sentence.partition(":")[0] for sentence in trace(own, some[0])["missing"]}

    def test_a_row_that_a_correction_took_away(self, own: Settings, some: list[str]) -> None:
        before = trace(own, some[0])
        with closing(Lake.from_settings(own)) as lake:
            place, day = Table(world.NAME, "orders"), before["row"]["day"]
            rows = lake.read(place, first=day, last=day)
            order = before["row"]["facts"]["order_id"]
            lake.write(place, rows.filter(pl.col("order_id") != order), [day])
        trail = trace(own, some[0])
        assert any(sentence.startswith("row:") for sentence in trail["missing"])

    def test_rows_that_changed_since_are_seen_by_the_proof(self, own: Settings, some: list[str]) -> None:
        before = trace(own, some[0])
        with closing(Lake.from_settings(own)) as lake:
            place, days = Table(world.NAME, "orders"), lake.partitions(Table(world.NAME, "orders"))
            rows = lake.read(place)
            lake.write(place, rows.with_columns(late=~pl.col("late")), days)
        trail = trace(own, some[0])
        assert (trail["proof"]["features_again"], trail["proof"]["score_again"]) == (False, True)
        assert trail["features"] == before["features"], "the values are those that were stored"


class TestForward:
    def test_scores_that_name_a_batch_are_those_it_touched(
        self, finished: Finished, answered: Settings
    ) -> None:
        ids = [*table(answered, "scores")["prediction_id"], *table(answered, "served")["prediction_id"]]
        found = trails(answered, ids, finished)
        batches = {batch["batch_id"] for trail in found for batch in trail["batches"]}
        manifests = table(answered, "batches").filter(pl.col("batch_id").is_in(list(batches)))
        for partition in ("2025-04-25", DAY, "all"):
            (id,) = manifests.filter(partition=partition)["batch_id"]
            named = {
                trail["prediction_id"]
                for trail in found
                if id in {b["batch_id"] for b in trail["batches"] if not b.get("joined")}
            }
            forward = touched_by(answered, id)["scores"]
            counts = {name: versions["1"]["scores"] for name, versions in forward.items() if versions}
            stored = {name: set(table(answered, name)["prediction_id"]) & named for name in counts}
            assert counts == {name: len(each) for name, each in stored.items()}
            assert set(forward["scores"]["1"]["first"]) <= named

    def test_what_a_batch_went_into(self, answered: Settings) -> None:
        manifests = table(answered, "batches").filter(data_set="orders")
        early = touched_by(answered, manifests.filter(partition="2025-03-05")["batch_id"][0])
        assert [part["rows"] for part in early["partitions"]] == [world.ORDERS_A_DAY] * 2
        assert [candidate["rows"] for candidate in early["candidates"]] == [True] * len(world.MODELS)
        assert early["features"][0] == "2025-03-05"
        assert early["scores"]["scores"] == {}
        late = touched_by(answered, manifests.filter(partition=DAY)["batch_id"][0])
        assert (late["candidates"], late["features"]) == ([], [DAY])
        assert late["scores"]["scores"]["1"]["own_rows"] == world.ORDERS_A_DAY

    def test_a_batch_that_nobody_delivered(self, finished: Finished) -> None:
        with pytest.raises(NotFound, match="there is no batch 'x'"):
            touched_by(settings_of(finished.home), "x")


class TestStreams:
    @pytest.fixture
    def streamed(self, own: Settings) -> Settings:
        """A home into whose lake three events of placed orders were archived, as batches of their own."""
        (own.home / "streams").mkdir(exist_ok=True)
        told = {"use_case": world.NAME, "streams": {"shop": {"sources": {"placed": "orders"}}}}
        (own.home / "streams" / f"{world.NAME}.json").write_text(json.dumps(told))
        with closing(Lake.from_settings(own)) as lake:
            store = RawStore.from_settings(own, lake)
            for hour, warehouse in ((1, "HAM"), (2, "LYS"), (3, "HAM")):
                store.commit(world.NAME, [_event(store, hour, warehouse)])
        rows = [row for row in asked(own) if row["placed"].hour >= 4]
        ask(own, rows)
        return own

    def test_archived_events_in_a_window_are_named_with_their_files(
        self, streamed: Settings, finished: Finished
    ) -> None:
        served = table(streamed, "served").filter(link="champion").drop_nulls("as_of")
        found = trails(streamed, served["prediction_id"].to_list(), finished)
        assert incomplete(found) == []
        for trail in found:
            events = trail["features"]["orders_count_1d_by_warehouse"].get("events")
            wanted = {"HAM": 2, "LYS": 1}.get(trail["row"]["facts"]["warehouse"], 0)
            assert (events or {"rows": 0})["rows"] == wanted
            named = [batch for batch in trail["batches"] if batch.get("data_set") == "shop"]
            assert len(named) == wanted
            kept = {file["sha256"] for file in trail["files"]}
            assert {sha for batch in named for sha in batch["objects"]} <= kept

    def test_a_batch_of_events_forward(self, streamed: Settings) -> None:
        batch = table(streamed, "batches").filter(data_set="shop")["batch_id"][0]
        found = touched_by(streamed, batch)
        served = table(streamed, "served").drop_nulls("as_of").filter(warehouse="HAM", link="champion")
        assert found["scores"]["served"]["1"]["scores"] == served["prediction_id"].n_unique()
        assert found["scores"]["served"]["1"]["own_rows"] == 0


def _event(store: RawStore, hour: int, warehouse: str) -> Batch:
    """A batch of one event that the cleaned table knows nothing of."""
    time = f"{DAY}T0{hour}:00:00Z"
    document = json.dumps(
        {"type": "placed", "order_id": 90_000 + hour, "warehouse": warehouse, "placed": time}
    )
    kept, partition = store.keep([document.encode()]), f"{hour:020d}-{hour:020d}"
    at = datetime.fromisoformat(time)
    id = sha256(partition.encode()).hexdigest()[:24]
    manifest = Manifest(
        batch_id=id,
        data_set="shop",
        partition=partition,
        source="bus://source-event",
        objects=(kept.sha256,),
        sha256=kept.sha256,
        bytes=kept.bytes,
        rows=1,
        received_at=NOON + timedelta(minutes=hour),
    )
    row = {"partition_key": partition, "batch_id": id, "position": hour, "event_id": str(hour), "time": at}
    rows = pl.DataFrame([row | {"key": warehouse, "day": DAY, "document": document}])
    rows = rows.with_columns(pl.col("time").dt.cast_time_unit("us"))
    nothing = pl.DataFrame(schema={"reason": pl.String, "line": pl.Int64, "document": pl.String})
    return Batch(manifest, rows, nothing)


class TestCommand:
    def test_back_and_forward(self, finished: Finished, some: list[str], mlplatform: Zygote) -> None:
        def run(*words: str) -> Any:
            return mlplatform.run("trace", *words, home=finished.home, cwd=finished.project)

        ended = run(some[0], "--json")
        assert ended.returncode == 0, ended.stderr
        trail = json.loads(ended.stdout)
        wanted = {"score", "version", "digest", "candidate", "split", "feature_set", "features", "batches"}
        assert {*wanted, "files", "complete", "missing"} <= set(trail)
        assert trail["complete"]
        assert any(batch.get("joined") for batch in trail["batches"]) or any(
            batch["data_set"] == "warehouses" for batch in trail["batches"]
        )
        for_people = run(some[0])
        assert for_people.stdout.rstrip().endswith("complete")
        assert trail["batches"][0]["batch_id"] in for_people.stdout
        batch = trail["row"]["batch"]
        assert json.loads(run("--batch", batch, "--json").stdout)["batch"] == batch
        assert f"batch {batch}" in run("--batch", batch).stdout
        assert (run("x").returncode, run("x", "--batch", "y").returncode) == (1, 2)


@pytest.fixture(scope="module")
def many(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home with more than 10,000 scores."""
    home = shutil.copytree(finished.home, tmp_path_factory.mktemp("many") / "home")
    settings = settings_of(home)
    ask(settings, [{**row, "weight_g": weight} for row in asked(settings) for weight in range(100, 260)])
    yield settings
    shutil.rmtree(home)


@pytest.mark.slow
def test_ten_thousand_scores_are_traced_whole(finished: Finished, many: Settings) -> None:
    ids = [*table(many, "scores")["prediction_id"]]
    ids += table(many, "served").drop_nulls("as_of").filter(link="champion")["prediction_id"].to_list()
    chosen = random.Random(10_000).sample(sorted(set(ids)), 10_000)
    with Tracer(many, declared_reads(finished.project)) as tracer:
        whole = [
            (t["complete"], t["proof"]["features_again"], t["proof"]["score_again"])
            for t in tracer.many(chosen)
        ]
    assert whole == [(True, True, True)] * 10_000
