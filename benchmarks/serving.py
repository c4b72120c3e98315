"""Online scoring against its peers, all in one run: `python -m benchmarks.serving [--json] [--picture FILE]`.

Every server has one worker and one OpenMP thread and is asked 1,000 different rows in turn. In each round and
for each number of connections every server has its turn; printed are medians over the rounds, and ratios are
taken within a round. Before anything is measured, every answer is compared with `Booster.predict` to the bit.
Peers (MLServer, MLflow, BentoML) are installed once, into environments of their own, unless --no-peers is
given.
"""

import argparse
import json
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import serving_client
from benchmarks.serving_client import Load
from benchmarks.serving_targets import FASTAPI, MLSERVER, Target, started
from benchmarks.serving_world import WIDE, Questions, make_wide, questions

CONNECTIONS = (1, 16, 64)
_CACHE = Path.home() / ".cache" / "mlplatform-benchmarks"

Sample = dict[str, float]
Samples = dict[tuple[str, int], list[Sample]]
"""By name of the target and connections: what each round gave."""


def sample(target: Target, connections: int, seconds: float) -> Sample:
    """One load on one target: answers a second, latencies by percentile (ms), CPU µs of the server."""
    before = target.server.cpu_seconds()
    load: Load = serving_client.load(target.server.port, target.requests, connections, seconds)
    used = target.server.cpu_seconds() - before
    latencies = {f"p{q}_ms": value for q, value in load.milliseconds.items()}
    return {
        "requests_per_s": load.answers / load.seconds,
        "cpu_us": used / max(1, load.answers) * 1e6,
        "failures": load.failures,
        **latencies,
    }


def measure(targets: Sequence[Target], rounds: int, seconds: float, told: Callable[[str], None]) -> Samples:
    """Every target in turn, in every round, for every number of connections, after a warm-up."""
    for target in targets:
        told(f"{target.name}: warming up")
        sample(target, 16, 1.0)
    samples: Samples = {}
    for number in range(rounds):
        for connections in CONNECTIONS:
            told(f"round {number + 1} of {rounds}, {connections} connections")
            for target in targets:
                samples.setdefault((target.name, connections), []).append(
                    sample(target, connections, seconds)
                )
    return samples


def table(samples: Samples) -> list[dict[str, Any]]:
    """One line for each target and number of connections: medians, and ratios within rounds."""
    lines: list[dict[str, Any]] = []
    for (name, connections), rounds in samples.items():
        line: dict[str, Any] = {"server": name, "connections": connections}
        for key in ("requests_per_s", "p50_ms", "p99_ms", "cpu_us", "failures"):
            line[key] = round(statistics.median(each[key] for each in rounds), 3)
        line["p99_to_p50"] = _ratio(rounds, rounds, "p99_ms", "p50_ms")
        for title, name_of, other in (("ratio", "fastapi", FASTAPI), ("to_mlserver", "mlserver", MLSERVER)):
            if reference := samples.get((other, connections)):
                line[title] = _ratio(rounds, reference, "requests_per_s")
                line[f"p50_to_{name_of}"] = _ratio(rounds, reference, "p50_ms")
        lines.append(line)
    return lines


def _ratio(ours: Sequence[Sample], theirs: Sequence[Sample], key: str, other: str = "") -> float:
    pairs = zip(ours, theirs, strict=True)
    return round(statistics.median(a[key] / max(b[other or key], 1e-9) for a, b in pairs), 3)


def picture(samples: Samples, path: Path) -> None:
    """Latency by percentile of every server, one panel for each number of connections."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(CONNECTIONS), figsize=(15, 5), sharey=True, layout="constrained")
    for panel, connections in zip(panels, CONNECTIONS, strict=True):
        for (name, measured), rounds in samples.items():
            if measured == connections:
                keys = [key for key in rounds[0] if key.endswith("_ms")]
                values = [statistics.median(each[key] for each in rounds) for key in keys]
                panel.plot(range(len(keys)), values, marker=".", label=name)
                panel.set_xticks(range(len(keys)), [key[1:-3] for key in keys], rotation=60)
        panel.set(title=f"connections: {connections}", xlabel="percentile", yscale="log")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("latency, ms")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper")
    figure.savefig(path, dpi=120)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Make or take the world, start everything, measure, and draw."""

    def told(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        folder, home, use_case = Path(temporary), options.home, options.use_case
        if home is None:
            told("making the world: 4,800 orders, 68 features, 300 trees of 63 leaves")
            home, use_case = folder / "home", WIDE
            make_wide(home)
        asked: Questions = questions(home, use_case)
        cache = options.cache if options.peers else None
        with started(asked, home, folder, cache, told) as targets:
            samples = measure(targets, options.rounds, options.seconds, told)
    if options.picture:
        picture(samples, options.picture)
    return {
        "use_case": use_case,
        "rows": len(asked.facts),
        "features": asked.matrix.shape[1],
        "trees": asked.booster.num_trees(),
        "client": serving_client.NAME,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "table": table(samples),
    }


def main() -> None:
    """Run and report; exit code 1 if ours failed a request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--picture", type=Path, help="PNG of the latencies")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--home", type=Path, help="take the champion of this home instead of the wide world")
    parser.add_argument("--use-case", default="flight_delay", help="of --home")
    parser.add_argument("--cache", type=Path, default=_CACHE, help="folder of the peers' environments")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended
    result = run(options)
    if options.json:
        print(json.dumps(result))
    else:
        _print(result)
    failed = any(line["failures"] for line in result["table"] if line["server"].startswith("mlplatform"))
    sys.exit(1 if failed else 0)


def _print(result: dict[str, Any]) -> None:
    lines = result["table"]
    print(", ".join(f"{name}: {value}" for name, value in result.items() if name != "table"))
    titles = list(dict.fromkeys(name for line in lines for name in line if name != "server"))
    print(f"{'server':<22}", *(f"{title:>15}" for title in titles))
    for line in sorted(lines, key=lambda line: int(line["connections"])):
        print(f"{line['server']:<22}", *(f"{line.get(title, ''):>15}" for title in titles))


if __name__ == "__main__":
    main()
