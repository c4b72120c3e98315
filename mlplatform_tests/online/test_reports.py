"""Pages of reports are made when they are asked for: in another process, once, and kept."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from mlplatform.crosscutting.evidently_report import SNAPSHOT
from mlplatform.online.pages_http import add_pages
from mlplatform.online.refusals import add_refusals
from mlplatform.online.report_page import is_made
from mlplatform.online.reports import Reports

NAME = "drift-2025-04-08-to-2025-04-18"
URL = f"/reports/orders/{NAME}.html"
MAKER = "mlplatform_tests.online.slow_page"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "reports" / "orders"
    found.mkdir(parents=True)
    (found / f"{NAME}{SNAPSHOT}").write_text("first")
    return found


def app(folder: Path, reports: Reports) -> FastAPI:
    made = FastAPI()
    add_pages(made, folder.parent, reports)
    add_refusals(made)
    return made


def test_a_page_is_made_once_however_many_ask_and_kept(folder: Path) -> None:
    with TestClient(app(folder, Reports(wait=60.0, module=MAKER))) as client, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.get(URL), range(4)))
        assert {(each.status_code, each.text) for each in answers} == {(200, "<h1>first</h1>")}
        assert client.get(URL).text == "<h1>first</h1>"
    assert (folder / "made.txt").read_text() == f"{NAME}.html\n"
    assert answers[0].headers["content-security-policy"].startswith("default-src 'none'")


def test_who_has_waited_long_enough_is_told_to_come_again(folder: Path) -> None:
    with TestClient(app(folder, Reports(wait=0.05, module=MAKER))) as client:
        begin = time.monotonic()
        answer = client.get(URL)
        assert (answer.status_code, answer.headers["retry-after"]) == (202, "3")
        assert 'http-equiv="refresh"' in answer.text
        while answer.status_code == 202 and time.monotonic() < begin + 60:
            assert client.get("/status").status_code == 200  # others are answered meanwhile
            answer = client.get(URL)
        assert (answer.status_code, answer.text) == (200, "<h1>first</h1>")
    assert (folder / "made.txt").read_text() == f"{NAME}.html\n"


def test_a_new_snapshot_has_a_new_page(folder: Path) -> None:
    page, snapshot = folder / f"{NAME}.html", folder / f"{NAME}{SNAPSHOT}"
    page.write_text("<h1>old</h1>")
    os.utime(page, (1_000_000_000, 1_000_000_000))
    assert not is_made(snapshot, page)
    with TestClient(app(folder, Reports(wait=60.0, module=MAKER))) as client:
        assert client.get(URL).text == "<h1>first</h1>"
    assert is_made(snapshot, page)


def test_what_evidently_cannot_read_is_said_shortly(folder: Path) -> None:
    with TestClient(app(folder, Reports(wait=60.0))) as client:
        answer = client.get(URL)  # no gzip at all
        assert answer.status_code == 500
        assert answer.json()["error"].startswith(f"the page of {NAME} cannot be made")
        assert str(folder) not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        f"/reports/..%2Forders/{NAME}.html",
        f"/reports/orders/..%2Forders%2F{NAME}.html",
        f"/reports/orders/{NAME}{SNAPSHOT}",
        f"/reports/orders/.{NAME}.html",
        "/reports/orders/absent.html",
        "/reports/%2e%2e/secret.html",
        "/reports/others/x.html",
    ],
)
def test_no_other_path_has_anything_made(folder: Path, path: str) -> None:
    (folder.parent.parent / f"secret{SNAPSHOT}").write_text("hidden words")
    with ExitStack() as stack:
        client = stack.enter_context(TestClient(app(folder, Reports(wait=60.0, module=MAKER))))
        answer = client.get(path)
    assert answer.status_code == 404
    assert not (folder / "made.txt").exists()
    assert not list(folder.parent.parent.rglob("*.html"))
