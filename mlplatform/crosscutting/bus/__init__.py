"""The bus: messages between pipelines, services and sources; `open_bus(url)` gives one.

It must not import a broker's client before a URL asks for it.
"""

from urllib.parse import urlsplit

from mlplatform.crosscutting.bus.contract import (
    Bus,
    Envelope,
    Event,
    Following,
    Received,
    Subscription,
    Topic,
    envelope,
    event_id,
)
from mlplatform.errors import ConfigurationError

__all__ = [
    "Bus",
    "Envelope",
    "Event",
    "Following",
    "Received",
    "Subscription",
    "Topic",
    "envelope",
    "event_id",
    "open_bus",
]


def open_bus(url: str) -> Bus:
    """Bus of a URL: `nats://host:port`, `kafka://host:port`, or `memory://` for a new one in this process.

    Raises
    ------
    ConfigurationError
        if the URL has another scheme, or the client of that broker is not installed.
    BusError
        if no broker answers there.
    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        from mlplatform.crosscutting.bus.memory import MemoryBus

        return MemoryBus()
    if scheme in ("nats", "tls"):
        from mlplatform.crosscutting.bus.nats_jetstream import NatsBus

        return NatsBus(url)
    if scheme == "kafka":
        return _kafka(url)
    raise ConfigurationError(
        f"The broker URL is {url!r}; its scheme must be nats, tls, kafka or memory.",
        hint="Set MLPLATFORM_BROKER_URL to nats://127.0.0.1:4222 or unset it.",
    )


def _kafka(url: str) -> Bus:
    try:
        from mlplatform.crosscutting.bus.kafka import KafkaBus
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The broker URL is {url!r}, but {error.name} is not installed.",
            hint="Install mlplatform[kafka].",
        ) from error
    return KafkaBus(url)
