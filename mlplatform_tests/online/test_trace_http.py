"""`/trace`: what `mlplatform trace` tells, as JSON and as pages in which every value is escaped."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.trail import joined
from mlplatform.online import trace_page
from mlplatform.online.refusals import add_refusals
from mlplatform.online.scopes import needed
from mlplatform.online.streams import of_declaration, publish
from mlplatform.online.trace_http import add_trace
from mlplatform.online.trails import Trails
from mlplatform.stores import tracing
from mlplatform.stores.keys import Scope
from mlplatform.stores.lake import Lake, Table
from mlplatform.stores.tracing.published import Published, published, published_reads
from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world

JSON = {"accept": "application/json"}
EVIL = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def settings(finished: Finished) -> Settings:
    return Settings.load({"MLPLATFORM_HOME": str(finished.home)})


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[TestClient]:
    app = FastAPI()
    add_trace(app, Trails(settings))
    add_refusals(app)
    with TestClient(app, follow_redirects=False) as found:
        yield found


@pytest.fixture(scope="module")
def score(settings: Settings) -> str:
    """The id of a batch score."""
    with closing(Lake.from_settings(settings)) as lake:
        return str(lake.read(Table(world.NAME, "scores"), columns=["prediction_id"])["prediction_id"][7])


def plain(told: object) -> Any:
    return json.loads(msgspec.json.encode(told, enc_hook=str))


def test_a_score_is_told_as_the_command_tells_it(client: TestClient, settings: Settings, score: str) -> None:
    answer = client.get(f"/trace/{score}", headers=JSON)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.json() == plain(tracing.trace(settings, score, published_reads(settings.home)))
    assert answer.json()["complete"]


def test_pages_show_it_and_lead_on(client: TestClient, settings: Settings, score: str) -> None:
    page = client.get(f"/trace/{score}")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'none'" in page.headers["content-security-policy"]
    told = tracing.trace(settings, score)
    for value in (told["digest"], told["feature_set"], told["split"]["id"], *told["features"]):
        assert value in page.text
    for file in told["files"]:
        assert file["sha256"] in page.text
    batch = told["row"]["batch"]
    assert f'href="/trace/batch/{batch}"' in page.text
    forward = client.get(f"/trace/batch/{batch}")
    assert forward.status_code == 200
    shown = re.findall(r'href="/trace/([0-9a-f]{32})"', forward.text)
    found = plain(tracing.touched_by(settings, batch))
    assert shown == [
        id for versions in found["scores"].values() for v in versions.values() for id in v["first"]
    ]
    assert client.get(f"/trace/batch/{batch}", headers=JSON).json() == found


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/trace/deadbeef", "got prediction id 'deadbeef'; one has 32 hexadecimal digits."),
        (f"/trace/{'0' * 32}", f"no score has the id '{'0' * 32}'."),
        ("/trace/batch/--help", "got batch '--help'; the id of one has 24 hexadecimal digits."),
        (f"/trace/batch/{'0' * 24}", f"there is no batch '{'0' * 24}'."),
        ("/trace/..%2F..%2Fsecret", "Not Found"),
    ],
)
def test_what_is_not_there_is_said(client: TestClient, path: str, said: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"].startswith(said)


def test_the_form_leads_to_the_trail(client: TestClient) -> None:
    page = client.get("/trace")
    assert '<form action="/trace" method="get">' in page.text
    assert "form-action 'self'" in page.headers["content-security-policy"]
    for asked, path in (
        (f" {'A' * 32} ", f"/trace/{'a' * 32}"),
        ("b" * 24, f"/trace/batch/{'b' * 24}"),
        ("//elsewhere.example", "/trace/none"),
        ("../status", "/trace/none"),
    ):
        answer = client.get("/trace", params={"id": asked})
        assert (answer.status_code, answer.headers["location"]) == (303, path)


def test_a_key_needs_the_scope_of_scores() -> None:
    for path in ("/trace", "/trace/x", "/trace/batch/x"):
        assert needed(path, "GET") == Scope.SCORE.value


def test_every_value_is_escaped(settings: Settings, score: str) -> None:
    def spoiled(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                (EVIL if name in ("weight", "warehouse") else name): spoiled(each)
                for name, each in value.items()
            }
        if isinstance(value, list):
            return [spoiled(each) for each in value] or [EVIL]
        return EVIL if isinstance(value, str) else value

    trail = plain(tracing.trace(settings, score))
    forward = plain(tracing.touched_by(settings, trail["row"]["batch"]))
    no_lists: dict[str, list[Any]] = {"candidates": [], "partitions": [], "features": []}
    evil = spoiled({name: trail[name] for name in trail if name not in ("batches", "files", "stored_in")})
    assert EVIL not in trace_page.score_page(trail | evil)
    assert EVIL.replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#x27;") in trace_page.score_page(
        trail | evil
    )
    assert EVIL not in trace_page.batch_page(spoiled(forward) | no_lists)


def test_what_cleaning_joins_is_published_for_the_service(finished: Finished, tmp_path: Path) -> None:
    declared = project.load(finished.folder)
    assert published(tmp_path, world.NAME) == Published({}, {})
    publish(tmp_path, of_declaration(world.NAME, {}, declared.feature_set, joined(declared)))
    assert published_reads(tmp_path)(world.NAME) == {"orders": ("warehouses",)}
