"""The outbox of the alias history: what it has and the bus has not yet becomes messages `deployment-changed`.

Whoever changes an alias publishes it at once (offline/deploying.py); this sensor publishes what a broker that
was away did not get. It must not change a deployment, nor start runs.
"""

from contextlib import closing

from dagster import DefaultSensorStatus, SensorDefinition, SensorEvaluationContext, SkipReason, sensor

from mlplatform.crosscutting.bus import Bus, open_bus
from mlplatform.crosscutting.bus.topics import DEPLOYMENT_CHANGED
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import BusError
from mlplatform.offline.declared import Declared
from mlplatform.offline.messages import deployment_changed as message
from mlplatform.stages.deployment.alias import Change
from mlplatform.stores.champions import ChampionStore

PAGE = 500
"""Messages read of the topic at once."""


def deployment_changed(declared: Declared, settings: Settings) -> SensorDefinition:
    """Changes of aliases become messages `deployment-changed`, each once, also after an outage."""

    @sensor(
        name=f"{declared.name}_deployment_changed",
        minimum_interval_seconds=5,
        default_status=DefaultSensorStatus.RUNNING,
        description="Publishes changes of champion, canary and shadow that a broker outage held up.",
    )
    def changed(context: SensorEvaluationContext) -> SkipReason:
        done = int(context.cursor or 0)
        new = _behind(declared.name, settings, done)
        if not new:
            return SkipReason("0 messages published.")
        published = 0
        try:
            with closing(open_bus(settings.broker_url)) as bus:
                there = _there(bus, declared.name)
                for change in new:
                    if change.number not in there:
                        bus.publish(DEPLOYMENT_CHANGED, message(change))
                        published += 1
                    done = change.number
        except BusError as error:
            return SkipReason(f"{published} messages published, then: {error} {error.hint}")
        finally:
            context.update_cursor(str(done))
        return SkipReason(f"{published} messages published.")

    return changed


def _behind(use_case: str, settings: Settings, number: int) -> list[Change]:
    """Changes after that number, the oldest first."""
    if not settings.state_file_exists():
        return []
    with closing(ChampionStore(settings.state_url)) as store:
        return [change for change in store.changes(use_case) if change.number > number]


def _there(bus: Bus, use_case: str) -> set[int]:
    """Numbers of the changes that the topic has; a broker itself knows the ids of a day only."""
    found: set[int] = set()
    after = 0
    while page := bus.read(DEPLOYMENT_CHANGED, after, PAGE, on_unreadable=lambda *_: None):
        found |= {each.envelope.data.number for each in page if each.envelope.data.use_case == use_case}
        after = page[-1].sequence
    return found
