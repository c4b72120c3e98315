"""The text format: what Prometheus reads is what was given, whatever the labels hold."""

import math

import pytest

from mlplatform.crosscutting.metrics import Family, Samples, merged, process
from mlplatform.crosscutting.metrics.exposition import text

ASKED = Family("asked_total", "counter", 'How often.\nWith "quotes" and \\.', ("route",))
SECONDS = Family("took_seconds", "histogram", "How long.", ("route",), buckets=(0.5, 2.0))
NEWEST = Family("newest_seconds", "gauge", "The newest.", together="min")
LAG = Family("lag", "gauge", "Behind.", together="max")


def test_counters_histograms_and_gauges() -> None:
    samples: Samples = {
        "lag": {(): 1.5},
        "asked_total": {("b",): 2.0, ("a",): 10.0},
        "took_seconds": {("a",): [1.0, 2.0, 3.0, 12.25]},
    }
    assert text([ASKED, SECONDS, NEWEST, LAG], samples) == (
        '# HELP asked_total How often.\\nWith "quotes" and \\\\.\n'
        "# TYPE asked_total counter\n"
        'asked_total{route="a"} 10\n'
        'asked_total{route="b"} 2\n'
        "# HELP took_seconds How long.\n"
        "# TYPE took_seconds histogram\n"
        'took_seconds_bucket{route="a",le="0.5"} 1\n'
        'took_seconds_bucket{route="a",le="2"} 3\n'
        'took_seconds_bucket{route="a",le="+Inf"} 6\n'
        'took_seconds_sum{route="a"} 12.25\n'
        'took_seconds_count{route="a"} 6\n'
        "# HELP lag Behind.\n"
        "# TYPE lag gauge\n"
        "lag 1.5\n"
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [(math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (1e300, "1e+300"), (0.1, "0.1")],
)
def test_numbers(value: float, written: str) -> None:
    assert text([LAG], {"lag": {(): value}}).endswith(f"\nlag {written}\n")


def test_labels_cannot_break_out() -> None:
    told = text([ASKED], {"asked_total": {('"} 1\nevil_total 2\\',): 1.0}})
    assert told.splitlines()[-1] == 'asked_total{route="\\"} 1\\nevil_total 2\\\\"} 1'


def test_several_processes_together() -> None:
    one: Samples = {"asked_total": {("a",): 1.0}, "took_seconds": {("a",): [1.0, 0.0, 0.0, 0.25]}}
    one |= {"lag": {(): 5.0}, "newest_seconds": {(): 7.0}}
    other: Samples = {
        "asked_total": {("a",): 2.0, ("b",): 3.0},
        "took_seconds": {("a",): [1.0, 2.0, 0.0, 2.0]},
    }
    other |= {"lag": {(): 4.0}, "newest_seconds": {(): 6.0}, "of_older_code": {(): 1.0}}
    assert merged([ASKED, SECONDS, NEWEST, LAG], [one, other]) == {
        "asked_total": {("a",): 3.0, ("b",): 3.0},
        "took_seconds": {("a",): [2.0, 2.0, 0.0, 2.25]},
        "lag": {(): 5.0},
        "newest_seconds": {(): 6.0},
    }
    assert one["took_seconds"] == {("a",): [1.0, 0.0, 0.0, 0.25]}  # what was given is not changed


def test_the_process_itself() -> None:
    before, after = process.samples(3), process.samples(3)
    assert {labels for values in after.values() for labels in values} == {("3",)}
    assert after["process_cpu_seconds_total"][("3",)] >= before["process_cpu_seconds_total"][("3",)] > 0  # type: ignore[operator]
    assert after["process_resident_memory_bytes"][("3",)] > 10_000_000  # type: ignore[operator]
    assert after["process_start_time_seconds"] == before["process_start_time_seconds"]
