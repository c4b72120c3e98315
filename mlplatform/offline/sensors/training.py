"""What starts a training: a clock, new features, drift, another version of code or configuration.

Each gives at most one run of the training assets, as of one date, with the reason in its tags. None gives the
first training of a use case, nor one that would only repeat what is there. It must not decide which date:
`training_due.py` does.
"""

from contextlib import closing

import polars as pl
from dagster import (
    AssetRecordsFilter,
    DefaultScheduleStatus,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    schedule,
)
from dagster._utils.schedules import is_valid_cron_schedule

from mlplatform.crosscutting.bus import event_id
from mlplatform.crosscutting.bus.topics import FEATURES_GENERATED
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError
from mlplatform.offline.assets._shared import key
from mlplatform.offline.config import Drifted
from mlplatform.offline.declared import Declared
from mlplatform.offline.drift_windows import newest, span
from mlplatform.offline.plan import made_by
from mlplatform.offline.sensors.training_sensor import Unread, graph_of, request, training_sensor
from mlplatform.offline.sensors.unread import MOST, unread
from mlplatform.offline.training_due import Due, due, news, stale, training_assets
from mlplatform.stores.lake import Lake


def training_sensors(declared: Declared, settings: Settings) -> list[SensorDefinition]:
    """One sensor per declared trigger; none where none is declared."""
    told = declared.config.training
    made = []
    if told.features_generated:
        made.append(_on_features(declared, settings, told.features_generated.every_days))
    if told.drift:
        made.append(_on_drift(declared, settings, told.drift))
    if told.changed:
        made.append(_on_change(declared))
    return made


def training_schedules(declared: Declared) -> list[ScheduleDefinition]:
    """The schedule of training, if one is declared."""
    cron = declared.config.training.schedule
    if not cron:
        return []
    if not is_valid_cron_schedule(cron):
        raise ConfigurationError(
            f"training.schedule is {cron!r}; allowed: five fields of cron.",
            hint='Write for example "0 3 1 * *": on the first of every month at 3:00 UTC.',
        )

    @schedule(
        name=f"{declared.name}_training",
        cron_schedule=cron,
        execution_timezone="UTC",
        target=list(training_assets(declared)),
        default_status=DefaultScheduleStatus.RUNNING,
        description="Trains the models again if there is something new to learn from.",
    )
    def training(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        graph = context.repository_def.asset_graph
        found = due(declared, context.instance, graph)
        if isinstance(found, str):
            return SkipReason(found)
        reason = news(declared, found, context.instance, graph)
        if not reason:
            return SkipReason(f"Nothing is new for a training as of {found.date}.")
        moment = f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}"
        run_key = event_id("training", "schedule", declared.name, moment)
        return request(found, "schedule", f"at {moment} UTC: {reason}", run_key)

    return [training]


def _on_features(declared: Declared, settings: Settings, every_days: int) -> SensorDefinition:
    """Messages `features-generated` in; a run for each step of so many days between dates of training out."""

    def ask(context: SensorEvaluationContext, found: Due, unread: Unread) -> RunRequest | str:
        days = declared.days(first=declared.config.split.as_of)
        place = days.index(found.date) // every_days * every_days
        step = Due(days[place], found.assets)
        if not place or made_by(key(declared, "champion"), step.date, context.instance) is not None:
            return f"Features do not reach {every_days} days beyond those of the training as of {step.date}."
        run_key = event_id("training", "features-generated", declared.name, step.date)
        reason = f"features reach far enough for a training as of {step.date}"
        return request(step, "features-generated", reason, run_key)

    said = f"Trains when features of {every_days} more days are there, on messages `features-generated`."
    return training_sensor(
        declared, "features", said, lambda context: _messages(context, declared, settings), ask
    )


def _on_drift(declared: Declared, settings: Settings, limit: Drifted) -> SensorDefinition:
    """Drift reports in; a run if the newest one is beyond the limit, at most one per date of training."""

    def ask(context: SensorEvaluationContext, found: Due, unread: Unread) -> RunRequest | str:
        month = max(unread.partitions)
        drifted = drift_beyond(declared, settings, month, limit)
        if not drifted:
            return f"In {month[:7]} fewer features have drifted than the declared limit."
        if not news(declared, found, context.instance, graph_of(context)):
            return f"{drifted}; but nothing is new for a training as of {found.date}."
        return request(found, "drift", drifted, event_id("training", "drift", declared.name, found.date))

    said = "Trains when the newest drift report is beyond the declared limit."
    return training_sensor(declared, "drift", said, lambda context: _reports(context, declared), ask)


def _on_change(declared: Declared) -> SensorDefinition:
    """Models whose version is not the one they were trained with in; a run per such version out."""

    def ask(context: SensorEvaluationContext, found: Due, unread: Unread) -> RunRequest | str:
        graph = graph_of(context)
        dates = context.instance.get_materialized_partitions(key(declared, "champion"))
        trained = max((day for day in dates if day <= found.date), default=found.date)
        changed = stale(Due(trained, found.candidates), context.instance, graph)
        if not changed:
            return f"Every model as of {trained} is of the present code and configuration."
        names = ", ".join(sorted(asset.path[-1].removeprefix("candidate_") for asset in changed))
        versions = sorted(f"{asset.path[-1]}={version}" for asset, version in changed.items())
        run_key = event_id("training", "changed", declared.name, found.date, *versions)
        lacking = Due(found.date, tuple(stale(found, context.instance, graph)))
        return request(lacking, "changed", f"code or configuration of {names} changed", run_key)

    said = "Trains the models whose code or configuration is another than the one they were trained with."
    return training_sensor(declared, "changed", said, lambda context: Unread(), ask)


def drift_beyond(declared: Declared, settings: Settings, month: str, limit: Drifted) -> str:
    """What of a month's newest drift report is beyond a limit, in a sentence; empty if it is not."""
    with closing(Lake.from_settings(settings)) as lake:
        report = newest(lake.read(declared.table("drift_report"), partitions=[month]))
    if limit.against == "past":
        return _beyond_past(report, limit)
    known = report.drop_nulls("psi")
    drifted = known.filter(pl.col("psi") >= limit.psi).sort("psi", descending=True)
    enough = limit.features if limit.features is not None else (limit.share or 0) * known.height
    if drifted.height < max(1, enough):
        return ""
    worst = ", ".join(drifted["feature"].head(3))
    return (
        f"in {span(report)} {drifted.height} of {known.height} features have a PSI of {limit.psi} or more, "
        f"most of all {worst}"
    )


def _beyond_past(report: pl.DataFrame, limit: Drifted) -> str:
    if "drifted" not in report.columns:  # a report of a version before this one
        return ""
    known = report.drop_nulls("drifted")
    drifted = known.filter("drifted").sort(pl.col("psi") / pl.col("past_psi"), descending=True)
    enough = limit.features if limit.features is not None else (limit.share or 0) * known.height
    if drifted.height < max(1, enough):
        return ""
    worst = ", ".join(drifted["feature"].head(3))
    return (
        f"in {span(report)} {drifted.height} of {known.height} features lie further from the reference than "
        f"in any window before, most of all {worst}"
    )


def _messages(context: SensorEvaluationContext, declared: Declared, settings: Settings) -> Unread:
    messages, position = unread(context, settings, FEATURES_GENERATED)
    days = [each.envelope.data.partition for each in messages if each.envelope.data.use_case == declared.name]
    return Unread(position, "" if days else f"{len(messages)} new messages, none of new features.", days)


def _reports(context: SensorEvaluationContext, declared: Declared) -> Unread:
    after = int(context.cursor or 0)
    records = context.instance.fetch_materializations(
        AssetRecordsFilter(asset_key=key(declared, "drift_report"), after_storage_id=after or None),
        limit=MOST,
        ascending=True,
    ).records
    months = [record.partition_key for record in records if record.partition_key]
    position = max([after, *(record.storage_id for record in records)])
    return Unread(position, "" if months else "No new drift report.", months)
