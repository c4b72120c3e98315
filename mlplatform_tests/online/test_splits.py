"""`GET /splits/{use_case}` on the real app: the body of the command line, pages of rows, what is refused."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import polars as pl
import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.online.http import application
from mlplatform.online.releases import Releases
from mlplatform.online.replies import ASGIApp
from mlplatform.online.splits import MOST_ROWS, Splits
from mlplatform.stores import division
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake, Table
from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Zygote

PATH = f"/splits/{world.NAME}"


@pytest.fixture(scope="module")
def settings(finished: Finished) -> Settings:
    return Settings.load({"MLPLATFORM_HOME": str(finished.home)})


@pytest.fixture(scope="module")
def lake(settings: Settings) -> Iterator[Lake]:
    with closing(Lake.from_settings(settings)) as opened:
        yield opened


def app_of(settings: Settings, lake: Lake, splits: Splits) -> ASGIApp:
    champions = lambda: ChampionStore(settings.state_url)  # noqa: E731
    releases = Releases(lake, CandidateStore(settings.candidates), champions, list)
    return application(releases, poll_seconds=0, splits=splits)


@pytest.fixture(scope="module")
def app(settings: Settings, lake: Lake) -> ASGIApp:
    """The scoring service over the finished home."""
    return app_of(settings, lake, Splits.from_settings(settings))


def ask(app: ASGIApp, path: str = PATH, **query: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path, params=query)

    return asyncio.run(send())


def told(app: ASGIApp, **query: Any) -> dict[str, Any]:
    response = ask(app, **query)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    body = response.json()
    assert isinstance(body, dict)
    return body


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, []),
        ({"as_of": "2025-03-20", "test": "3d"}, ["--as-of", "2025-03-20", "--option", "test=3d"]),
        (
            {"strategy": "random", "seed": "3", "validation": "0.25"},
            ["--strategy", "random", "--option", "seed=3", "--option", "validation=0.25"],
        ),
        (
            {"strategy": "by_group", "group": "customer"},
            ["--strategy", "by_group", "--option", "group=customer"],
        ),
    ],
)
def test_the_body_is_that_of_the_command_line(
    app: ASGIApp, finished: Finished, mlplatform: Zygote, query: dict[str, str], words: list[str]
) -> None:
    said = mlplatform.run("split", world.NAME, *words, "--json", home=finished.home, cwd=finished.project)
    assert told(app, **query) == world.one_object(said.stdout)


def test_the_declared_split_is_the_stored_one(app: ASGIApp, lake: Lake) -> None:
    stored = lake.read(Table(world.NAME, "split"))
    assert [told(app)["id"]] == stored["split_id"].unique().to_list()


def test_pages_are_the_rows_of_the_part(app: ASGIApp, lake: Lake) -> None:
    first = told(app, part="validation", limit=150)
    pages = [first, *(told(app, part="validation", offset=at, limit=150) for at in (150, 300, 450))]
    rows = [row for page in pages for row in page["rows"]]
    stored = lake.read(Table(world.NAME, "split")).filter(part="validation")
    assert [page["more"] for page in pages] == [True, True, True, False]
    assert len(rows) == first["sizes"]["validation"] == stored.height
    assert {(row["order_id"], row["late"]) for row in rows} == set(stored.select("order_id", "label").rows())
    beyond = told(app, part="validation", offset=10_000)
    assert (beyond["rows"], beyond["more"]) == ([], False)


def test_rows_without_labels_and_no_rows(app: ASGIApp) -> None:
    page = told(app, part="test", labels="false", limit=2)
    assert [set(row) for row in page["rows"]] == [{"order_id", "partition_key"}] * 2
    assert "rows" not in told(app)
    assert told(app, part="test", limit=0)["rows"] == []


def test_a_commit_to_the_lake_is_seen(settings: Settings, lake: Lake) -> None:
    stamp = ["before"]
    splits = Splits(lake, lambda: stamp[0])
    app = app_of(settings, lake, splits)
    held = told(app)
    assert splits._last is not None
    kept = splits._last[1]
    assert told(app, part="train", limit=1)["id"] == held["id"]
    assert splits._last[1] is kept
    stamp[0] = "after"
    assert told(app)["id"] == held["id"]
    assert splits._last[1] is not kept


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"as_of": "2025-03-01"}, "got as_of '2025-03-01'; allowed: a day after 2025-03-01 up to 2025-04-29"),
        ({"as_of": "April"}, "got as_of 'April'"),
        ({"as_of": "20250320"}, "got as_of '20250320'"),
        ({"strategy": "by_tme"}, "got strategy 'by_tme'; allowed: by_group, by_time"),
        ({"strategy": "antigravity.fly"}, "got strategy 'antigravity.fly'; allowed: by_group"),
        ({"colour": "red"}, "split 'by_time': got options"),
        ({"test": "1 fortnight"}, "got test '1 fortnight'"),
        ({"test": "99999999y"}, "got test"),
        ({"test": "[1"}, "got 'test' '[1'; allowed: a value as in defs.yaml."),
        ({"test": "[1, 2]"}, "got 'test' '[1, 2]'; allowed: a number, true, false or text."),
        ({"strategy": "by_group", "group": "tail"}, "got group column 'tail'; the frame has: "),
        ({"strategy": "random", "seed": "x" * 101}, "got 'seed' of 101 characters; allowed: up to 100."),
        ({"part": "training"}, "got part 'training'; allowed: train, validation, test."),
        ({"limit": "5"}, "got limit without part"),
        ({"part": "train", "limit": str(MOST_ROWS + 1)}, "got limit '1001'; allowed: a whole number from 0"),
        ({"part": "train", "offset": "-1"}, "got offset '-1'"),
        ({"part": "train", "labels": "maybe"}, "got labels 'maybe'; allowed: true or false."),
        ({"part": ["train", "test"]}, "got 'part' twice; allowed: once."),
    ],
)
def test_what_is_wrong_is_400_in_one_sentence(app: ASGIApp, query: dict[str, Any], said: str) -> None:
    response = ask(app, **query)
    assert response.status_code == 400
    assert list(response.json()) == ["error"]
    assert said in response.json()["error"]
    assert len(response.content) < 2000


@pytest.mark.parametrize("name", ["flights", "Late Orders", "x" * 500, "split_declaration; --"])
def test_an_unknown_use_case_is_404(app: ASGIApp, name: str) -> None:
    response = ask(app, f"/splits/{name}")
    assert response.status_code == 404
    assert "has been divided yet" in response.json()["error"]
    assert len(response.content) < 500


def test_who_waits_too_long_is_sent_away(settings: Settings, lake: Lake) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def stamp() -> object:
        asked.set()
        return go_on.wait(30)

    app = app_of(settings, lake, Splits(lake, stamp, patience=0.0))
    found: list[httpx.Response] = []
    first = threading.Thread(target=lambda: found.append(ask(app)))
    first.start()
    assert asked.wait(30)
    second = ask(app)
    go_on.set()
    first.join()
    assert (second.status_code, found[0].status_code) == (503, 200)
    assert "other divisions are being made" in second.json()["error"]


def test_the_document_describes_it(app: ASGIApp) -> None:
    described = ask(app, "/openapi.json").json()["paths"]["/splits/{use_case}"]["get"]
    names = {each["name"] for each in described["parameters"]}
    assert {"use_case", "strategy", "as_of", "part", "labels", "offset", "limit", "options"} == names
    assert {"400", "404", "503"} <= set(described["responses"])


def test_a_declaration_of_another_version_is_an_error_of_the_server(
    settings: Settings, world_lake: Lake
) -> None:
    world_lake.write(Table("returns", division.TABLE), pl.DataFrame({"declaration": ['{"key": 1}']}))
    response = ask(app_of(settings, world_lake, Splits(world_lake, lambda: 0)), "/splits/returns")
    assert response.status_code == 500
    assert "of a format unknown to this version" in response.json()["error"]


@pytest.fixture
def world_lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    folder = tmp_path_factory.mktemp("lake")
    with closing(Lake(folder / "catalog.sqlite", folder / "data")) as opened:
        yield opened
