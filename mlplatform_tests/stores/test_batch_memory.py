"""The memory of batch scoring in a process of its own does not grow with the number of rows."""

from pathlib import Path

import pytest

from benchmarks import batch_home
from benchmarks.batch_memory import peak_mb
from mlplatform.crosscutting.settings import Settings
from mlplatform.stores.batch_scores import CELLS

FEATURES = 60
CHUNK_MB = CELLS * 8 / 2**20


def peak(folder: Path, rows: int) -> float:
    settings = Settings.load({"MLPLATFORM_HOME": str(folder)})
    batch_home.make(settings, rows=rows, features=FEATURES, trees=5)
    return peak_mb(settings)


@pytest.mark.slow
def test_a_million_rows_take_the_memory_of_a_few_chunks(tmp_path: Path) -> None:
    """300,000 rows are several chunks already; the whole million would be 460 MB in its matrix alone."""
    few, many = peak(tmp_path / "few", 300_000), peak(tmp_path / "many", 1_000_000)
    assert many - few < CHUNK_MB
    assert 1_000_000 * FEATURES * 8 / 2**20 > 4 * CHUNK_MB
