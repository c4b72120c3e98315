"""What a person means by a version, a digest or a model's name, and what is meant if they say nothing.

It must not change anything.
"""

import re
from collections.abc import Sequence
from contextlib import closing

import polars as pl

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import NotFound
from mlplatform.offline.declared import Declared
from mlplatform.offline.packaging import Made
from mlplatform.stages.deployment.alias import Action, Deployment
from mlplatform.stages.deployment.release import Release
from mlplatform.stores.lake import KEY, Lake

_VERSION = re.compile(r"\d{1,6}")
_DIGEST = re.compile(r"[0-9a-f]{7,64}")


def chosen(which: str, releases: Sequence[Release], candidates: Sequence[Made]) -> Release | Made:
    """The release of a version number, or the candidate of a digest (7 digits or more) or a model's name.

    Raises
    ------
    NotFound
        if there is none, or a beginning of a digest fits several; the message says what there is.
    """
    if _VERSION.fullmatch(which):
        found = [release for release in releases if release.version == int(which)]
        if found:
            return found[0]
    named = [made for made in candidates if made.model == which]
    if named:
        return named[-1]
    by_digest = {made.digest: made for made in candidates if made.digest.startswith(which)}
    if _DIGEST.fullmatch(which) and len(by_digest) == 1:
        return next(iter(by_digest.values()))
    versions = ", ".join(str(release.version) for release in releases)
    models = ", ".join(dict.fromkeys(made.model for made in candidates))
    raise NotFound(
        f"got {which!r}; allowed: a version ({versions or 'none yet'}), a model ({models or 'none yet'}) or "
        "the digest of a candidate, of which 7 digits do if they are of one only.",
        hint="See `mlplatform history` and `mlplatform candidates`.",
    )


def suggested(action: Action, present: Deployment, declared: Declared, settings: Settings) -> str:
    """What is meant where nothing is named.

    To promote: the canary, else the shadow. As canary: the shadow. Else: the best of the newest candidates
    that is not the champion.

    Raises
    ------
    NotFound
        if there is nothing of that kind.
    """
    tried = {"promote": (present.canary, present.shadow), "canary": (present.shadow,)}
    for release in tried.get(action, ()):
        if release is not None:
            return str(release.version)
    best = _challenger(declared, settings, present.champion.digest)
    if best is None:
        raise NotFound(
            f"there is nothing to {action} but the champion itself.",
            hint="Name a version, a digest or a model, or train one: mlplatform run.",
        )
    return best


def _challenger(declared: Declared, settings: Settings, champion: str) -> str | None:
    """Digest of the best other candidate of the newest verdict, by the figure that decides."""
    rule, table = declared.config.champion.rule, declared.table("champion")
    with closing(Lake.from_settings(settings)) as lake:
        if not lake.exists(table):
            return None
        rows = lake.read(table).filter(pl.col("digest") != champion)
    rows = rows.filter(pl.col(KEY) == pl.col(KEY).max())
    figure = f"validation_{rule.metric}"
    if not rows.height or figure not in rows.columns:
        return None
    ordered = rows.sort(figure, descending=rule.figure.higher_is_better, nulls_last=True)
    return str(ordered["digest"][0])
