"""A real Prometheus that scrapes services of a test, and what it answers."""

import json
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from mlplatform_tests.crosscutting.brokers import free_port

PROGRAM = shutil.which("prometheus")
PROMTOOL = shutil.which("promtool")
SECONDS = 60


class Prometheus:
    """A server inside the `with` block, which scrapes `jobs` (name -> host:port) ten times a second."""

    def __init__(self, program: str, folder: Path, jobs: Mapping[str, str], rules: Path) -> None:
        config = folder / "prometheus.yml"
        jobs_told = [
            {"job_name": name, "static_configs": [{"targets": [target]}]} for name, target in jobs.items()
        ]
        often = {"scrape_interval": "100ms", "scrape_timeout": "100ms", "evaluation_interval": "100ms"}
        config.write_text(  # JSON is YAML
            json.dumps({"global": often, "rule_files": [str(rules)], "scrape_configs": jobs_told})
        )
        self._url = f"http://127.0.0.1:{free_port()}"
        self._command = [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={self._url.removeprefix('http://')}",
        ]
        self._log = folder / "prometheus.log"
        self._client = httpx.Client(base_url=f"{self._url}/api/v1", trust_env=False)

    def __enter__(self) -> "Prometheus":
        with self._log.open("wb") as said:
            self._process = subprocess.Popen(self._command, stdout=said, stderr=said)
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._client.close()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression now; AssertionError with the reason if it is not one."""
        answer = self._client.post("/query", data={"query": expression})
        assert answer.status_code == 200, f"{expression}\n{answer.text}"
        return list(answer.json()["data"]["result"])

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, with its health and its alerts."""
        groups = self._client.get("/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _wait(self) -> None:
        deadline = time.monotonic() + SECONDS
        while True:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            try:
                if httpx.get(f"{self._url}/-/ready", trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
