"""Requests for batch scores: one process has each at a time, and none is lost or done twice."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlplatform.errors import NotFound, RequestError, StoreError
from mlplatform.stages.deployment.release import Promotion
from mlplatform.stores.batch_asking import Asked, ask
from mlplatform.stores.batch_requests import LEASE, MOST_ATTEMPTS, BatchRequest, BatchRequests
from mlplatform.stores.champions import ChampionStore

START = datetime(2024, 3, 1, tzinfo=UTC)


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def later(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'state.sqlite'}"


@pytest.fixture
def requests(url: str, clock: Clock) -> Iterator[BatchRequests]:
    with closing(BatchRequests(url, clock=clock)) as store:
        yield store


def promote(url: str, versions: int) -> None:
    """Releases whose candidates nobody opens."""
    with closing(ChampionStore(url)) as store:
        for version in range(1, versions + 1):
            store.promote(
                Promotion(
                    use_case="returns",
                    digest=str(version) * 64,
                    model="lightgbm",
                    feature_set_id="returns@1",
                    figures={},
                    as_of="2024-03-01",
                    released_at=START,
                    released_by="test",
                    why="it is the newest",
                )
            )


@pytest.fixture
def champions(url: str) -> Iterator[ChampionStore]:
    promote(url, 2)
    with closing(ChampionStore(url)) as store:
        yield store


def queued(requests: BatchRequests, id: str = "a", asked_at: datetime = START) -> BatchRequest:
    return requests.add(
        BatchRequest(
            id=id,
            key=None,
            use_case="returns",
            first="2024-03-01",
            last="2024-03-03",
            version=1,
            model="lightgbm",
            callback=None,
            asked_at=asked_at,
        )
    )


class TestClaiming:
    def test_the_oldest_is_first_and_each_has_one_owner(self, requests: BatchRequests) -> None:
        queued(requests, "b", START + timedelta(seconds=1))
        queued(requests, "a")
        first, second = requests.claim("one"), requests.claim("two")
        assert first is not None
        assert second is not None
        assert (first.id, first.owner, first.state) == ("a", "one", "running")
        assert (second.id, second.owner) == ("b", "two")
        assert requests.claim("three") is None

    def test_of_many_at_once_one_gets_it(self, url: str, requests: BatchRequests) -> None:
        queued(requests)
        with ThreadPoolExecutor(6) as pool:
            stores = [BatchRequests(url) for _ in range(6)]
            taken = list(pool.map(lambda at: stores[at].claim(f"owner {at}"), range(6)))
        assert len([each for each in taken if each is not None]) == 1
        assert requests.get("a").attempts == 1

    def test_a_silent_owner_loses_it_and_cannot_write_any_more(
        self, requests: BatchRequests, clock: Clock
    ) -> None:
        queued(requests)
        requests.claim("one")
        clock.later(LEASE / 2)
        requests.renew("a", "one")
        clock.later(LEASE * 0.9)
        assert requests.claim("two") is None
        clock.later(LEASE * 0.2)
        assert requests.claim("two") is not None
        for write in (
            lambda: requests.renew("a", "one"),
            lambda: requests.committed("a", "one", {"2024-03-01": 4}),
            lambda: requests.done("a", "one"),
        ):
            with pytest.raises(StoreError, match="another process's now"):
                write()
        assert requests.days_done("a") == set()

    def test_it_fails_after_so_many_owners_with_what_the_last_one_said(self, requests: BatchRequests) -> None:
        queued(requests)
        for attempt in range(MOST_ATTEMPTS):
            assert requests.claim(f"owner {attempt}") is not None
            requests.given_back("a", f"owner {attempt}", f"its process was ended by SIGKILL, {attempt}")
        assert requests.claim("another") is None
        failed = requests.get("a")
        assert failed.state == "failed"
        assert "3 attempts" in failed.error
        assert "SIGKILL, 2" in failed.error

    def test_an_attempt_that_was_stopped_does_not_count(self, requests: BatchRequests) -> None:
        queued(requests)
        for _ in range(MOST_ATTEMPTS + 2):
            assert requests.claim("one") is not None
            assert requests.given_back("a", "one", counts=False)
        assert not requests.given_back("a", "one")


def test_a_day_committed_twice_counts_once_and_is_announced_once(requests: BatchRequests) -> None:
    queued(requests)
    requests.claim("one")
    requests.counted("a", "one", 3, 12)
    requests.committed("a", "one", {"2024-03-01": 4, "2024-03-02": 5})
    requests.committed("a", "one", {"2024-03-02": 5, "2024-03-03": 3})
    stands = requests.get("a")
    assert (stands.days_done, stands.days, stands.rows_done, stands.rows) == (3, 3, 12, 12)
    days = requests.unannounced()
    assert [(each.day, each.rows) for each in days] == [
        ("2024-03-01", 4),
        ("2024-03-02", 5),
        ("2024-03-03", 3),
    ]
    requests.announced(days[:2])
    assert [each.day for each in requests.unannounced()] == ["2024-03-03"]


class TestAsking:
    def asked(self, **more: object) -> Asked:
        given = {"use_case": "returns", "first": "2024-03-01", "last": "2024-03-02", **more}
        return Asked(**given)  # type: ignore[arg-type]

    def test_the_champion_is_meant_unless_a_version_is_named(
        self, requests: BatchRequests, champions: ChampionStore
    ) -> None:
        assert ask(requests, champions, self.asked()).version == 2
        assert ask(requests, champions, self.asked(version=1)).version == 1
        assert {each.version for each in requests.newest()} == {1, 2}
        assert requests.newest(use_case="others") == []

    def test_with_the_same_key_it_is_the_same_request(
        self, requests: BatchRequests, champions: ChampionStore
    ) -> None:
        first = ask(requests, champions, self.asked(key="k"))
        assert ask(requests, champions, self.asked(key="k")) == first
        assert ask(requests, champions, self.asked(key="l")).id != first.id
        with pytest.raises(RequestError, match="'k' was given with another") as refused:
            ask(requests, champions, self.asked(key="k", last="2024-03-05"))
        assert refused.value.status == 409

    @pytest.mark.parametrize(
        ("wrong", "status"),
        [
            ({"use_case": "nobody"}, 404),
            ({"use_case": "No\x00body"}, 404),
            ({"version": 3}, 404),
            ({"version": -(2**80)}, 404),
            ({"first": "2024-03-09"}, 422),
            ({"first": "20240301"}, 422),
            ({"last": "2024-02-30"}, 422),
            ({"last": "9999-12-31"}, 422),
            ({"callback": "ftp://example.org"}, 422),
            ({"callback": "http://[oops"}, 422),
            ({"callback": "http://a/" + "x" * 2000}, 422),
            ({"key": ""}, 422),
            ({"key": "k\x00"}, 422),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, requests: BatchRequests, champions: ChampionStore, wrong: dict[str, object], status: int
    ) -> None:
        with pytest.raises(RequestError) as refused:
            ask(requests, champions, self.asked(**wrong))
        assert refused.value.status == status
        assert len(str(refused.value)) < 300
        assert requests.newest() == []

    @given(first=st.text(max_size=12), url=st.none() | st.text(max_size=30))
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_no_text_breaks_it(
        self, requests: BatchRequests, champions: ChampionStore, first: str, url: str | None
    ) -> None:
        with pytest.raises(RequestError):
            ask(requests, champions, self.asked(first=first + "!", callback=url))


def test_an_unknown_request_is_not_found(requests: BatchRequests) -> None:
    with pytest.raises(NotFound, match="no request 'x'"):
        requests.get("x")
