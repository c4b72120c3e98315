"""What of a use case has to be materialised: the steps of a whole run, and what of each is missing.

An asset's partition is missing when Dagster has no materialisation of it, or the asset's latest one (for a
date of training: its own latest one) was made by another code version. It must not run anything; `run.py`
does.
"""

from dataclasses import dataclass

from dagster import (
    AssetKey,
    AssetRecordsFilter,
    AssetsDefinition,
    DagsterInstance,
    Definitions,
    StaticPartitionsDefinition,
)
from dagster._core.definitions.data_version import CODE_VERSION_TAG

from mlplatform.offline import partitions
from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared


@dataclass(frozen=True)
class Step:
    """Assets materialised together in one run, over one range of partitions (None: unpartitioned)."""

    title: str
    assets: tuple[AssetKey, ...]
    partitions: tuple[str, ...] | None

    @property
    def span(self) -> str:
        """The range of partitions, for people."""
        if self.partitions is None:
            return ""
        first, last = self.partitions[0], self.partitions[-1]
        return first if first == last else f"{first} to {last}"


def steps(declared: Declared) -> list[Step]:
    """A whole run of a use case, in order."""
    config = declared.config
    static = [f"raw_{n}" for n in declared.static] + [n for n in declared.static if n in declared.tables]
    daily = [f"raw_{n}" for n in declared.daily] + [n for n in declared.daily if n in declared.tables]
    models = list(config.models)
    training = [
        "split",
        *(["ranking"] if config.selection else []),
        *(f"search_{name}" for name in models if config.models[name].search),
        *(f"candidate_{name}" for name in models),
        *(f"evaluation_{name}" for name in models),
        "champion",
        "package",
        "release",
    ]
    found = [
        ("registers", static, None),
        ("daily data and features", [*daily, "features"], declared.days()),
        ("training, evaluation, deployment", training, [str(config.split.as_of)]),
        ("batch scores", ["scores"], partitions.scored_days(declared)),
        (
            "monitoring",
            ["drift_report", *(["performance"] if config.target else [])],
            partitions.scored_months(declared),
        ),
    ]
    return [
        Step(title, tuple(key(declared, name) for name in names), None if keys is None else tuple(keys))
        for title, names, keys in found
        if names
    ]


def missing(step: Step, defs: Definitions, instance: DagsterInstance) -> Step | None:
    """The part of a step that is not materialised yet; None if all of it is."""
    stale = [asset for asset in step.assets if _stale(asset, defs, instance)]
    wanted = set(step.partitions or ())
    lacking: dict[AssetKey, set[str]] = {}
    for asset in step.assets:
        if step.partitions is None:
            done = instance.get_latest_materialization_event(asset) is not None
            if asset in stale or not done:
                lacking[asset] = set()
        else:
            there = _there(asset, asset in stale, wanted, defs, instance)
            if wanted - there:
                lacking[asset] = wanted - there
    if not lacking:
        return None
    for asset in step.assets:
        # A package that was refused is tested again: what was wrong may be mended by now.
        released = AssetKey([*asset.path[:-1], "release"])
        if asset.path[-1] == "package" and released in lacking:
            lacking[asset] = lacking.get(asset, set()) | lacking[released]
    if step.partitions is None:
        return Step(step.title, tuple(lacking), None)
    # One run covers one range: from the first partition that any asset lacks to the last.
    lacked = set().union(*lacking.values())
    places = [index for index, name in enumerate(step.partitions) if name in lacked]
    return Step(step.title, tuple(lacking), step.partitions[places[0] : places[-1] + 1])


def _there(
    asset: AssetKey, stale: bool, wanted: set[str], defs: Definitions, instance: DagsterInstance
) -> set[str]:
    """The partitions that are materialised and current."""
    definition = _definition(asset, defs)
    if not isinstance(definition.partitions_def, StaticPartitionsDefinition):
        return set() if stale else set(instance.get_materialized_partitions(asset))
    # Dates of training are made one at a time: that one was made by the current version says nothing of
    # another.
    version = definition.code_versions_by_key.get(asset)
    return {name for name in wanted if made_by(asset, name, instance) == version}


def made_by(asset: AssetKey, partition: str, instance: DagsterInstance) -> str | None:
    """The code version that a partition was last materialised by; None if it never was."""
    wanted = AssetRecordsFilter(asset_key=asset, asset_partitions=[partition])
    records = instance.fetch_materializations(wanted, limit=1).records
    made = records[0].asset_materialization if records else None
    return (made.tags or {}).get(CODE_VERSION_TAG) if made else None


def _stale(asset: AssetKey, defs: Definitions, instance: DagsterInstance) -> bool:
    definition = _definition(asset, defs)
    made_by = instance.get_latest_materialization_code_versions([asset]).get(asset)
    return made_by != definition.code_versions_by_key.get(asset)


def _definition(asset: AssetKey, defs: Definitions) -> AssetsDefinition:
    return defs.resolve_assets_def(asset)
