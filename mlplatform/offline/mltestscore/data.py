"""Evidence of the tests for features and data. It must not judge by anything but what a deployment holds."""

import stat
from contextlib import closing
from datetime import datetime, timedelta

import polars as pl

from mlplatform.offline.mltestscore import serving
from mlplatform.offline.mltestscore.home import Home
from mlplatform.offline.mltestscore.results import Found, absent, broken, by_command, of_checks, says
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.candidate import Candidate
from mlplatform.stores.keys import KeyStore
from mlplatform.stores.own_features import covers
from mlplatform.stores.proofs import PARITY

QUICK = timedelta(days=7)
"""From the first computing of a feature set to a release with it, that counts as quick."""
CHOSEN_BY_HAND = "keep"
"""The selection that measures nothing."""


def schema(home: Home) -> Found:
    """1: every delivery is held to its contract."""
    wanted = [(f"raw_{name}", "contract") for name in home.declared.tables]
    return of_checks(
        home,
        wanted,
        lambda found: (
            f"{sum(each.figures.get('rows checked', 0) for each in found):,} rows held to "
            f"{len(found)} contracts, none rejected"
        ),
        "See which rows broke the contract: `mlplatform batches`, table `quarantine`; correct the source, or "
        "the contract in features.py.",
    )


def beneficial(home: Home) -> Found:
    """2: every feature that models get has a positive score in the ranking by the training rows."""
    chosen, name = home.declared.config.selection, home.declared.name
    if chosen is None:
        said = f"the models get all {len(home.declared.feature_set.names)} features and nothing measured them"
        remedy = (
            "Declare `selection:` in defs.yaml (such as strategy: lightgbm_gain, options: {at_least: …})."
        )
        return broken("ranking", said, remedy)
    champion = home.champion
    ranking = home.rows("ranking", champion.as_of) if champion else home.newest("ranking")
    if ranking is None:
        return absent("ranking", f"mlplatform run {name}")
    at = home.made("ranking", ranking["partition_key"][0])
    kept = ranking.filter("selected")
    said = f"{kept.height} of {ranking.height} features selected by {chosen.strategy}"
    if chosen.strategy == CHOSEN_BY_HAND:
        remedy = "Choose a strategy that measures: chi_squared, mutual_information, lightgbm_gain."
        return Found("documented", "ranking", f"{said}: named by a person", at, remedy)
    useless = kept.filter(~(pl.col("score").is_finite() & (pl.col("score") > 0)))
    if useless.height:
        names = ", ".join(useless["feature"].head(5).to_list())
        remedy = "Set `selection.options.at_least` above 0, or remove them from features.py."
        return broken("ranking", f"{said}; {useless.height} of them are of no use: {names}", remedy, at)
    weakest = kept.sort("score").row(0, named=True)
    return Found(
        "held", "ranking", f"{said}, each of use: least {weakest['feature']} {weakest['score']:.4g}", at
    )


def cost(home: Home) -> Found:
    """3: features and model together stay within the deadline; none can then cost more than that."""
    check = "package: latency; served: serving_ms"
    model = of_checks(
        home,
        [("package", "latency")],
        lambda found: str(found[0].figures.get("found", "")),
        "Make the model smaller, or raise serving.deadline_ms.",
        that=says,
    )
    champion = home.champion
    if model.outcome != "held" or champion is None:
        return model._replace(check=check)
    deadline, speed = champion.policy.deadline_ms, serving.speed(home, champion.version)
    if speed is None:
        said = f"the model alone: {model.said}; with its features it was not timed, "
        said += f"that takes {serving.ENOUGH} served answers"
        return absent(check, serving.ASK.format(home.declared.name), said)
    said = (
        f"99 % of {speed.answers:,} answers took at most {speed.p99:.2f} ms, features and model together, "
        f"of {deadline:g} ms"
    )
    if speed.p99 > deadline:
        return broken(
            check, said, "Leave out features with long windows; see `mlplatform features`.", speed.at
        )
    return Found("held", check, said, speed.at)


def requirements(home: Home) -> Found:
    """4: no feature knows what was not known when it was asked, and the model gets just the declared ones."""
    return of_checks(
        home,
        [("features", "no_leakage"), ("package", "features")],
        lambda found: (
            f"{found[0].figures.get('cells compared', 0):,} cells asked again without later facts, "
            f"none different; the model has {found[1].figures.get('found', 'its features')}"
        ),
        "The Dagster UI names the cells: a feature uses a column before the time at which `known:` says so.",
        that=says,
    )


def privacy(home: Home) -> Found:
    """5: there is no check of this; what there is of control is said."""
    keys = 0
    if home.settings.state_file_exists():
        with closing(KeyStore(home.settings.state_url)) as store:
            keys = len(store.in_use())
    folder, who = home.settings.home, "nobody yet"
    if folder.exists():
        open_to_all = folder.stat().st_mode & (stat.S_IROTH | stat.S_IXOTH)
        who = "every user of the machine" if open_to_all else "its owner and group only"
    need = "need a key" if home.settings.access.keys else "need no key (they listen on this machine only)"
    said = (
        f"services {need}, {keys} keys in use (kept as hashes); the data folder can be read by {who}. No "
        "column is marked as personal, no read is logged, and nothing deletes one person's rows"
    )
    return broken("", said, "Have the data reviewed by who is responsible for it, and write that down.")


def quick(home: Home) -> Found:
    """6: how long it took from the first computing of the champion's features to a release with them."""
    check, champion = "features: feature set; release history", home.champion
    candidate = home.candidate(champion.digest) if champion else None
    if candidate is None or candidate.metadata.window is None:
        return absent(check, f"mlplatform run {home.declared.name}")
    wanted, declared = _definitions(candidate), home.declared.feature_set
    stored = declared.id if covers(declared, wanted) else wanted.id
    makings = home.makings("features", candidate.metadata.window[-1])
    times = [at for at, figures in makings if figures.get("feature set") == stored]
    released = _first_release(home, wanted, min(times)) if times else None
    if released is None:
        return absent(check, f"mlplatform run {home.declared.name}", "the log has not both times of it")
    took = released - min(times)
    said = f"{stored} was released {_length(took)} after it was first computed"
    if took > QUICK:
        remedy = "Let training start by itself: `training: {features_generated: true}` in defs.yaml."
        return broken(check, f"{said}; at most {QUICK.days} days are allowed", remedy, released)
    return Found("held", check, f"{said} (how long it took to write is not known)", released)


def _first_release(home: Home, wanted: FeatureSet, since: datetime) -> datetime | None:
    """When the first model with these features was released."""
    for release in home.releases:
        candidate = home.candidate(release.digest) if release.released_at >= since else None
        if candidate is not None and _definitions(candidate) == wanted:
            return release.released_at
    return None


def _definitions(candidate: Candidate) -> FeatureSet:
    return FittedFeatureSet.from_json(candidate.feature_set).feature_set


def code(home: Home) -> Found:
    """7: every feature is computed by two executors from the same events, to the bit."""
    wanted = home.declared.feature_set.id
    return by_command(
        home,
        PARITY,
        "verify parity",
        f"mlplatform verify parity {home.declared.name}",
        lambda proof: (
            f"{proof.figures['features']} features of {proof.figures['rows']:,} questions computed "
            f"twice, by batch and by the online code: {proof.figures['different']:,} of "
            f"{proof.figures['cells']:,} cells different"
        ),
        that=lambda proof: proof.figures.get("feature_set") == wanted,
    )


def _length(took: timedelta) -> str:
    seconds = took.total_seconds()
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
