"""The frame of every sensor that asks for a training: what is new, whether one can be made, what it is told.

It must not know a trigger; `training.py` does.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dagster import (
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from mlplatform.errors import BusError
from mlplatform.offline.declared import Declared
from mlplatform.offline.run_tags import REASON_TAG, TRIGGER_TAG
from mlplatform.offline.training_due import Due, due, training_assets


@dataclass(frozen=True)
class Unread:
    """What a trigger has not looked at yet."""

    position: int = 0
    """Of the last of it: the cursor, once it is looked at."""
    nothing: str = ""
    """A sentence if none of it concerns this use case."""
    partitions: Sequence[str] = ()
    """What it is about."""


Look = Callable[[SensorEvaluationContext], Unread]
Ask = Callable[[SensorEvaluationContext, Due, Unread], RunRequest | str]
"""Of the training that could be made and the news: the request for it, or a sentence why not."""


def training_sensor(
    declared: Declared, name: str, description: str, look: Look, ask: Ask
) -> SensorDefinition:
    """A sensor that asks for a training if there is something unread, and one can be made.

    What comes at a time when no training can be made stays unread.
    """

    @sensor(
        name=f"{declared.name}_training_{name}",
        asset_selection=list(training_assets(declared)),
        minimum_interval_seconds=30,
        default_status=DefaultSensorStatus.RUNNING,
        description=description,
    )
    def training(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        try:
            unread = look(context)
        except BusError as error:
            yield SkipReason(f"{error} {error.hint}")
            return
        found = unread.nothing or due(declared, context.instance, graph_of(context))
        answer = ask(context, found, unread) if isinstance(found, Due) else found
        if unread.nothing or isinstance(found, Due):
            context.update_cursor(str(unread.position))
        if isinstance(answer, RunRequest):
            context.log.info(f"Training as of {answer.partition_key}: {answer.tags[REASON_TAG]}")
        yield answer if isinstance(answer, RunRequest) else SkipReason(answer)

    return training


def request(found: Due, trigger: str, reason: str, run_key: str) -> RunRequest:
    """A run of this training; the reason is in its tags."""
    return RunRequest(
        run_key=run_key,
        asset_selection=list(found.assets),
        partition_key=found.date,
        tags={TRIGGER_TAG: trigger, REASON_TAG: reason},
    )


def graph_of(context: SensorEvaluationContext) -> AssetGraph:
    """The assets with their present versions."""
    assert context.repository_def is not None
    return context.repository_def.asset_graph
