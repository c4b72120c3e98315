"""The client of `benchmarks.serving`, a process of its own: wrk if it is installed, else `benchmarks.load`.

wrk costs less CPU, which on few cores the servers then have. It must not know what is asked.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import PERCENTILES
from benchmarks.serving_processes import HOST

WRK = shutil.which("wrk")
NAME = "wrk" if WRK else "asyncio (benchmarks.load)"
_LUA = """
local requests, at = {}, 0
function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  local line = file:read("*l")
  while line do
    requests[#requests + 1] = file:read(tonumber(line))
    line = file:read("*l")
  end
  file:close()
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
function done(summary, latency, _)
  local parts = {}
  for _, q in ipairs({%s}) do
    local value = q == 100 and latency.max or latency:percentile(q)
    parts[#parts + 1] = string.format('"%%g": %%.4f', q, value / 1000)
  end
  local e = summary.errors
  io.stderr:write(string.format(
    '{"answers": %%d, "seconds": %%.6f, "milliseconds": {%%s}, "failures": %%d}',
    summary.requests, summary.duration / 1e6, table.concat(parts, ", "),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What one load of a few seconds gave."""

    answers: int
    seconds: float
    milliseconds: dict[str, float]
    """Latency by percentile (`benchmarks.load.PERCENTILES`)."""
    failures: int


def load(port: int, requests: Path, connections: int, seconds: float) -> Load:
    """Put a load of the requests in a file (`benchmarks.load.write_requests`) on a port of this machine.

    Raises
    ------
    subprocess.CalledProcessError
        if the client failed.
    """
    command = (
        _wrk(port, requests, connections, seconds) if WRK else _own(port, requests, connections, seconds)
    )
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 120)
    told = json.loads(done.stderr if WRK else done.stdout)
    return Load(told["answers"], told["seconds"], told["milliseconds"], told["failures"])


def _own(port: int, requests: Path, connections: int, seconds: float) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.load", HOST, str(port), str(requests)]
    return [*command, "--connections", str(connections), "--seconds", str(seconds)]


def _wrk(port: int, requests: Path, connections: int, seconds: float) -> list[str]:
    script = requests.with_suffix(".lua")
    if not script.exists():
        script.write_text(_LUA % ", ".join(f"{q:g}" for q in PERCENTILES))
    limits = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
    return [WRK or "wrk", *limits, "-s", str(script), f"http://{HOST}:{port}", "--", str(requests)]
