"""Verdicts of the champion rule by date of training, and the release that was champion as of each.

It must not import Dagster, choose, or change anything.
"""

from contextlib import closing
from typing import Any

import polars as pl

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.declared import Declared
from mlplatform.stages.deployment.alias import Deployment
from mlplatform.stages.deployment.release import Release
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import KEY, Lake

NONE_STORED = "no verdict of this date is stored."


def history(declared: Declared, settings: Settings) -> list[dict[str, Any]]:
    """One entry per date that has a verdict or a release, the oldest first.

    Each says the winner and why, every candidate's reason, which versions were released of this date, and the
    champion as of it (see `as_of`).
    """
    table, found = declared.table("champion"), released(declared.name, settings)
    present = deployment(declared.name, settings)
    with closing(Lake.from_settings(settings)) as lake:
        verdicts = lake.read(table) if lake.exists(table) else pl.DataFrame(schema={KEY: pl.String})
    dates = sorted({*verdicts[KEY].to_list(), *(release.as_of for release in found)})
    return [
        {
            **verdict(verdicts.filter(pl.col(KEY) == day), day),
            "versions": [release.version for release in found if release.as_of == day],
            "champion": as_of(present, day),
        }
        for day in dates
    ]


def verdict(rows: pl.DataFrame, day: str) -> dict[str, Any]:
    """What the rule said as of a date, from its rows, one per candidate."""
    reasons = dict(rows.select("model", "reason").iter_rows()) if rows.height else {}
    winners = rows.filter(pl.col("winner")).to_dicts() if rows.height else []
    refused = "no winner: every candidate was refused." if reasons else NONE_STORED
    return {
        "as_of": day,
        "winner": winners[0]["model"] if winners else None,
        "digest": winners[0]["digest"] if winners else None,
        "verdict": winners[0]["reason"] if winners else refused,
        "reasons": reasons,
    }


def released(use_case: str, settings: Settings) -> tuple[Release, ...]:
    """Every release of a use case, version 1 first; none before the first."""
    if not settings.state_file_exists():
        return ()
    with closing(ChampionStore(settings.state_url)) as store:
        return store.history(use_case)


def deployment(use_case: str, settings: Settings) -> Deployment | None:
    """What of a use case is in use; None before the first release."""
    if not settings.state_file_exists():
        return None
    with closing(ChampionStore(settings.state_url)) as store:
        return store.deployment(use_case)


def as_of(present: Deployment | None, day: str) -> dict[str, Any] | None:
    """The latest champion that was trained as of a date or earlier, its time as ISO 8601.

    What a rollback took back, and what was only a canary or a shadow, is none.
    """
    champions = (present.champion, *present.previous) if present else ()
    newest = next((release for release in champions if release.as_of <= day), None)
    if newest is None:
        return None
    return {
        "model": newest.model,
        "version": newest.version,
        "digest": newest.digest,
        "as_of": newest.as_of,
        "released_at": newest.released_at.isoformat(),
        "released_by": newest.released_by,
        "why": newest.why,
    }
