"""Assets of deployment: packages, and the winner that becomes the champion of batch and online scoring."""

import getpass
from datetime import UTC, datetime
from typing import Any

import polars as pl
from dagster import AssetExecutionContext, AssetIn, AssetsDefinition, MaterializeResult, MetadataValue
from msgspec.structs import replace

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ModelError, ServiceError
from mlplatform.offline import partitions
from mlplatform.offline.assets import _package
from mlplatform.offline.assets._package import package_version
from mlplatform.offline.assets._shared import IO, key, stage_asset
from mlplatform.offline.declared import Declared
from mlplatform.offline.deploying import told
from mlplatform.offline.resources import CandidatesResource, ChampionsResource, ScoringService
from mlplatform.stages.deployment.alias import Deployment
from mlplatform.stages.deployment.release import Promotion, Release
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.candidate import open_model
from mlplatform.stores.candidates import CandidateStore


def release_version(declared: Declared) -> str:
    """What decides a release: the package, and so the champion, its threshold and how it is served."""
    return declared.version("release", package_version(declared))


def build(declared: Declared, settings: Settings) -> list[AssetsDefinition]:
    """`package`, and `release`, an entry in the champion's history."""

    @stage_asset(
        declared,
        "deployment",
        "release",
        version=release_version(declared),
        kinds={"fastapi"},
        partitions_def=partitions.training_dates(declared),
        ins={name: AssetIn(key(declared, name), input_manager_key=IO) for name in ("champion", "package")},
        description="The winner, if its package holds its contract and the quality gate, entered in the "
        "append-only history of champions. Scoring services take it up within a second. What a rollback "
        "withdrew, or the gate refused, stays out until a person promotes it.",
    )
    def release(
        context: AssetExecutionContext,
        champion: pl.DataFrame,
        package: pl.DataFrame,
        mlplatform_candidates: CandidatesResource,
        mlplatform_champions: ChampionsResource,
        mlplatform_scoring: ScoringService,
    ) -> MaterializeResult[Any]:
        store = mlplatform_champions.store()
        winners = champion.filter(pl.col("winner")).to_dicts()
        present = store.deployment(declared.name)
        who = f"{getpass.getuser()} (run {context.run_id[:8]})"
        wanted, stays = None, ""
        if winners:
            refused = _refused(package, winners[0]["digest"])
            stored = mlplatform_candidates.store()
            wanted = _promotion(declared, stored, winners[0], context.partition_key, who)
            stays = refused or _stays_out(wanted, present)
        if present is not None and (wanted is None or stays):
            wanted = _served_anew(declared, present, who)
        elif stays:
            wanted = None
        if wanted is None:
            return MaterializeResult(metadata={"release": f"none: {stays or 'every candidate was refused'}"})
        chosen = wanted
        promoted, changed = told(settings, store, declared.name, lambda: store.promote(chosen))
        shown = _shown(promoted, stays, changed.published)
        return MaterializeResult(metadata=shown | _service(mlplatform_scoring, promoted))

    return [_package.build(declared), release]


def _refused(packages: pl.DataFrame, digest: str) -> str:
    """Why the quality gate keeps a winner out; empty if it does not. A package that is not sound raises.

    The gate's word is a decision, as the champion rule's is: the champion stays and the run goes on. A fault
    of a package is an error that somebody has to see to.
    """
    rows = packages.filter(pl.col("digest") == digest).to_dicts()
    fault = rows[0]["fault"] if rows else "it was not packaged"
    if fault:
        raise ModelError(
            f"the winner {rows[0]['model'] if rows else digest[:12]} is not released: {fault}.",
            hint="The champion stays. See the checks of `package`; train again, or correct what they name.",
        )
    gate = rows[0].get("gate") or ""
    return f"the quality gate refused {rows[0]['model']} ({digest[:12]}): {gate}" if gate else ""


def _promotion(
    declared: Declared, store: CandidateStore, winner: dict[str, Any], as_of: str, who: str
) -> Promotion:
    """The winner as a promotion, after its golden rows have been replayed."""
    candidate, metric = store.get(declared.name, winner["digest"]), declared.config.champion.metric
    open_model(candidate)
    return Promotion(
        use_case=declared.name,
        digest=winner["digest"],
        model=winner["model"],
        feature_set_id=FittedFeatureSet.from_json(candidate.feature_set).id,
        figures={
            "threshold": declared.config.threshold,
            **{part: winner[part] for part in (f"validation_{metric}", f"test_{metric}")},
        },
        as_of=as_of,
        released_at=datetime.now(UTC),
        released_by=who,
        why=winner["reason"],
        policy=declared.config.serving.policy,
    )


def _stays_out(wanted: Promotion, present: Deployment | None) -> str:
    """Why a winner is not promoted by itself; empty if it is."""
    if present is None:
        return ""
    for release in present.withdrawn:
        if release.digest == wanted.digest:
            return (
                f"a rollback withdrew {release.model} ({release.digest[:12]}, version {release.version}): it "
                "stays out until a person promotes it "
                f"(mlplatform promote {wanted.use_case} {release.version})"
            )
    for release in present.previous:
        if release.digest == wanted.digest != present.champion.digest:
            return (
                f"{release.model} ({release.digest[:12]}) was the champion as version {release.version}, and "
                f"version {present.champion.version} followed it"
            )
    return ""


def _served_anew(declared: Declared, present: Deployment, who: str) -> Promotion:
    """The present champion as defs.yaml wants it served now; just so already: promoting changes nothing.

    How it was served by a version that a rollback withdrew is not taken up again.
    """
    champion = present.champion
    told = {name: getattr(champion, name) for name in Promotion.__struct_fields__}
    same = Promotion(**told)
    if any(release.digest == champion.digest for release in present.withdrawn):
        return same
    threshold, policy = declared.config.threshold, declared.config.serving.policy
    if champion.policy == policy and champion.figures.get("threshold") == threshold:
        return same
    return replace(
        same,
        figures={**champion.figures, "threshold": threshold},
        policy=policy,
        released_at=datetime.now(UTC),
        released_by=who,
        why="serving or threshold in defs.yaml changed",
    )


def _shown(release: Release, stays: str, published: bool) -> dict[str, Any]:
    return {
        "version": release.version,
        "model": release.model,
        "digest": release.digest[:12],
        "why": release.why,
        **({"not promoted": stays} if stays else {}),
        "deployment-changed": "published" if published else "follows when the broker is back",
    }


def _service(scoring: ScoringService, release: Release) -> dict[str, Any]:
    try:
        with scoring.client() as client:
            serves = client.ready()
    except ServiceError as error:
        serves = f"nothing: it is not running. It will serve version {release.version}. {error.hint}"
    return {"scoring service": MetadataValue.url(scoring.url), "it serves": serves}
