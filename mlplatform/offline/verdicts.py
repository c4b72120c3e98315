"""Verdicts of the champion rule by date of training, and the release that was champion as of each.

It must not import Dagster, choose, or change anything.
"""

from contextlib import closing
from typing import Any

import polars as pl

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.declared import Declared
from mlplatform.stages.deployment.release import Release
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import KEY, Lake

NONE_STORED = "no verdict of this date is stored."


def history(declared: Declared, settings: Settings) -> list[dict[str, Any]]:
    """One entry per date that has a verdict or a release, the oldest first.

    Each says the winner and why, every candidate's reason, which versions were released of this date, and the
    champion as of it: the newest release trained as of this date or an earlier one.
    """
    table, found = declared.table("champion"), released(declared.name, settings)
    with closing(Lake.from_settings(settings)) as lake:
        verdicts = lake.read(table) if lake.exists(table) else pl.DataFrame(schema={KEY: pl.String})
    dates = sorted({*verdicts[KEY].to_list(), *(release.as_of for release in found)})
    return [
        {
            **verdict(verdicts.filter(pl.col(KEY) == day), day),
            "versions": [release.version for release in found if release.as_of == day],
            "champion": as_of(found, day),
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


def as_of(releases: tuple[Release, ...], day: str) -> dict[str, Any] | None:
    """The newest of the releases that were trained as of a date or earlier, its time as ISO 8601."""
    known = [release for release in releases if release.as_of <= day]
    if not known:
        return None
    newest = max(known, key=lambda release: release.version)
    return {
        "model": newest.model,
        "version": newest.version,
        "digest": newest.digest,
        "as_of": newest.as_of,
        "released_at": newest.released_at.isoformat(),
        "released_by": newest.released_by,
        "why": newest.why,
    }
