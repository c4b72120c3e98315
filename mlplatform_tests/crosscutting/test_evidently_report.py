"""The Evidently adapter: one real report, in a process that notes every attempt to reach a network."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from mlplatform.crosscutting.evidently_report import report
from mlplatform.errors import ConfigurationError

FRAME = pl.DataFrame({"x": [1.0, 2.0], "c": ["a", "b"], "gone": [None, None]})

SCRIPT = """
import os, sys
reached = []
watched = {"socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen"}
sys.addaudithook(lambda event, args: reached.append((event, str(args))) if event in watched else None)

import numpy as np
import polars as pl
from mlplatform.crosscutting.evidently_report import page, report
from mlplatform.errors import ConfigurationError
assert "evidently" not in sys.modules

def frame(rows, shift):
    random = np.random.default_rng(1)
    x = random.normal(shift, 1, rows)
    x[::10] = np.nan
    return pl.DataFrame({
        "x": x,
        "constant": np.ones(rows),
        "empty": np.full(rows, np.nan),
        "carrier": random.choice(["AA", "UA"], rows),
    })

numbers = ["x", "constant", "empty"]
found = report(frame(25_000, 0), frame(3_000, 1), numerical=numbers, categorical=["carrier"])
assert found.left_out == ("empty",), found.left_out
with open(sys.argv[1], "w") as file:
    file.write(found.json)
with open(sys.argv[2], "w") as file:
    file.write(page(found.snapshot))
for damaged in (b"", b"{}", b'{"report": 1}', b"\\xff\\xfe", found.snapshot[:-9]):
    try:
        page(damaged)
    except ConfigurationError as error:
        assert "this is no snapshot" in str(error), error
    else:
        raise AssertionError(damaged)
assert not reached, reached
"""


@pytest.mark.slow
def test_a_real_report_is_quiet_keeps_to_itself_and_sees_the_drift(tmp_path: Path) -> None:
    figures, page = tmp_path / "report.json", tmp_path / "report.html"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, figures, page],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    values = {
        metric["config"].get("column"): metric["value"]
        for metric in json.loads(figures.read_text())["metrics"]
    }
    assert values["x"] == pytest.approx(1.0, abs=0.1)
    assert values["constant"] == 0.0
    assert values["carrier"] < 0.1
    html = page.read_text()
    assert html.lstrip().lower().startswith("<!doctype html>")
    assert 'src="http' not in html


@pytest.mark.parametrize(
    ("frame", "numerical", "categorical", "said"),
    [
        (FRAME, [], [], "got 0 columns"),
        (FRAME, ["x", "x"], [], "got 2 columns, 1 of them different"),
        (FRAME, [f"x{i}" for i in range(16)], [], "got 16 columns"),
        (FRAME, ["x"], ["d"], "2 rows and lacks d"),
        (FRAME[:0], ["x"], ["c"], "0 rows and lacks no column"),
        (FRAME, [], ["gone"], "none of the columns gone holds a value"),
    ],
)
def test_what_cannot_be_reported_is_refused_before_evidently_is_imported(
    frame: pl.DataFrame, numerical: list[str], categorical: list[str], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        report(FRAME, frame, numerical=numerical, categorical=categorical)
    assert "evidently" not in sys.modules
