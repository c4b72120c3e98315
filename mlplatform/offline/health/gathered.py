"""Asks every part of a deployment how it is, one after the other. It must not know what a part says."""

from collections.abc import Callable, Iterable
from datetime import datetime

from dagster import DagsterInstance

from mlplatform.crosscutting.clock import utc_now
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError
from mlplatform.offline.declared import Declared
from mlplatform.offline.health import dagster_side, services, waiting
from mlplatform.offline.health.part import Health, Part
from mlplatform.offline.instance import instance_of

NAME = "dagster.yaml"


def gather(
    settings: Settings,
    declared: Iterable[Declared],
    *,
    instance: DagsterInstance | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Health:
    """The health of a deployment; takes some seconds where a service does not answer.

    Parameters
    ----------
    declared : its use cases: they decide which services are meant to run.
    instance : Dagster's; None: that of the deployment's home, if it has one already.
    """
    now = clock()
    streams = [stream for each in declared for stream in each.config.streams.values()]
    fed = any(stream.sources for stream in streams)
    broker = _asked("broker", lambda: services.broker(settings))
    parts = [
        *_dagster(settings, instance, now),
        _asked("Dagster UI", lambda: services.ui(settings)),
        broker,
        _asked("ingestion", lambda: services.ingestion(settings, meant=bool(streams))),
        _asked("preparation", lambda: services.preparation(settings, meant=fed)),
        *_all("scoring", lambda: services.scoring(settings)),
        _asked("batch scoring", lambda: waiting.batch_requests(settings, now)),
        _asked("alerts", lambda: waiting.alerts(settings)),
        _asked("dead letters", lambda: waiting.dead_letters(settings, there=bool(broker.url))),
        _asked("webhooks", lambda: waiting.undelivered(settings)),
    ]
    return Health(at=now, parts=tuple(parts))


def _dagster(settings: Settings, instance: DagsterInstance | None, now: datetime) -> list[Part]:
    if instance is None and (settings.dagster_home / NAME).exists():
        with instance_of(settings) as own:
            return _dagster(settings, own, now)
    return [dagster_side.daemons(instance, now), dagster_side.failed_runs(instance, now)]


def _asked(name: str, ask: Callable[[], Part]) -> Part:
    return _all(name, lambda: [ask()])[0]


def _all(name: str, ask: Callable[[], list[Part]]) -> list[Part]:
    """A store that cannot be read is a problem of its part, and hides no other."""
    try:
        return ask()
    except MlplatformError as error:
        return [Part(name=name, state="problem", said=str(error).rstrip("."), remedy=error.hint)]
