"""A week of a champion, replayed: judged every six hours by what was known then, and perhaps taken back."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

import numpy as np
import polars as pl

from mlplatform.stages.monitoring.verdict import Counts, RollbackRule, Verdict, decide, errors, judge, speed
from mlplatform_tests.stages.monitoring.flights import DRAWN, KINDS, MILDER, REFERENCES, SEEDS, Season

EVERY, WEEK = timedelta(hours=6), timedelta(days=7)
WEEKS = 30
RULE = RollbackRule()


class Replay(NamedTuple):
    """What became of one champion in one week."""

    kind: str
    champion: str
    reference: str
    start: datetime
    rolled_back: bool
    hours: float
    """From the first request to the rollback, or to the end of the week."""
    outcomes: int
    """Known by then."""
    excess: float
    """Its loss over the reference's, all outcomes of the week known."""
    cause: str


def starts(season: Season, weeks: int = WEEKS) -> list[datetime]:
    """First moments of `weeks` different weeks, spread over the season: 04:00 UTC, night in New York."""
    last = (season.last - season.first).days - 6
    days = np.linspace(0, last, weeks).round().astype(int)
    first = datetime.combine(season.first, time(4), UTC)
    return [first + timedelta(days=int(day)) for day in dict.fromkeys(days.tolist())]


def replay(
    answers: pl.DataFrame,
    champion: str,
    reference: str,
    start: datetime,
    rule: RollbackRule,
    block: str = "1d",
) -> Replay:
    """One champion from `start` on: judged every six hours, taken back or not within a week."""
    rows = answers.filter(pl.col("at") >= start, pl.col("at") < start + WEEK).select(
        "at",
        "known_at",
        "late",
        score=pl.col(champion),
        reference=pl.col(reference),
        block=pl.col("at").dt.truncate("1h").cast(pl.String),
    )
    history: list[Verdict] = []
    for now in _checks(start):
        judged = rows.filter(pl.col("at") <= now).with_columns(
            outcome=pl.when(pl.col("known_at") <= now).then("late")
        )
        for aspect in ("accuracy", "calibration"):
            history.append(judge(judged, rule, "probability", aspect, version=champion, reference=reference))
        decision = decide(history, rule)
        if decision.roll_back:
            break
    everything = RollbackRule(minimum=1, settle_hours=0.0)
    truth = judge(rows.with_columns(outcome="late"), everything, "probability").excess or 0.0
    hours = (now - start) / timedelta(hours=1)
    return Replay(
        champion.rstrip(" 0123456789"),
        champion,
        reference,
        start,
        decision.roll_back,
        hours,
        history[-1].total,
        truth,
        decision.cause,
    )


def replay_counts(
    answers: pl.DataFrame, start: datetime, rule: RollbackRule, *, late: float, failed: float, seed: int
) -> Replay:
    """A champion that is late for, and fails for, shares of the real requests; its reference hardly ever."""
    random, total = np.random.default_rng(seed), 0
    history: list[Verdict] = []
    for now in _checks(start):
        inside = (pl.col("at") > now - EVERY) & (pl.col("at") <= now)
        requests = answers.select(inside.sum()).item()
        total += requests
        mine = Counts(
            requests=requests,
            late=int(random.binomial(requests, late)),
            failed=int(random.binomial(requests, failed)),
        )
        theirs = Counts(
            requests=requests,
            late=int(random.binomial(requests, 0.002)),
            failed=int(random.binomial(requests, 0.0005)),
        )
        history.append(speed(mine, theirs, rule, total=total))
        history.append(errors(mine, theirs, rule, total=total))
        decision = decide(history, rule)
        if decision.roll_back:
            break
    hours = (now - start) / timedelta(hours=1)
    kind = f"late for {late:.1%}, failing for {failed:.1%}"
    return Replay(kind, "the champion", "", start, decision.roll_back, hours, total, 0.0, decision.cause)


def degraded(answers: pl.DataFrame, season: Season, rule: RollbackRule = RULE) -> list[Replay]:
    """Thirty champions spoiled in four ways, each in a week of its own, against the sound one it replaced."""
    return [
        replay(answers, _seeded(KINDS[at % len(KINDS)], at // len(KINDS)), "clean", start, rule)
        for at, start in enumerate(starts(season))
    ]


def everywhere(answers: pl.DataFrame, season: Season, rule: RollbackRule = RULE) -> list[Replay]:
    """Each kind in each of thirty weeks, also those in which it is hardly worse than the sound one."""
    return [
        replay(answers, _seeded(kind, at), "clean", start, rule)
        for kind in (*KINDS, MILDER)
        for at, start in enumerate(starts(season))
    ]


def clean(answers: pl.DataFrame, season: Season, rule: RollbackRule = RULE) -> list[Replay]:
    """The champion as it was learned, in thirty weeks against each of three references."""
    return [
        replay(answers, "clean", reference, start, rule)._replace(kind=f"clean, against {reference}")
        for reference in REFERENCES
        for start in starts(season)
    ]


def slow_and_failing(answers: pl.DataFrame, season: Season, rule: RollbackRule = RULE) -> list[Replay]:
    """Champions late for, or failing for, more than the rule allows, in ten weeks each."""
    return [
        replay_counts(answers, start, rule, late=late, failed=failed, seed=seed)
        for late, failed in ((0.15, 0.0005), (0.5, 0.0005), (0.002, 0.05), (0.002, 0.3))
        for seed, start in enumerate(starts(season, 10))
    ]


def steady(answers: pl.DataFrame, season: Season, rule: RollbackRule = RULE) -> list[Replay]:
    """Champions late for, or failing for, as much as the rule allows, in thirty weeks each."""
    return [
        replay_counts(answers, start, rule, late=late, failed=failed, seed=seed)
        for late, failed in ((0.002, 0.0005), (0.04, 0.008))
        for seed, start in enumerate(starts(season))
    ]


def _seeded(kind: str, seed: int) -> str:
    """The column of a kind that is drawn by chance, of which there are `SEEDS`."""
    return f"{kind} {seed % SEEDS}" if kind in DRAWN else kind


def _checks(start: datetime) -> Iterator[datetime]:
    for check in range(1, int(WEEK / EVERY) + 1):
        yield start + check * EVERY
