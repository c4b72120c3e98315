"""`mlplatform keys`, and a real scoring service that takes them up and lets them go while it runs."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from mlplatform_tests.small.zygote import Zygote


def test_a_key_from_its_making_to_its_end(tmp_path: Path, mlplatform: Zygote) -> None:
    def run(*words: str) -> str:
        ended = mlplatform.run("keys", *words, home=tmp_path / "home", cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    secret = run("add", "shop", "--scope", "score", "--scope", "ingest").strip()
    assert secret.startswith("mlp_")
    other = json.loads(run("add", "ops", "--scope", "admin", "--json"))
    assert (other["name"], other["scopes"]) == ("ops", ["admin"])
    assert other["key"] != secret
    assert json.loads(run("revoke", "shop", "--json"))["revoked_at"]
    listed = json.loads(run("list", "--json"))["keys"]
    assert [(key["name"], key["scopes"]) for key in listed] == [
        ("shop", ["score", "ingest"]),
        ("ops", ["admin"]),
    ]
    assert [bool(key["revoked_at"]) for key in listed] == [True, False]
    assert "key" not in listed[0]
    assert secret not in json.dumps(listed)


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["add", "shop"], "Missing option '--scope'", 2),
        (["add", "shop", "--scope", "all"], "got scope all; allowed: score, ingest, admin.", 1),
    ],
)
def test_mistakes(words: list[str], said: str, code: int, tmp_path: Path, mlplatform: Zygote) -> None:
    ended = mlplatform.run("keys", *words, home=tmp_path / "home", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert said in " ".join(ended.stderr.replace("│", " ").split())
    assert "Traceback" not in ended.stderr


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.mark.slow
def test_a_service_follows_its_keys(tmp_path: Path, mlplatform: Zygote) -> None:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    home = tmp_path / "home"
    told = {"MLPLATFORM_HOME": str(home), "MLPLATFORM_SCORING_PORT": str(port), "MLPLATFORM_KEYS": "on"}
    command = [sys.executable, "-m", "mlplatform.online.server"]

    def status(key: str = "", path: str = "/v1/status") -> int:
        headers = {"x-api-key": key} if key else {}
        try:
            return httpx.get(f"http://127.0.0.1:{port}{path}", headers=headers, trust_env=False).status_code
        except httpx.TransportError:
            return 0

    with subprocess.Popen(command, env=os.environ | told) as service:
        try:
            until(lambda: status(path="/health/live") == 200, "it never answered")
            assert (status(), status("mlp_wrong")) == (401, 401)
            added = mlplatform.run("keys", "add", "me", "--scope", "score", home=home, cwd=tmp_path)
            key = added.stdout.strip()
            until(lambda: status(key) == 200, "the key never became good")
            mlplatform.run("keys", "revoke", "me", home=home, cwd=tmp_path)
            until(lambda: status(key) == 401, "the key stayed good")
        finally:
            service.terminate()
