"""What is written for Prometheus is read back: names, labels with any sign in them, and numbers."""

from mlplatform.crosscutting.metrics import Family
from mlplatform.crosscutting.metrics.exposition import text
from mlplatform.crosscutting.metrics.reading import totals

ASKED = Family("asked_total", "counter", "Asked.", ("use_case", "link"))
SECONDS = Family("seconds", "histogram", "Seconds.", ("link",), buckets=(0.1,))


def test_sums_over_labels_and_without_some() -> None:
    samples = {
        "asked_total": {("a", "champion"): 2.0, ('b "x" {y} z', "shadow"): 40.0, ("c", "canary"): 0.5},
        "seconds": {("champion",): [3.0, 1.0, 0.25]},
    }
    found = totals(text((ASKED, SECONDS), samples))  # type: ignore[arg-type]
    assert found.sum("asked_total") == 42.5
    assert found.sum("asked_total", without={"link": "shadow"}) == 2.5
    assert (found.sum("seconds_count"), found.sum("seconds_sum")) == (4, 0.25)
    assert found.sum("absent") == 0


def test_what_is_no_sample_is_passed_over() -> None:
    assert totals("# HELP a b\n\nnonsense\na b c\na 1\n").sum("a") == 1
