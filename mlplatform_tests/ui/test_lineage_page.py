"""The lineage page of flight_delay, seen in a headless browser: the eight stages are its groups."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mlplatform.crosscutting.processes import ProcessSpec, Supervisor
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.run import prepare_instance
from mlplatform_tests.crosscutting.brokers import free_port

sync_api = pytest.importorskip("playwright.sync_api", reason="skipped: no playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
STAGES = (
    *("ingestion", "preparation", "segregation", "training"),
    *("evaluation", "deployment", "scoring", "monitoring"),
)

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="skipped: no Chromium")


@pytest.fixture
def ui(tmp_path: Path) -> Iterator[str]:
    """Address of a Dagster UI over an empty home."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    settings = Settings.load({"MLPLATFORM_HOME": str(tmp_path)})
    webserver = ProcessSpec(
        name="dagster",
        command=(
            *(sys.executable, "-m", "dagster_webserver", "-m", "mlplatform.definitions"),
            *("--host", "127.0.0.1", "--port", str(port), "--dagster-log-level", "warning"),
        ),
        log=tmp_path / "dagster.log",
        environment={
            "DAGSTER_HOME": str(prepare_instance(settings)),
            "MLPLATFORM_HOME": str(tmp_path),
            "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": "1",
            "PYTHONWARNINGS": "ignore",
        },
        ready=lambda: _answers(f"{address}/server_info"),
    )
    supervisor = Supervisor([webserver])
    supervisor.start()
    try:
        yield address
    finally:
        supervisor.stop()


def test_the_lineage_page_shows_the_eight_stages(ui: str) -> None:
    errors: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{ui}/asset-groups", wait_until="domcontentloaded")
        page.get_by_text("Skip", exact=True).click()  # the dialogue of a first visit
        for stage in STAGES:
            page.get_by_text(f"flight_delay_{stage}", exact=True).first.wait_for()
        browser.close()
    assert errors == []


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False
