"""What metrics and traces cost: nanoseconds on the path of a request, milliseconds of a scrape.

    python -m benchmarks.metrics [--json]

Each figure is the smallest of several runs of a loop, less an empty loop. The parts are those that a scored
row passes: `tally` (answers, late ones, the histogram), `count` (requests by route and status), `trace` (the
work in hand), `debug` (asking whether a line is to be logged).
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from mlplatform.crosscutting import tracing
from mlplatform.crosscutting.metrics import SharedSamples, process
from mlplatform.crosscutting.metrics.exposition import text
from mlplatform.crosscutting.metrics.families import Samples
from mlplatform.online.metrics import families
from mlplatform.online.metrics.requests import Counts
from mlplatform.online.metrics.tallies import Tallies
from mlplatform.stages.scoring.score import Answer

CALLS, RUNS = 100_000, 7
_LOG = logging.getLogger("mlplatform.benchmark")
_ANSWER = Answer(
    prediction_id="0" * 32,
    use_case="flight_delay",
    model="lightgbm",
    version=3,
    digest="0" * 64,
    feature_set="f",
    kind="probability",
    score=0.25,
    as_of=None,
    features_age_s=12.5,
)


def best(work: Callable[[], object], calls: int = CALLS, runs: int = RUNS) -> float:
    """Seconds of one call, the smallest of several runs."""
    found = []
    for _ in range(runs):
        begin = time.perf_counter()
        for _ in range(calls):
            work()
        found.append(time.perf_counter() - begin)
    return min(found) / calls


def path() -> dict[str, float]:
    """Nanoseconds a request pays, by part and in all."""
    tallies, counts, answers = Tallies(), Counts(), [_ANSWER]
    scope: dict[str, object] = {"type": "http", "headers": []}

    def count() -> None:
        counts["/score/{use_case}", 200] += 1

    parts: dict[str, Callable[[], object]] = {
        "tally": lambda: tallies.answered(answers, 0.0003),
        "count": count,
        "trace": lambda: tracing.begin(scope),
        "debug": lambda: _LOG.isEnabledFor(logging.DEBUG),
    }
    empty = best(lambda: None)
    found = {name: round((best(work) - empty) * 1e9, 1) for name, work in parts.items()}
    return found | {"all": round(sum(found.values()), 1)}


def scrape(workers: int, versions: int) -> dict[str, float]:
    """Milliseconds of one worker's second-by-second file, and of a whole scrape by one of several workers."""
    with tempfile.TemporaryDirectory() as folder:
        made = [
            SharedSamples(Path(folder) / f"{n}.json", families.SCORING, lambda: _samples(versions))
            for n in range(workers)
        ]
        for each in made:
            each.write()
        whole = best(lambda: text(families.SCORING, made[0].all()), 50, 3)
        return {"write": best(made[0].write, 50, 3) * 1e3, "scrape": whole * 1e3}


def _samples(versions: int) -> Samples:
    labels = [("flight_delay", str(n), "champion") for n in range(versions)]
    times = [float(n) for n in range(len(families.BUCKETS) + 2)]
    return {
        families.ANSWERS.name: dict.fromkeys(labels, 1.0),
        families.LATE.name: dict.fromkeys(labels, 1.0),
        families.SECONDS.name: {each: list(times) for each in labels},
        **process.samples(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.metrics", description="What metrics and traces cost.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--versions", type=int, default=20)
    asked = parser.parse_args()
    found = {"path_ns": path(), "several_ms": scrape(asked.workers, asked.versions)}
    if asked.json:
        print(msgspec.json.encode(found).decode())
        return
    for part, ns in found["path_ns"].items():
        print(f"{part:8} {ns:8.0f} ns a request")
    for part, ms in found["several_ms"].items():
        print(f"{part:8} {ms:8.2f} ms with {asked.workers} workers, {asked.versions} versions")


if __name__ == "__main__":
    main()
