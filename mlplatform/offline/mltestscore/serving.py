"""What served answers say: a version's speed and its numbers, and whether batch computes the same."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import polars as pl

from mlplatform.offline.mltestscore.home import Checked, Home
from mlplatform.offline.mltestscore.results import Found, of_checks
from mlplatform.stores.served import SERVED

VERDICTS = "verdicts"
"""Table of what monitoring said of versions, check by check."""
ENOUGH = 100
"""Answers without which nothing is said of a speed."""
ASK = "Start the service (mlplatform up) and ask it: mlplatform score {0} NAME=VALUE … (every fact)"
"""What to do for answers; takes the name of the use case."""


class Speed(NamedTuple):
    """Answers a version gave itself, the milliseconds of most of them, and when the last was given."""

    answers: int
    p50: float
    p99: float
    at: datetime | None


def speed(home: Home, version: int) -> Speed | None:
    """How long the answers of a version took; None if there are too few, or they were not timed."""
    rows = home.read(SERVED, "version", "link", "serving_ms", "answered_at")
    if rows is None:
        return None
    timed = rows.filter(pl.col("link") != "shadow", pl.col("serving_ms").is_not_null(), version=version)
    if timed.height < ENOUGH:
        return None
    p50, p99, at = timed.select(
        pl.col("serving_ms").median().alias("p50"),
        pl.col("serving_ms").quantile(0.99, "linear").alias("p99"),
        pl.col("answered_at").max(),
    ).row(0)
    return Speed(timed.height, p50, p99, at)


def answers(home: Home, version: int, link: str) -> int:
    """How many answers a version gave as that link."""
    rows = home.read(SERVED, "version", "link")
    return 0 if rows is None else rows.filter(version=version, link=link).height


def strange(home: Home, table: str) -> tuple[int, int]:
    """How many scores a table has, and how many of them are missing or no finite number."""
    rows = home.read(table, "score")
    if rows is None:
        return 0, 0
    return rows.height, int((~rows["score"].is_finite().fill_null(value=False)).sum())


class Watched(NamedTuple):
    """The newest verdict of monitoring about the champion in one aspect."""

    worse: bool
    sentence: str
    at: datetime


def verdict(home: Home, aspect: str) -> Watched | None:
    """What monitoring said last of the champion, where it knew enough to say something; None: nothing yet."""
    rows = home.read(VERDICTS, "at", "aspect", "version", "worse", "sentence")
    if rows is None or home.champion is None:
        return None
    about = rows.filter(
        pl.col("worse").is_not_null(), aspect=aspect, version=f"version {home.champion.version}"
    )
    if not about.height:
        return None
    worse, sentence, at = about.sort("at").select("worse", "sentence", "at").row(-1)
    return Watched(worse, sentence, at.astimezone(UTC))


def parity(home: Home, said: Callable[[Checked], str]) -> Found:
    """The newest comparison of served answers with batch that had any."""
    found = of_checks(
        home,
        [("scores", "served_parity")],
        lambda results: said(results[0]),
        "See which cells differ: the check served_parity of `scores` in the Dagster UI. Rows that came late "
        "are one cause.",
        that=lambda figures: bool(figures.get("answers compared")),
    )
    if found.outcome != "absent":
        return found
    remedy = f"{ASK.format(home.declared.name)}; the next batch scoring of those days compares them."
    return found._replace(said="no served answer was compared with batch yet", remedy=remedy)
