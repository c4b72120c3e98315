"""Batch scoring, measured: a year of stored features scored into the lake, against LightGBM alone.

    python -m benchmarks.batch [--rows N] [--features N] [--trees N] [--memory ROWS …] [--home HOME] [--json]

`ratio_to_bare_predict` is the time of `score_days` (reading stored features, the matrix, predicting, classes,
ids, committed days of the lake) over that of `Booster.predict` on as many threads for the same rows, their
matrix in memory already, and one Parquet file of its scores: medians of both, taken in turn in one process
after a warm-up. With `--memory` the peak memory of a process that scores so many rows, for each number. The
home is made anew, or is one with stored features and a champion of LightGBM's: `--home HOME USE_CASE`.
"""

import os

THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1))))
# LightGBM reads the number of threads when it is loaded: so above the imports.

import argparse  # noqa: E402
import json  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from contextlib import closing  # noqa: E402
from pathlib import Path  # noqa: E402
from tempfile import TemporaryDirectory  # noqa: E402

import lightgbm  # noqa: E402
import numpy as np  # noqa: E402
import polars as pl  # noqa: E402

from benchmarks import batch_home  # noqa: E402
from benchmarks.batch_memory import peak_mb  # noqa: E402
from mlplatform.crosscutting.settings import Settings  # noqa: E402
from mlplatform.errors import NotFound  # noqa: E402
from mlplatform.stages.training.contract import Floats  # noqa: E402
from mlplatform.stores.batch_scores import SCORES, Scorer, score_days  # noqa: E402
from mlplatform.stores.candidates import CandidateStore  # noqa: E402
from mlplatform.stores.champions import ChampionStore  # noqa: E402
from mlplatform.stores.lake import KEY, Lake, Table  # noqa: E402

ROUNDS = 5


def scorer_of(settings: Settings, lake: Lake, use_case: str) -> Scorer:
    """The champion's scorer."""
    with closing(ChampionStore(settings.state_url)) as champions:
        release = champions.champion(use_case)
    if release is None:
        raise NotFound(f"{use_case!r} has no champion in {settings.home}.", hint="mlplatform run")
    return Scorer.open(release, CandidateStore(settings.candidates), lake)


def against_bare(settings: Settings, use_case: str, rounds: int) -> dict[str, float]:
    """Seconds of ours and of the bare prediction, in turn, their ratio, and whether the bits are the same."""
    with closing(Lake.from_settings(settings)) as lake, TemporaryDirectory() as folder:
        scorer = scorer_of(settings, lake, use_case)
        counts = scorer.questions.within("0000-00-00", "9999-99-99")
        days = list(counts)
        matrix = np.concatenate([scorer.questions.read(each)[1] for each in _tenths(days)])
        booster = lightgbm.Booster(model_str=scorer.model.files()["model.txt"].decode())
        file = Path(folder) / "scores.parquet"
        kept: list[Floats] = []

        def bare() -> None:
            kept[:] = [booster.predict(matrix, num_threads=THREADS)]
            pl.DataFrame({"score": kept[0]}).write_parquet(file)

        ours, theirs, predicted = [], [], []
        for turn in range(rounds + 1):
            mine, its = _seconds(lambda: score_days(scorer, lake, days)), _seconds(bare)
            alone = _seconds(lambda: booster.predict(matrix, num_threads=THREADS))
            if turn:  # the first one warms up
                ours.append(mine)
                theirs.append(its)
                predicted.append(alone)
        stored = lake.read(Table(use_case, SCORES), columns=[*scorer.questions.key, KEY, "score"])
    stored = stored.sort(KEY, *scorer.questions.key)
    return {
        "rows": len(matrix),
        "features": matrix.shape[1],
        "days": len(days),
        "threads": THREADS,
        "score_days_s": round(statistics.median(ours), 2),
        "bare_predict_and_parquet_s": round(statistics.median(theirs), 2),
        "bare_predict_s": round(statistics.median(predicted), 2),
        "ratio_to_bare_predict": round(statistics.median(ours) / statistics.median(theirs), 3),
        "median_of_ratios": round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 3),
        "rows_per_s": round(len(matrix) / statistics.median(ours)),
        "scores_different": int((stored["score"].to_numpy() != kept[0]).sum()),
    }


def where_time_goes(settings: Settings, use_case: str) -> dict[str, float]:
    """CPU seconds of one chunk by step, as a part of the prediction's."""
    with closing(Lake.from_settings(settings)) as lake:
        scorer = scorer_of(settings, lake, use_case)
        counts = scorer.questions.within("0000-00-00", "9999-99-99")
        days = list(counts)[: max(1, round(80_000 / max(1, statistics.mean(counts.values()))))]
        spent: dict[str, float] = {}
        table = Table(use_case, "scores_of_a_benchmark")
        for _ in range(2):  # the first one warms up
            started = time.process_time()
            asked, matrix = scorer.questions.read(days)
            read = time.process_time()
            scores = scorer.model.predict(matrix)
            predicted = time.process_time()
            rows = scorer.rows(asked, scores)
            named = time.process_time()
            lake.write(table, rows, days)
            written = time.process_time()
            whole = predicted - read
            spent = {
                "read_to_predict": (read - started) / whole,
                "ids_to_predict": (named - predicted) / whole,
                "write_to_predict": (written - named) / whole,
                "predict_cpu_us_per_row": whole / len(scores) * 1e6,
            }
        lake.drop(table)
    return {name: round(value, 3) for name, value in spent.items()}


def peaks(sizes: list[int], features: int, trees: int) -> dict[str, float]:
    """Peak memory, in MB, of a process that scores so many rows."""
    found = {}
    for rows in sizes:
        with TemporaryDirectory() as folder:
            settings = Settings.load({"MLPLATFORM_HOME": folder})
            batch_home.make(settings, rows=rows, features=features, trees=trees)
            found[f"peak_mb_of_{rows}_rows"] = round(peak_mb(settings), 1)
    return found


def _tenths(days: list[str]) -> list[list[str]]:
    step = max(1, len(days) // 10)
    return [days[at : at + step] for at in range(0, len(days), step)]


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Run and report."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--rows", type=int, default=336_776)
    arguments.add_argument("--features", type=int, default=148)
    arguments.add_argument("--trees", type=int, default=600)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--memory", type=int, nargs="*", default=[], metavar="ROWS")
    arguments.add_argument("--home", nargs=2, metavar=("HOME", "USE_CASE"))
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    with TemporaryDirectory() as folder:
        home, use_case = options.home or (folder, batch_home.USE_CASE)
        settings = Settings.load({"MLPLATFORM_HOME": home})
        if not options.home:
            batch_home.make(settings, rows=options.rows, features=options.features, trees=options.trees)
        result = against_bare(settings, use_case, options.rounds) | where_time_goes(settings, use_case)
    result |= peaks(options.memory, options.features, 20)
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:>26}: {value}")
    sys.exit(1 if result["scores_different"] else 0)


if __name__ == "__main__":
    main()
