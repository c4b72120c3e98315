"""Accuracy by window, with intervals, and calibration as a table: what people and pictures look at.

It must not say whether a figure is good (verdict.py compares with a reference).
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.evaluation.bootstrap import draws, interval
from mlplatform.stages.evaluation.evaluators._counts import area, hits_and_false_alarms
from mlplatform.stages.evaluation.evaluators._losses import absolute, log_losses, squared
from mlplatform.stages.evaluation.values import Floats
from mlplatform.stages.monitoring.shares import wilson
from mlplatform.stages.training.output import Kind

FIGURES: dict[Kind, tuple[str, ...]] = {
    "probability": ("log_loss", "brier", "roc_auc"),
    "number": ("mae", "rmse"),
    "forecast": ("mae", "rmse"),
}
_TASKS = {"probability": "classification", "number": "regression", "forecast": "regression"}


def accuracy(judged: pl.DataFrame, kind: Kind, *, by: Sequence[str], level: float = 0.9) -> pl.DataFrame:
    """Figures per window (or window and slice) of answers joined with their outcomes.

    Parameters
    ----------
    judged : `score`, `outcome` (null or NaN while unknown), `block` (whole blocks are drawn for
        intervals) and the columns `by`
    by : e.g. the week, or the week and a slice column

    Returns
    -------
    polars.DataFrame
        `by`, ascending, scored (rows), n (rows with an outcome), and per figure of `FIGURES[kind]` itself,
        `…_low` and `…_high`: the ends of its interval, null for fewer than 5 blocks; a figure that is not
        defined (the AUC of one class, any figure without an outcome) is null.

    Raises
    ------
    ConfigurationError
        if the kind has no such figures.
    ModelError
        if a column is missing or no score is a number.
    """
    if kind not in FIGURES:
        raise ConfigurationError(
            f"scores of kind {kind!r} have no accuracy by window; allowed: {', '.join(FIGURES)}.",
            hint="monitoring.judged.by_day has the figures of ranked lists.",
        )
    rows = _rows(judged, [*by, "block"])
    found = []
    for key, window in sorted(rows.partition_by(*by, as_dict=True).items(), key=lambda item: _order(item[0])):
        known = window.filter(pl.col("y").is_not_null())
        counts = {"scored": window.height, "n": known.height}
        found.append(dict(zip(by, key, strict=True)) | counts | _figures(known, kind, level))
    ends = [f"{name}{end}" for name in FIGURES[kind] for end in ("", "_low", "_high")]
    types = {name: rows.schema[name] for name in by} | {"scored": pl.Int64, "n": pl.Int64}
    return pl.DataFrame(found, schema=types | dict.fromkeys(ends, pl.Float64))


def calibration(judged: pl.DataFrame, *, bins: int = 10, level: float = 0.9) -> pl.DataFrame:
    """How often scores of equal height came true.

    Parameters
    ----------
    judged : `score` in [0, 1], `outcome` 0/1, null or NaN while unknown

    Returns
    -------
    polars.DataFrame
        a row per bin [k/bins, (k+1)/bins) that holds rows, the last one closed: bin_low, bin_high, n,
        mean_score, observed (share), and low and high, the ends of Wilson's interval of the share. It takes
        rows for independent: within a day they are not quite.

    Raises
    ------
    ModelError
        if a column is missing, a score lies outside [0, 1] or an outcome is neither 0 nor 1.
    """
    rows = _rows(judged, []).drop_nulls("y")
    p, y = rows["p"].to_numpy(), rows["y"].to_numpy()
    if len(p) and not (p.min() >= 0.0 and p.max() <= 1.0 and np.isin(y, (0.0, 1.0)).all()):
        raise ModelError(
            f"got scores from {p.min()} to {p.max()} and outcomes from {y.min()} to {y.max()}; allowed: "
            "scores from 0 to 1, outcomes 0 or 1.",
            hint="Numbers have a bias, not a calibration: see monitoring.outcomes.",
        )
    place = np.searchsorted(np.arange(1, bins) / bins, p, side="right")
    found = []
    for k in range(bins):
        inside = place == k
        n, hits = int(inside.sum()), int(y[inside].sum())
        if n:
            low, high = wilson(hits, n, level)
            found.append((k / bins, (k + 1) / bins, n, float(p[inside].mean()), hits / n, low, high))
    names = ["bin_low", "bin_high", "n", "mean_score", "observed", "low", "high"]
    return pl.DataFrame(
        found, schema={name: pl.Int64 if name == "n" else pl.Float64 for name in names}, orient="row"
    )


def _figures(known: pl.DataFrame, kind: Kind, level: float) -> dict[str, float | None]:
    values: dict[str, float | None] = dict.fromkeys(FIGURES[kind])
    if known.height:
        y, p = known["y"].to_numpy(), known["p"].to_numpy()
        values = _of_probabilities(y, p) if kind == "probability" else _of_numbers(y, p)
        for name, drawn in draws(_TASKS[kind], y, p, known["block"]).items():
            if name in FIGURES[kind]:
                ends = interval(drawn, level)
                values |= {f"{name}_low": ends.low, f"{name}_high": ends.high}
    return values


def _of_probabilities(y: Floats, p: Floats) -> dict[str, float | None]:
    hits, alarms = hits_and_false_alarms(y, p)
    both = bool(hits[-1] and alarms[-1])
    return {
        "log_loss": float(log_losses(y, p).mean()),
        "brier": float(squared(y, p).mean()),
        "roc_auc": area(hits, alarms) if both else None,
    }


def _of_numbers(y: Floats, p: Floats) -> dict[str, float | None]:
    return {"mae": float(absolute(y, p).mean()), "rmse": float(np.sqrt(squared(y, p).mean()))}


def _rows(judged: pl.DataFrame, more: Sequence[str]) -> pl.DataFrame:
    absent = [name for name in ("score", "outcome", *more) if name not in judged.columns]
    if absent:
        raise ModelError(
            f"there is no column {absent[0]!r} among the scores; got {', '.join(judged.columns) or 'none'}.",
            hint="Join the scores with their outcomes first.",
        )
    rows = judged.select(
        *dict.fromkeys(more),
        p=pl.col("score").cast(pl.Float64),
        y=pl.col("outcome").cast(pl.Float64).fill_nan(None),
    )
    wrong = rows.filter(~pl.col("p").is_finite().fill_null(False))
    if wrong.height:
        raise ModelError(
            f"got {wrong.height} of {rows.height} rows with a score of {wrong['p'][0]}; allowed: a finite "
            "number.",
            hint="Scores that failed are not scores: leave them out, and count them as errors.",
        )
    return rows


def _order(key: tuple[object, ...]) -> tuple[tuple[bool, object], ...]:
    return tuple((part is None, part) for part in key)
