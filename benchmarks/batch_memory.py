"""The peak memory of batch scoring in a process of its own. Importing it sets nothing."""

import os
import subprocess
import sys
from contextlib import closing

from benchmarks import batch_home
from mlplatform.crosscutting.settings import Settings
from mlplatform.stores.batch_asking import Asked, ask
from mlplatform.stores.batch_requests import BatchRequests
from mlplatform.stores.champions import ChampionStore

_PEAK = (
    "import resource, sys; from mlplatform.online.batch_scoring import main; code = main(sys.argv[1:]);"
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
)


def peak_mb(settings: Settings) -> float:
    """Peak memory of the process that scores every day of a synthetic home."""
    with (
        closing(BatchRequests(settings.state_url)) as requests,
        closing(ChampionStore(settings.state_url)) as champions,
    ):
        days = batch_home.day_keys(365)
        asked = Asked(use_case=batch_home.USE_CASE, first=days[0], last=days[-1])
        id = ask(requests, champions, asked).id
    environment = {**os.environ, "MLPLATFORM_HOME": str(settings.home)}
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, id], env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1]) / (1024 if sys.platform == "linux" else 1024**2)
