"""The status page of a use case: one HTML file with its figures in it, which needs no server and no network.

It is written beside the reports by the asset `serving_figures` and served by the scoring service. It must
not compute a figure (monitored.py reads them).
"""

import json
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.declared import Declared
from mlplatform.offline.in_use import sentence
from mlplatform.offline.monitored import monitored
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.files import write_atomically

NAME = "status.html"
_DATA = "{{DATA}}"


def write(declared: Declared, settings: Settings, now: datetime) -> Path:
    """Write the page anew; where it is.

    Raises
    ------
    StoreError
        if a store cannot be read.
    """
    told = monitored(declared, settings)
    store = ChampionStore(settings.state_url)
    try:
        present = store.deployment(declared.name)
    finally:
        store.close()
    told |= {
        "champion": present.champion.version if present else 0,
        "sentence": sentence(declared.name, present) if present else "Nothing is in use yet.",
        "at": now.isoformat(),
    }
    return write_atomically(settings.reports / declared.name / NAME, page(told).encode())


def page(told: dict[str, object]) -> str:
    """The page of what `monitored` tells, with champion, sentence and time."""
    # Inside a script element only "</" could end it early; as JSON it may be written with an escape.
    data = json.dumps(told, allow_nan=False).replace("</", "<\\/")
    return files("mlplatform.offline").joinpath("pages", NAME).read_text().replace(_DATA, data)
