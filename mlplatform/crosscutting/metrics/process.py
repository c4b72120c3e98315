"""What this process takes of the machine, under the names that every Prometheus client gives.

It must not know what the process does.
"""

import os
import resource
import sys
import time
from pathlib import Path

from mlplatform.crosscutting.metrics.families import Family, Samples

_WORKER = ("worker",)
CPU = Family("process_cpu_seconds_total", "counter", "User and system CPU time of the process.", _WORKER)
MEMORY = Family("process_resident_memory_bytes", "gauge", "Resident memory of the process.", _WORKER)
FILES = Family("process_open_fds", "gauge", "Open file descriptors of the process.", _WORKER)
STARTED = Family(
    "process_start_time_seconds", "gauge", "When the process started, as Unix time.", _WORKER, together="max"
)
FAMILIES = (CPU, MEMORY, FILES, STARTED)
_BEGUN = time.time()


def samples(worker: int = 1) -> Samples:
    """Of this process; `worker` is its number among several."""
    label = (str(worker),)
    used = resource.getrusage(resource.RUSAGE_SELF)
    found: Samples = {
        CPU.name: {label: used.ru_utime + used.ru_stime},
        MEMORY.name: {label: float(_resident(used.ru_maxrss))},
        STARTED.name: {label: _BEGUN},
    }
    if (files := Path("/proc/self/fd")).exists():
        found[FILES.name] = {label: float(len(os.listdir(files)))}
    return found


def _resident(most: int) -> int:
    """Bytes in memory; where the system does not say (macOS), the most there ever were."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return most if sys.platform == "darwin" else most * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
