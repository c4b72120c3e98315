"""Assets of monitoring: drift of the features by window, and scores against outcomes, month by month."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import polars as pl
from dagster import (
    AllPartitionMapping,
    AssetDep,
    AssetExecutionContext,
    AssetsDefinition,
    MetadataValue,
    Output,
    TimeWindowPartitionMapping,
)

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import NotFound
from mlplatform.offline import partitions
from mlplatform.offline.assets._shared import image, key, keys_of_run, lines, stage_asset, table
from mlplatform.offline.assets.preparation import features_version
from mlplatform.offline.assets.scoring import scores_version
from mlplatform.offline.declared import Declared, canonical
from mlplatform.offline.drift_files import Files
from mlplatform.offline.drift_windows import FIRST, LAST, Window, windows
from mlplatform.offline.io_manager import EVOLVE
from mlplatform.offline.resources import LakeResource
from mlplatform.stages.monitoring import drift, drift_null, judged
from mlplatform.stages.monitoring.profiles import Profile, profile
from mlplatform.stores.lake import KEY, Lake

_PAST = 12
"""Windows as long as the present one, before it, that say what is usual."""


def drift_version(declared: Declared) -> str:
    """What decides a drift report: the features, the reference, and what is shown."""
    return declared.version(
        "by window",
        features_version(declared),
        declared.config.split.as_of,
        canonical(declared.config.drift.model_dump()),
    )


def performance_version(declared: Declared) -> str:
    """What decides performance: the scores and the label."""
    return declared.version("performance", scores_version(declared), declared.config.target)


def build(declared: Declared, settings: Settings) -> list[AssetsDefinition]:
    """`drift_report` and, where there are outcomes, `performance`."""
    target = declared.config.target
    return [_drift(declared, settings), *([_performance(declared, target)] if target else [])]


def _drift(declared: Declared, settings: Settings) -> AssetsDefinition:
    feature_set, config = declared.feature_set, declared.config
    categorical = [*feature_set.categories, *feature_set.target_rates]
    numerical = [name for name in feature_set.names if name not in categorical]
    reference_days = declared.days()[: declared.days().index(str(config.split.as_of))]

    @stage_asset(
        declared,
        "monitoring",
        "drift_report",
        version=drift_version(declared),
        metadata={EVOLVE: True},
        kinds={"evidently"},
        partitions_def=partitions.months(declared),
        deps=[AssetDep(key(declared, "features"), partition_mapping=TimeWindowPartitionMapping())],
        description=f"Drift of every feature in windows of about {config.drift.window_days} days against the "
        f"days before {config.split.as_of} (own figures decide), and Evidently's report for people.",
    )
    def drift_report(context: AssetExecutionContext, mlplatform_lake: LakeResource) -> Output[Any]:
        lake, features = mlplatform_lake.lake(), declared.table("features")
        names = [*numerical, *categorical]
        reference = lake.read(features, columns=names, first=reference_days[0], last=reference_days[-1])
        profiles = profile(reference, numerical=numerical, categorical=categorical)
        files = Files(declared, settings, (reference_days[0], reference_days[-1]))
        frames, links, said = [], dict[str, MetadataValue](), list[str]()
        for month, window in ((m, w) for m in keys_of_run(context) for w in windows(declared, m)):
            current = lake.read(features, columns=names, first=str(window.first), last=str(window.last))
            if not current.height:  # its days are still to come
                continue
            found = drift.drift(profiles, current)
            usual = _against_past(declared, lake, profiles, names, window)
            sentence = drift_null.summary(usual).sentence
            figures = _drift_frame(found, usual)
            links[f"figures {window}"] = MetadataValue.path(
                str(files.write(window, figures, sentence, reference, current))
            )
            links[f"report {window}, while the service runs"] = MetadataValue.url(files.url(window))
            said.append(f"{window}: {sentence}")
            frames.append(_of_window(figures, month, window))
            title = f"Drift by feature, {window}"
        if not frames:
            raise NotFound(
                f"no day of {', '.join(keys_of_run(context))} has features.",
                hint="Materialise `features` of these days first.",
            )
        return Output(
            pl.concat(frames),
            metadata={
                title: image(drift.picture(found, title=title)),
                "most drifted": table(_most_drifted(frames[-1])),
                "against the past": lines(said),
                **links,
            },
        )

    return drift_report


def _against_past(
    declared: Declared, lake: Lake, profiles: Sequence[Profile], names: list[str], window: Window
) -> tuple[drift_null.NullDrift, ...]:
    """A window, judged by how far equally long ones before it lie from the reference."""
    first = window.last - timedelta(days=window.days * (_PAST + 1) - 1)
    table, columns = declared.table("features"), [*names, KEY]
    rows = lake.read(table, columns=columns, first=str(first), last=str(window.last))
    current, past = drift_null.cut(rows, window.last, window.days, _PAST)
    return drift_null.against_past(profiles, current, past)


def _most_drifted(frame: pl.DataFrame) -> pl.DataFrame:
    shown = ["feature", "psi", "past_psi", "drifted", "wasserstein", "jensen_shannon"]
    shown += ["missing_reference", "missing_current"]
    return frame.sort("psi", descending=True, nulls_last=True).select(shown).head(20)


def _drift_frame(found: tuple[drift.Drift, ...], usual: tuple[drift_null.NullDrift, ...]) -> pl.DataFrame:
    """The figures of a window; `past_psi` is the largest of the past, `drifted` whether this is beyond it."""
    schema = {
        "feature": pl.String,
        "kind": pl.String,
        "rows_reference": pl.Int64,
        "rows_current": pl.Int64,
        "missing_reference": pl.Float64,
        "missing_current": pl.Float64,
        "psi": pl.Float64,
        "wasserstein": pl.Float64,
        "jensen_shannon": pl.Float64,
    }
    rows = [{name: getattr(each, name) for name in schema} for each in found]
    past = pl.DataFrame(
        [{"past_psi": each.null_high, "drifted": each.drifted} for each in usual],
        schema={"past_psi": pl.Float64, "drifted": pl.Boolean},
    )
    figures = pl.DataFrame(rows, schema=schema)
    return pl.concat([figures, past], how="horizontal")


def _of_window(figures: pl.DataFrame, month: str, window: Window) -> pl.DataFrame:
    """The figures with their window, as a part of the month's partition."""
    ends = {FIRST: pl.lit(str(window.first)), LAST: pl.lit(str(window.last))}
    return figures.with_columns(**ends, partition_key=pl.lit(month))


def _performance(declared: Declared, label: str) -> AssetsDefinition:
    spine, output = declared.feature_set.spine, declared.config.output

    @stage_asset(
        declared,
        "monitoring",
        "performance",
        version=performance_version(declared),
        kinds={"polars"},
        partitions_def=partitions.months(declared),
        deps=[
            AssetDep(key(declared, "scores"), partition_mapping=TimeWindowPartitionMapping()),
            AssetDep(key(declared, spine.table), partition_mapping=AllPartitionMapping()),
        ],
        description="Scores joined with what happened, day by day: how many are known, what was said and "
        "what came, and how far apart they are.",
    )
    def performance_of_month(context: AssetExecutionContext, mlplatform_lake: LakeResource) -> Output[Any]:
        lake, frames, pictures = mlplatform_lake.lake(), [], {}
        for month in keys_of_run(context):
            first, last = partitions.days_of_month(declared, month)
            scored = lake.read(declared.table("scores"), first=first, last=last)
            outcomes = lake.read(
                declared.table(spine.table), columns=[*spine.key, label], first=first, last=last
            ).rename({label: "outcome"})
            joined = scored.join(outcomes, on=list(spine.key), how="left")
            days = judged.by_day(output, joined).rename({"partition_key": "day"})
            frames.append(days.with_columns(partition_key=pl.lit(month)))
            title = f"Score and outcome, {month[:7]}"
            pictures[month] = image(judged.picture(output, days, by="day", title=title))
        frame = pl.concat(frames)
        return Output(
            frame,
            metadata={
                "scored": int(frame["scored"].sum()),
                "outcome known": int(frame["n"].sum()),
                **judged.headline(output, frame),
                f"score and outcome, {max(pictures)[:7]}": pictures[max(pictures)],
                "last days": table(frame.drop("partition_key", "brier", strict=False).tail(14)),
            },
        )

    return performance_of_month
