"""Status pages and reports over HTTP: what is there is served, and nothing but that."""

from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from mlplatform.online.pages_http import add_pages
from mlplatform.online.refusals import add_refusals


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    reports = tmp_path / "reports"
    (reports / "orders").mkdir(parents=True)
    (reports / "orders" / "status.html").write_text("<h1>orders</h1>")
    (reports / "orders" / "drift-2025-03.json").write_text("{}")
    (tmp_path / "secret.html").write_text("hidden words")
    (reports / "orders" / ".hidden.html").write_text("hidden words")
    app = FastAPI()
    add_pages(app, reports)
    add_refusals(app)
    return TestClient(app)


def test_pages_are_listed_and_served_and_load_nothing_from_elsewhere(client: TestClient) -> None:
    assert '<a href="/status/orders">orders</a>' in client.get("/status").text
    page = client.get("/status/orders")
    assert (page.text, page.headers["content-type"]) == ("<h1>orders</h1>", "text/html; charset=utf-8")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert client.get("/reports/orders/drift-2025-03.json").json() == {}


def test_before_the_first_look_of_monitoring_the_page_says_so_and_asks_again(
    client: TestClient, tmp_path: Path
) -> None:
    (tmp_path / "reports" / "parcels").mkdir()
    answer = client.get("/status/parcels")
    assert (answer.status_code, answer.headers["retry-after"]) == (202, "10")
    assert "Monitoring has not looked at this use case yet" in answer.text
    assert 'http-equiv="refresh"' in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/status/others",
        "/status/..",
        "/reports/orders/absent.html",
        "/reports/orders/.hidden.html",
        "/reports/orders/..%2F..%2Fsecret.html",
        "/reports/..%2F..%2F/secret.html",
        "/reports/%2e%2e/secret.html",
    ],
)
def test_what_is_no_page_is_not_served(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "hidden words" not in answer.text
