"""Who answers, and who answers for whom: versions, canary, shadow, batch scores, constant."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlplatform.errors import RequestError
from mlplatform.online.releases import Releases
from mlplatform.online.service import ScoringService
from mlplatform.stages.deployment.policy import Policy
from mlplatform.stages.scoring.score import Answer
from mlplatform.stores.lake import Table
from mlplatform_tests.online import moody
from mlplatform_tests.online.world import USE_CASE, Trained, World, facts_of, train

PATIENCE = 90.0
"""Seconds a test waits at most for what takes a second or two."""


class Asking:
    """A service over a world, asked one row after the other; every answer that was logged is kept."""

    def __init__(self, world: World, trained: Trained) -> None:
        self.releases: Releases = world.releases()
        self.releases.poll()
        self.logged: list[Answer] = []
        self.service = ScoringService(self.releases, self._log)
        self.bodies = [
            json.dumps(facts_of(row)).encode() for row in trained.frame.tail(60).iter_rows(named=True)
        ]

    def _log(self, types: Any, facts: Any, row: list[float], answer: Answer, *how: Any) -> None:
        self.logged.append(answer)

    async def ask(self, row: int = 0, version: str | None = None) -> Answer:
        """One answer; what goes on after it gets its turn."""
        answer = await self.service.score_json(USE_CASE, self.bodies[row % len(self.bodies)], version)
        assert isinstance(answer, Answer)
        await asyncio.sleep(0)
        return answer

    def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run a coroutine, then end what was started."""

        async def whole() -> None:
            try:
                await work()
            finally:
                self.releases.stop()
                await asyncio.sleep(0.1)

        asyncio.run(whole())


@pytest.fixture(scope="session")
def moods(trained: Trained) -> Trained:
    """A model that is slow or fails when it is told to; it scores 0.75."""
    return train(trained.frame, "mlplatform_tests.online.moody", score=0.75)


@pytest.fixture(autouse=True)
def _well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(moody.MOOD, str(tmp_path / "mood"))


@pytest.fixture
def two(world: World, trained: Trained, moods: Trained) -> Asking:
    """Version 1 a good model, version 2, the champion, one with moods."""
    world.promote(trained.candidate)
    world.promote(moods.candidate, Policy(deadline_ms=50.0))
    return Asking(world, trained)


def test_a_champion_that_fails_is_answered_for_and_takes_over_again(two: Asking, trained: Trained) -> None:
    async def work() -> None:
        assert (await two.ask()).link == "champion"
        moody.set_mood("failing")
        answers = [await two.ask(row) for row in range(40)]
        assert {(each.link, each.version) for each in answers} == {("previous", 1)}
        assert [each.score for each in answers] == trained.scores[-60:-20].tolist()
        champion = two.releases.current[USE_CASE].champion
        assert champion.breaker.is_open
        assert champion.breaker.errors == 3  # then it was not asked any more
        moody.set_mood("")
        until = time.monotonic() + PATIENCE
        while (await two.ask()).link != "champion" and time.monotonic() < until:
            await asyncio.sleep(0.01)
        assert (await two.ask()).score == 0.75

    two.run(work)


def test_a_champion_that_is_slow_is_late_once_and_probed_where_nobody_waits(two: Asking) -> None:
    async def work() -> None:
        moody.set_mood("slow 0.3")
        until, answers = time.monotonic() + 4.0, []
        while time.monotonic() < until:
            answers.append(await two.ask(len(answers)))
        links = Counter(each.link for each in answers)
        late = [each for each in answers if each.late is True]
        assert links["champion"] == 1
        assert [each.link for each in late][:1] == ["champion"]
        assert links["previous"] == len(answers) - 1 > 400
        champion = two.releases.current[USE_CASE].champion
        assert champion.breaker.opened == 1
        moody.set_mood("")
        until = time.monotonic() + PATIENCE
        while (await two.ask()).link != "champion" and time.monotonic() < until:
            await asyncio.sleep(0.01)
        assert not champion.breaker.is_open

    two.run(work)


@pytest.mark.slow
def test_a_version_with_its_own_process_is_not_waited_for(
    world: World, trained: Trained, moods: Trained
) -> None:
    world.promote(trained.candidate)
    world.promote(moods.candidate, Policy(deadline_ms=2000.0, own_process=True))
    asking = Asking(world, trained)

    async def work() -> None:
        until = time.monotonic() + PATIENCE
        while (await asking.ask()).link != "champion" and time.monotonic() < until:
            await asyncio.sleep(0.05)  # its start takes longer than the deadline, perhaps
        answer = await asking.ask()
        assert (answer.link, answer.score) == ("champion", 0.75)
        moody.set_mood("dying")
        answer = await asking.ask()
        assert (answer.link, answer.score) == ("previous", trained.scores[-60])
        moody.set_mood("failing")
        assert (await asking.ask()).link == "previous"

    asking.run(work)


def test_a_version_can_be_asked_for(two: Asking) -> None:
    async def work() -> None:
        answers = [await two.ask(version=version) for version in ("1", "2", None)]
        assert [(each.version, each.link) for each in answers] == [
            (1, "asked"),
            (2, "asked"),
            (2, "champion"),
        ]
        for version in ("3", "0", "x", "9" * 400, "-1", "²"):
            with pytest.raises(RequestError, match="in use: 1, 2") as caught:
                await two.ask(version=version)
            assert caught.value.status == 404

    two.run(work)


def test_a_canary_answers_for_its_share_of_the_entities_always_the_same(
    world: World, trained: Trained, other: Trained
) -> None:
    # A loaded machine is no reason for another link.
    calm = Policy(entity=("shop", "amount"), deadline_ms=60_000.0)
    world.promote(other.candidate, calm)
    world.promote(trained.candidate, calm)
    world.change("canary", 1, 0.3)
    asking = Asking(world, trained)

    async def work() -> None:
        first = [await asking.ask(row) for row in range(60)]
        again = [await asking.ask(row) for row in range(60)]
        assert first == again
        versions = Counter((each.link, each.version) for each in first)
        assert set(versions) == {("canary", 1), ("champion", 2)}
        assert 5 <= versions["canary", 1] <= 30
        world.change("canary", 1, 1.0)
        asking.releases.poll()
        assert {(await asking.ask(row)).link for row in range(60)} == {"canary"}
        world.change("canary", 0)
        asking.releases.poll()
        assert {(await asking.ask(row)).link for row in range(60)} == {"champion"}

    asking.run(work)


def test_a_shadow_is_asked_after_the_answer_and_only_logged(
    world: World, trained: Trained, other: Trained
) -> None:
    world.promote(other.candidate)
    world.promote(trained.candidate)
    world.change("shadow", 1)
    asking = Asking(world, trained)

    async def work() -> None:
        answers = [await asking.ask(row) for row in range(20)]
        assert {each.link for each in answers} == {"champion"}
        shadows = [each for each in asking.logged if each.link == "shadow"]
        assert [each.score for each in shadows] == other.scores[-60:-40].tolist()
        assert {each.version for each in shadows} == {1}

    asking.run(work)


def test_a_shadow_that_fails_changes_no_answer(world: World, trained: Trained, moods: Trained) -> None:
    world.promote(moods.candidate)
    world.promote(trained.candidate)
    world.change("shadow", 1)
    asking = Asking(world, trained)
    moody.set_mood("failing")

    async def work() -> None:
        assert {(await asking.ask(row)).link for row in range(20)} == {"champion"}
        assert asking.releases.current[USE_CASE].shadow.breaker.is_open  # type: ignore[union-attr]

    asking.run(work)


def batch_scores(world: World, trained: Trained, version: int) -> None:
    """The table `scores` as the asset writes it, with scores that no model gives."""
    rows = trained.frame.tail(60).select(
        "order_id",
        pl.col("placed").dt.offset_by("-1m").alias("as_of"),
        "partition_key",
        score=pl.Series([row / 100 for row in range(60)]),
        model=pl.lit("lightgbm"),
        version=pl.lit(version, pl.Int64),
        digest=pl.lit(trained.candidate.digest),
        feature_set=pl.lit("fs"),
    )
    world.lake.write(Table(USE_CASE, "scores"), rows, rows["partition_key"].unique().to_list())


def test_batch_scores_and_then_the_constant_answer_when_no_version_does(
    world: World, trained: Trained, moods: Trained
) -> None:
    world.promote(moods.candidate, Policy(constant=0.4, valid_minutes=60.0))
    batch_scores(world, trained, 1)
    asking = Asking(world, trained)
    moody.set_mood("failing")

    async def work() -> None:
        answers = [await asking.ask(row) for row in range(60)]
        assert {each.link for each in answers} == {"precomputed"}
        assert [each.score for each in answers] == [row / 100 for row in range(60)]
        assert {(each.version, each.features_age_s) for each in answers} == {(1, 0.0)}
        later = json.loads(asking.bodies[0]) | {"placed": "2024-03-20T00:00:00Z"}
        answer = await asking.service.score_json(USE_CASE, json.dumps(later).encode())
        assert isinstance(answer, Answer)
        assert (answer.link, answer.score, answer.version, answer.model) == ("constant", 0.4, 0, "constant")
        assert answer.predicted is False
        assert [each.link for each in asking.logged] == ["precomputed"] * 60 + ["constant"]

    asking.run(work)


def test_batch_scores_answer_first_where_that_is_declared(world: World, trained: Trained) -> None:
    world.promote(trained.candidate, Policy(precomputed="first", valid_minutes=60.0))
    batch_scores(world, trained, 1)
    asking = Asking(world, trained)

    async def work() -> None:
        answer = await asking.ask(7)
        assert (answer.link, answer.score) == ("precomputed", 0.07)
        assert (await asking.ask(7, version="1")).link == "asked"
        later = json.loads(asking.bodies[7]) | {"placed": "2024-03-20T00:00:00Z"}
        answer = await asking.service.score_json(USE_CASE, json.dumps(later).encode())
        assert isinstance(answer, Answer)
        assert answer.link == "champion"
        assert answer.features_age_s is not None
        assert answer.features_age_s > 86_400.0

    asking.run(work)


def test_batch_scores_of_a_version_that_was_taken_back_answer_nothing(
    world: World, trained: Trained, moods: Trained
) -> None:
    world.promote(moods.candidate)
    world.promote(trained.candidate)
    batch_scores(world, trained, 2)
    world.change("rollback", 1)
    asking = Asking(world, trained)
    moody.set_mood("failing")

    async def work() -> None:
        with pytest.raises(RequestError, match="no link of the chain") as caught:
            await asking.ask()
        assert caught.value.status == 503
        assert "secret" not in str(caught.value)

    asking.run(work)


def test_a_wrong_question_is_the_callers_and_harms_no_version(two: Asking) -> None:
    async def work() -> None:
        for _ in range(10):
            with pytest.raises(RequestError) as caught:
                await two.service.score_json(USE_CASE, b'{"shop": 1}')
            assert caught.value.status == 400
        assert two.releases.current[USE_CASE].champion.breaker.errors == 0

    two.run(work)


def test_an_entity_is_enough_where_its_facts_are_known(world: World, trained: Trained) -> None:
    world.promote(trained.candidate)
    asking = Asking(world, trained)
    row: dict[str, Any] = trained.frame.tail(1).row(0, named=True)

    async def ask(body: dict[str, Any]) -> Answer:
        answer = await asking.service.score_json(USE_CASE, json.dumps(body).encode())
        assert isinstance(answer, Answer)
        return answer

    async def work() -> None:
        whole, named = await ask(facts_of(row)), await ask({"entity": {"order_id": row["order_id"]}})
        assert named == whole
        assert named.score == trained.scores[-1]
        dearer = {"entity": {"order_id": row["order_id"]}, "amount": 499}
        assert await ask(dearer) == await ask(facts_of(row) | {"amount": 499})
        assert (await ask(facts_of(row) | {"shop": "entity"})).score >= 0.0
        for body, status in (
            ({"entity": {"order_id": 10**9}}, 404),
            ({"entity": {"shop": "a"}}, 400),
            ({"entity": 5}, 400),
            ({"entity": {"order_id": "x"}}, 400),
            ({"entity": {"order_id": row["order_id"]}, "colour": "red"}, 400),
        ):
            with pytest.raises(RequestError) as caught:
                await ask(body)
            assert caught.value.status == status

    asking.run(work)
