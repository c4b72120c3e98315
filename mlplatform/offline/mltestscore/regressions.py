"""Evidence of the two monitoring tests about regressions: of computing performance and of prediction quality.

It must not judge by anything but what a deployment holds.
"""

import math
from datetime import datetime
from statistics import median

import polars as pl

from mlplatform.offline.mltestscore import serving
from mlplatform.offline.mltestscore.home import Home
from mlplatform.offline.mltestscore.results import Found, absent, broken

SLOWER = 2.0
"""Times the earlier figure, from which a speed has regressed."""
SURE = 3.0
"""Standard errors by which the newest days must be worse to be called so."""
NEWEST_DAYS, FEWEST_DAYS = 7, 7


def performance(home: Home) -> Found:
    """6: training takes no longer per row than before, answers no longer than the version before."""
    check, champion = "candidate: fit_seconds; verdicts: speed; served: serving_ms", home.champion
    if champion is None:
        return absent(check, f"mlplatform run {home.declared.name}")
    trained, answered = _training_speed(home, champion.model), _serving_speed(home, champion.version)
    parts = [part for part in (trained, answered) if part is not None]
    said = "; ".join(text for _, text, _ in parts)
    if any(ratio > SLOWER for ratio, _, _ in parts):
        return broken(check, said, "Compare the two versions: mlplatform history, mlplatform candidates.")
    if trained is None or answered is None:
        name = home.declared.name
        needed = {
            f"training on two dates (mlplatform retrain {name} …)": trained,
            f"{serving.ENOUGH} answers of the champion ({serving.ASK.format(name)})": answered,
        }
        remedy = "; ".join(what for what, got in needed.items() if got is None)
        return absent(
            check, f"It needs {remedy}.", said or "neither training nor answers can be compared yet"
        )
    at = max((at for _, _, at in parts if at is not None), default=None)
    return Found("held", check, f"{said} (memory is watched by /metrics, not here)", at)


def _training_speed(home: Home, model: str) -> tuple[float, str, datetime | None] | None:
    """The newest training's seconds per row against the median of those before."""
    rows = home.rows(f"candidate_{model}")
    if rows is None or rows.height < 2:
        return None
    pace = [
        seconds / count for seconds, count in rows.sort("partition_key").select("fit_seconds", "rows").rows()
    ]
    ratio = pace[-1] / median(pace[:-1])
    return ratio, f"training {ratio:.2f} times the seconds per row of {len(pace) - 1} earlier ones", None


def _serving_speed(home: Home, version: int) -> tuple[float, str, datetime | None] | None:
    """What monitoring says of it; else its median answer against the version before, or the deadline."""
    watched = serving.verdict(home, "speed")
    if watched is not None:
        return (math.inf if watched.worse else 0.0), watched.sentence, watched.at
    mine = serving.speed(home, version)
    if mine is None or home.champion is None:
        return None
    earlier = (
        serving.speed(home, each.version) for each in reversed(home.releases) if each.version < version
    )
    before = next((each for each in earlier if each is not None), None)
    if before is None:
        deadline = home.champion.policy.deadline_ms
        ratio = SLOWER * mine.p99 / deadline
        return ratio, f"99 % of answers within {mine.p99:.2f} ms of {deadline:g} ms", mine.at
    ratio = mine.p50 / before.p50
    return ratio, f"answers take {ratio:.2f} times as long as those of the version before", mine.at


def quality(home: Home) -> Found:
    """7: outcomes say that served answers are no worse than the reference's, or newest days than earlier."""
    watched = serving.verdict(home, "accuracy")
    if watched is not None:
        if not watched.worse:
            return Found("held", "verdicts: accuracy", watched.sentence, watched.at)
        remedy = f"mlplatform rollback {home.declared.name}; `monitoring: rollback` does it by itself."
        return broken("verdicts: accuracy", watched.sentence, remedy, watched.at)
    check, rule, name = "performance", home.declared.config.champion.rule, home.declared.name
    days = home.rows("performance")
    if days is None:
        return absent(check, f"mlplatform run {name}")
    figure = next((each for each in (rule.metric, "log_loss", "mae") if each in days.columns), "")
    known = days.filter(pl.col("n") > 0, pl.col(figure).is_not_null()).sort("day") if figure else days.head(0)
    newest, before = known.tail(NEWEST_DAYS), known.head(max(0, known.height - NEWEST_DAYS))
    if before.height < FEWEST_DAYS:
        said = f"{known.height} days have outcomes and a figure, {NEWEST_DAYS + FEWEST_DAYS} are needed"
        return absent(check, f"mlplatform run {name}", said)
    made = home.made("performance")
    now, then, error = _mean(newest, figure), _mean(before, figure), _error(newest, before, figure)
    loss = -rule.gain(now, then) if figure == rule.metric else now - then
    said = (
        f"{figure} {now:.4f} on the {newest.height} newest days with outcomes, {then:.4f} on the "
        f"{before.height} before (standard error {error:.4f}; batch scores)"
    )
    if loss > SURE * error:
        return broken(check, said, f"mlplatform rollback {name}, or train again.", made)
    return Found("held", check, said, made)


def _mean(days: pl.DataFrame, figure: str) -> float:
    """The figure over all outcomes of the days."""
    return float((days[figure] * days["n"]).sum()) / int(days["n"].sum())


def _error(newest: pl.DataFrame, before: pl.DataFrame, figure: str) -> float:
    """Standard error of the difference, whole days being what is independent."""
    return math.sqrt(sum(_variance(days, figure) / days.height for days in (newest, before)))


def _variance(days: pl.DataFrame, figure: str) -> float:
    return float(days.select(pl.col(figure).var()).item() or 0.0)
