"""How soon an acknowledged event is visible in the features: `python -m benchmarks.visibility [--json]`.

An embedded NATS in a temporary folder, one publisher, one follower, in two threads of this process.
"""

import argparse
import json
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from mlplatform.crosscutting.bus.nats_jetstream import NatsBus
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT
from mlplatform.features import Agg, FeatureSet, Source, Spine, col
from mlplatform.online.event_rows import EventRows
from mlplatform.online.events import Incoming, message
from mlplatform.online.follower import Follower, Target
from mlplatform.online.streams import StreamSources, of_declaration
from mlplatform.stages.preparation.online import OnlineFeatures
from mlplatform_tests.crosscutting.brokers import Broker

EVENTS, WARM_UP = 2_000, 200
_START = datetime(2013, 1, 1, tzinfo=UTC)
_SOURCE = Source("gone", table="trips", at="at", key=("id",))
_SPINE = Spine(table="trips", key=("id",), facts={"id": "int", "at": "time"}, as_of=col("at").minus("1m"))
_FEATURES = FeatureSet("seen", _SPINE, [Agg(_SOURCE, (), "count", "1d"), Agg(_SOURCE, (), "max", "1d", "id")])


def measure() -> dict[str, float]:
    """Milliseconds from the acknowledgement of one event to its being applied."""
    streams = of_declaration("seen", {"trips": StreamSources(sources={"gone": "gone"})}, _FEATURES)
    schema = {"trips": {"id": pl.Int64(), "at": pl.Datetime("us", "UTC")}}
    target = Target("seen", OnlineFeatures(_FEATURES), EventRows(streams, _FEATURES, schema))
    with tempfile.TemporaryDirectory() as folder, Broker(Path(folder)) as broker:
        follower = Follower(lambda: NatsBus(broker.url))
        with closing(NatsBus(broker.url)) as bus:
            follower.join(target)
            waits = [_one(bus, target, number) for number in range(WARM_UP + EVENTS)][WARM_UP:]
            follower.stop()
    assert target.applied == WARM_UP + EVENTS
    p50, p99 = np.percentile(np.array(waits) * 1000, [50, 99]).tolist()
    return {
        "events": EVENTS,
        "p50_ms": round(p50, 3),
        "p99_ms": round(p99, 3),
        "max_ms": round(max(waits) * 1000, 3),
    }


def _one(bus: NatsBus, target: Target, number: int) -> float:
    at = _START + timedelta(seconds=number)
    document = json.dumps({"type": "gone", "id": number, "at": at.isoformat()}).encode()
    position = bus.publish(SOURCE_EVENT, message("seen", "trips", Incoming(str(number), at, "k", document)))
    acknowledged = time.perf_counter()
    while target.position < position:
        time.sleep(0.00005)
    return time.perf_counter() - acknowledged


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    found = measure() if parser.parse_args() else {}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
