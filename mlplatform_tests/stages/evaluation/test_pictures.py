"""Pictures are small PNGs of a fixed size, equal for equal data, drawn without pyplot."""

import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mlplatform.stages.evaluation.pictures import draw
from mlplatform.stages.evaluation.report import evaluate_all, overlay
from mlplatform.stages.evaluation.values import Bar, Line, Picture, thin

RANDOM = np.random.default_rng(7)
P = RANDOM.beta(2, 5, 20_000)
Y = (RANDOM.random(len(P)) < P).astype(np.float64)
BARS = Picture(
    title="Bars",
    x_label="psi",
    bars=tuple(Bar(f"feature_with_a_very_long_name_{i}", i / 9, f"{i / 9:.2f}") for i in range(20, 0, -1)),
    references=(Line("much", (0.25, 0.25), (0.0, 1.0)),),
)


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@pytest.mark.parametrize("name", ["roc", "precision_recall", "calibration"])
def test_one_model_and_six_are_small_and_of_one_size(name: str) -> None:
    picture = evaluate_all([name], Y, P).pictures[name]
    for each in (picture, overlay({f"model_{i}": picture for i in range(7)})):
        png = draw(each)
        assert size(png) == (640, 480)
        assert len(png) < 40_000


def test_bars_and_equal_bytes() -> None:
    png = draw(BARS)
    assert size(png) == (640, 480)
    assert len(png) < 40_000
    assert png == draw(BARS)


def test_threads_that_draw_at_once_do_not_disturb_each_other() -> None:
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(draw, [BARS] * 4)) == {draw(BARS)}


def test_different_data_is_a_different_picture() -> None:
    up = Picture(title="t", x_label="x", lines=(Line("a", (0.0, 1.0), (0.0, 1.0)),))
    down = Picture(title="t", x_label="x", lines=(Line("a", (0.0, 1.0), (1.0, 0.0)),))
    assert draw(up) != draw(down)


def test_stage_is_imported_without_matplotlib_and_draws_without_pyplot() -> None:
    code = (
        "import sys\n"
        "from mlplatform.stages.evaluation.pictures import draw\n"
        "from mlplatform.stages.evaluation.values import Line, Picture\n"
        "assert 'matplotlib' not in sys.modules\n"
        "draw(Picture(title='t', x_label='x', lines=(Line('a', (0.0, 1.0), (0.0, 1.0)),)))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_thinning_keeps_both_ends_and_the_shape() -> None:
    x = np.linspace(0.0, 1.0, 10_000)
    kept_x, kept_y = thin(x, np.sqrt(x))
    assert len(kept_x) <= 300
    assert (kept_x[0], kept_y[0], kept_x[-1], kept_y[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert np.max(np.abs(np.interp(x, kept_x, kept_y) - np.sqrt(x))) < 0.01
