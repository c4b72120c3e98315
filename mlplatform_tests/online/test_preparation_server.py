"""The preparation service as a process: it prepares, says how far it is, and ends when it is told to."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx

from mlplatform.crosscutting.bus import open_bus
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT
from mlplatform.crosscutting.settings import Settings
from mlplatform.online.events import messages
from mlplatform.online.streams import publish
from mlplatform.stores.lake import Lake
from mlplatform_tests.crosscutting.brokers import Broker, free_port
from mlplatform_tests.online.stream_world import (
    NONE,
    STREAM,
    differences,
    events,
    fill,
    streams,
    world_orders,
)
from mlplatform_tests.online.world import USE_CASE

COMMAND = [sys.executable, "-m", "mlplatform.online.preparation_server", USE_CASE]


def environ(home: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "MLPLATFORM_HOME": str(home), **more}


def status(port: int) -> dict[str, object]:
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/v1/status", trust_env=False, timeout=5)
        return dict(answer.json()["use_cases"][USE_CASE])
    except httpx.TransportError:
        return {}


def test_it_prepares_says_how_far_it_is_and_ends(tmp_path: Path) -> None:
    home, port, frame = tmp_path / "home", free_port(), world_orders()
    publish(home, streams())
    with (
        Broker(tmp_path / "broker") as broker,
        closing(open_bus(broker.url)) as bus,
        closing(Lake.from_settings(Settings.load({"MLPLATFORM_HOME": str(home)}))) as lake,
    ):
        fill(lake, frame)
        last = bus.publish_many(SOURCE_EVENT, messages(USE_CASE, STREAM, events(frame)))[-1]
        asked = {"MLPLATFORM_BROKER_URL": broker.url, "MLPLATFORM_PREPARATION_PORT": str(port)}
        with subprocess.Popen(COMMAND, env=environ(home, **asked), stderr=subprocess.PIPE) as service:
            deadline = time.monotonic() + 60
            while status(port).get("position") != last:
                assert service.poll() is None, "it ended"
                assert time.monotonic() < deadline, f"it never came so far: {status(port)}"
                time.sleep(0.1)
            assert httpx.get(f"http://127.0.0.1:{port}/health/ready", trust_env=False).status_code == 200
            said = status(port)
            service.send_signal(signal.SIGTERM)
            assert service.wait(timeout=30) == 0
            assert service.stderr is not None
            assert service.stderr.read() == b""
        assert (said["pending"], said["unreadable"], said["share"]) == (1, 0, "0of1")
        assert differences(lake, frame) == NONE


def test_without_published_streams_it_says_what_to_do(tmp_path: Path) -> None:
    ended = subprocess.run(COMMAND, env=environ(tmp_path), capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "nothing was published of streams of 'returns'" in ended.stderr
    assert "mlplatform prepare" in ended.stderr
