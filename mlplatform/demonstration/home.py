"""The home of a demonstration: a project folder of its own, and settings that touch nothing of the user's.

It must not start anything.
"""

import shutil
import socket
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from string import Template

from mlplatform.demonstration.plan import USE_CASE, Plan
from mlplatform.errors import ConfigurationError, StoreError

_FILES = Path(__file__).parent / "project"
_MARK = "demonstration.txt"
_PORTS = ("SCORING_PORT", "INGESTION_PORT", "PREPARATION_PORT", "UI_PORT")


def clear(home: Path) -> None:
    """Make an empty home, in the place of an earlier demonstration's if there is one.

    Raises
    ------
    ConfigurationError
        if the folder holds anything but a demonstration.
    StoreError
        if the disk refuses.
    """
    try:
        if home.exists() and any(home.iterdir()):
            if not (home / _MARK).exists():
                raise ConfigurationError(
                    f"{home} is not empty and no earlier demonstration's.",
                    hint="Name an empty folder with --home.",
                )
            shutil.rmtree(home)
        home.mkdir(parents=True, exist_ok=True)
        (home / _MARK).write_text(
            "Made by `mlplatform demo`, which deletes this folder when it runs again.\n"
        )
    except OSError as error:
        raise StoreError(f"{home} cannot be used: {error}.", hint="Name another with --home.") from error


def lay_out(home: Path, plan: Plan, *, known: bool) -> Path:
    """Write the project, and give its folder; with `known`, days end where the replay begins."""
    project = home / "project"
    folder = project / USE_CASE
    folder.mkdir(parents=True, exist_ok=True)
    last = plan.first - timedelta(days=1) if known else plan.last
    told = {
        "learned_from": plan.learned_from,
        "last": last,
        "as_of": plan.as_of,
        "validation": plan.part,
        "test": plan.part,
        "every_days": plan.train_every,
    }
    text = (_FILES / f"{USE_CASE}.yaml").read_text()
    (folder / "defs.yaml").write_text(Template(text).substitute({k: str(v) for k, v in told.items()}))
    shutil.copyfile(_FILES / "features.py", folder / "features.py")
    for name in ("definitions.py", "workspace.yaml"):
        shutil.copyfile(_FILES / name, project / name)
    return project


def environment(home: Path, given: Mapping[str, str]) -> dict[str, str]:
    """The environment of the demonstration's processes: its own home, stores and ports, no alert sent out."""
    kept = {k: v for k, v in given.items() if not k.startswith(("MLPLATFORM_", "DAGSTER_"))}
    ports = _free_ports(len(_PORTS) + 1)
    return {
        **kept,
        "MLPLATFORM_HOME": str(home),
        "MLPLATFORM_BROKER_URL": f"nats://127.0.0.1:{ports.pop()}",
        **{f"MLPLATFORM_{name}": str(port) for name, port in zip(_PORTS, ports, strict=True)},
    }


def _free_ports(count: int) -> list[int]:
    """Distinct ones: all are held until the last is found."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
