"""How versions serve: times, fallbacks, errors, serving times and scores, out of the answers they gave.

It must not read a store, nor say whether a figure is good (verdict.py does).
"""

from datetime import datetime

import polars as pl

from mlplatform.stages.monitoring.shares import Counts

FALLBACKS = ("previous", "precomputed", "constant")
"""Links that answer for another."""
_QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


def figures(observed: pl.DataFrame, by: str) -> pl.DataFrame:
    """One row per `by` (a day) and version.

    Parameters
    ----------
    observed : answers with the columns version, model, link, late, because, serving_ms, features_age_s,
        score, times (how often it was given), outcome (null while unknown), answered_at, and `by`

    Returns
    -------
    polars.DataFrame
        by, version, model; served (times), answers (distinct), late, fallbacks (answers it gave for another),
        shadow; serving_ms_min, _mean, _p50, _p95, _p99 and _max; score_mean, _std, _p05, _p50 and _p95;
        features_age_s (median); known (answers whose outcome is known), coverage (their share), observed_mean
        (of the outcomes), scored_mean (of the scores they have); first_at, last_at (UTC)
    """
    weight = pl.col("times")
    real = observed.with_columns(is_shadow=pl.col("link") == "shadow")
    quantiles = [
        pl.col("serving_ms").quantile(q, "linear").alias(f"serving_ms_{name}") for name, q in _QUANTILES
    ]
    known = pl.col("outcome").is_not_null()
    return (
        real.group_by(by, "version", "model")
        .agg(
            served=weight.filter(~pl.col("is_shadow")).sum(),
            answers=pl.len().cast(pl.Int64),
            late=weight.filter(pl.col("late")).sum(),
            fallbacks=weight.filter(pl.col("link").is_in(FALLBACKS)).sum(),
            shadow=weight.filter("is_shadow").sum(),
            serving_ms_min=pl.col("serving_ms").min(),
            serving_ms_mean=pl.col("serving_ms").mean(),
            serving_ms_max=pl.col("serving_ms").max(),
            score_mean=pl.col("score").mean(),
            score_std=pl.col("score").std(),
            score_p05=pl.col("score").quantile(0.05, "linear"),
            score_p50=pl.col("score").median(),
            score_p95=pl.col("score").quantile(0.95, "linear"),
            features_age_s=pl.col("features_age_s").median(),
            known=known.sum().cast(pl.Int64),
            coverage=known.mean(),
            observed_mean=pl.col("outcome").mean(),
            scored_mean=pl.col("score").filter(known).mean(),
            first_at=pl.col("answered_at").min(),
            last_at=pl.col("answered_at").max(),
            **{f"serving_ms_{name}": each for (name, _), each in zip(_QUANTILES, quantiles, strict=True)},
        )
        .sort(by, "version")
    )


def reasons(observed: pl.DataFrame, by: str) -> pl.DataFrame:
    """Why earlier links did not answer: `by`, because, times; the most frequent first within a day."""
    told = observed.filter(pl.col("because").fill_null("") != "", pl.col("link") != "shadow")
    return (
        told.group_by(by, "because")
        .agg(times=pl.col("times").sum())
        .sort(by, "times", "because", descending=[False, True, False])
    )


def counts(served: pl.DataFrame, version: int) -> Counts:
    """Requests that were a version's to answer, and what became of them.

    Parameters
    ----------
    served : answers of one span of time: version, link, late (true of an answer after the deadline), because
        (why earlier links did not answer, as `online.chain` says it)
    """
    real = served.filter(pl.col("link") != "shadow")
    name = f"version {version} "
    because = pl.col("because").fill_null("")
    own = real.filter(pl.col("version") == version, ~pl.col("link").is_in(FALLBACKS))
    passed = real.filter(because.str.contains(name, literal=True)).filter(
        (pl.col("version") != version) | pl.col("link").is_in(FALLBACKS)
    )
    failed = passed.filter(_blamed(because, name, "failed") | _blamed(because, name, "is held to be broken"))
    late = own.filter(pl.col("late")).height + passed.height - failed.height
    return Counts(requests=own.height + passed.height, late=late, failed=failed.height)


def _blamed(because: pl.Expr, name: str, how: str) -> pl.Expr:
    return because.str.contains(f"{name}{how}", literal=True)


def newest(observed: pl.DataFrame) -> datetime | None:
    """The latest question among the answers, UTC."""
    found = observed["as_of"].max()
    return found if isinstance(found, datetime) else None
