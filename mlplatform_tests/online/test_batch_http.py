"""`/batch-scores` over HTTP: asked for, polled, listed, and refused with bodies of our own."""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.online.batch_http import CAP, BatchScores
from mlplatform.online.http import application
from mlplatform.stores.batch_requests import BatchRequests
from mlplatform_tests.online.world import USE_CASE, World
from mlplatform_tests.stores.test_batch_requests import promote

BODY = {"use_case": USE_CASE, "first": "2024-03-01", "last": "2024-03-03"}


class Client:
    """Asks the app in this process."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings.load({"MLPLATFORM_HOME": str(home)})
        self._app = application(
            World(home).releases(), poll_seconds=0, batch_scores=BatchScores(self.settings)
        )

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **more)

        return asyncio.run(send())

    def requests(self) -> closing[BatchRequests]:
        return closing(BatchRequests(self.settings.state_url))


@pytest.fixture
def ask(tmp_path: Path) -> Client:
    promote(f"sqlite:///{tmp_path / 'state.sqlite'}", 1)
    return Client(tmp_path)


def test_a_request_is_queued_and_can_be_polled(ask: Client) -> None:
    answer = ask("POST", "/batch-scores", json=BODY)
    assert answer.status_code == 202
    queued = answer.json()
    assert (queued["state"], queued["version"], queued["progress"]) == ("queued", 1, 0.0)
    assert answer.headers["location"] == f"/batch-scores/{queued['id']}"
    with ask.requests() as requests:
        requests.claim("one")
        requests.counted(queued["id"], "one", 3, 12)
        requests.committed(queued["id"], "one", {"2024-03-01": 3})
    stands = ask("GET", f"/batch-scores/{queued['id']}").json()
    assert (stands["state"], stands["days_done"], stands["days"], stands["progress"]) == (
        "running",
        1,
        3,
        0.25,
    )
    assert not {"owner", "lease_until", "called_back"} & set(stands)
    with ask.requests() as requests:
        requests.done(queued["id"], "one")
    assert ask("GET", f"/batch-scores/{queued['id']}").json()["progress"] == 1.0


def test_the_same_key_is_the_same_request(ask: Client) -> None:
    key = {"idempotency-key": "monday"}
    first, again = (ask("POST", "/batch-scores", json=BODY, headers=key).json() for _ in range(2))
    assert first == again
    assert ask("POST", "/batch-scores", json=BODY | {"key": "monday"}).json() == first
    other = ask("POST", "/batch-scores", json=BODY | {"last": "2024-03-02"}, headers=key)
    assert other.status_code == 409
    assert ask("POST", "/batch-scores", json=BODY).json()["id"] != first["id"]
    listed = ask("GET", "/batch-scores").json()["batch_scores"]
    assert len(listed) == 2
    assert ask("GET", "/batch-scores?limit=1").json()["batch_scores"] == listed[:1]
    assert ask("GET", "/batch-scores?use_case=others").json() == {"batch_scores": []}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "cannot be read"),
        (b"{", 400, "cannot be read"),
        (b"\xff\xfe", 400, "cannot be read"),
        (b"[" * 5000, 400, "cannot be read"),
        (b'{"use_case": "returns"}', 400, "first"),
        (b'{"use_case": 3, "first": "2024-03-01", "last": "2024-03-01"}', 400, "use_case"),
        (b'{"use_case": "returns", "first": "2024-03-01", "last": "2024-03-01", "x": 1}', 400, "unknown"),
        (b'{"use_case": "returns", "first": "2024-03-02", "last": "2024-03-01"}', 422, "not before first"),
        (b'{"use_case": "nobody", "first": "2024-03-01", "last": "2024-03-01"}', 404, "no use case"),
        (b'{"use_case": "returns", "first": "2024-03-01", "last": "2024-03-01", "version": 9}', 404, "9"),
        (b" " * (CAP + 1), 413, "longer than"),
    ],
)
def test_what_cannot_be_is_refused_shortly(ask: Client, body: bytes, status: int, said: str) -> None:
    answer = ask("POST", "/batch-scores", content=body)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert said in answer.json()["error"]
    assert len(answer.content) < 2000
    with ask.requests() as requests:
        assert requests.newest() == []


@pytest.mark.parametrize(
    ("path", "status"),
    [("/batch-scores/nobody", 404), ("/batch-scores?limit=x", 400), ("/batch-scores?limit=0", 400)],
)
def test_looking_for_what_there_is_not(ask: Client, path: str, status: int) -> None:
    answer = ask("GET", path)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])


def test_before_there_is_a_champion_nothing_is_made(tmp_path: Path) -> None:
    ask = Client(tmp_path)
    assert ask("POST", "/batch-scores", json=BODY).status_code == 404
    assert ask("GET", "/batch-scores/x").status_code == 404
    assert ask("GET", "/batch-scores").json() == {"batch_scores": []}
    assert not (tmp_path / "state.sqlite").exists()


def test_the_documentation_has_the_routes(ask: Client) -> None:
    paths = ask("GET", "/openapi.json").json()["paths"]
    assert set(paths["/batch-scores"]) == {"post", "get"}
    assert "get" in paths["/batch-scores/{id}"]
