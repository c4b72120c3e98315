"""Request and reply over the broker; `open_rpc(url)` gives a way to ask and to serve.

It must not import a broker's client before a URL asks for it.
"""

from urllib.parse import urlsplit

from mlplatform.crosscutting.rpc.contract import MAX_BYTES, Handler, NoReply, NoResponder, Rpc, Serving
from mlplatform.errors import ConfigurationError

__all__ = ["MAX_BYTES", "Handler", "NoReply", "NoResponder", "Rpc", "Serving", "check_broker", "open_rpc"]


def open_rpc(url: str) -> Rpc:
    """Request and reply at a URL: `nats://host:port`, or `memory://` for a new one in this process.

    Raises
    ------
    ConfigurationError
        if that broker has no request and reply.
    BusError
        if no broker answers there.
    """
    if urlsplit(url).scheme == "memory":
        from mlplatform.crosscutting.rpc.memory import MemoryRpc

        return MemoryRpc()
    check_broker(url)
    from mlplatform.crosscutting.rpc.nats_rpc import NatsRpc

    return NatsRpc(url)


def check_broker(url: str) -> None:
    """Raise ConfigurationError unless the broker of this URL can carry requests between processes."""
    scheme = urlsplit(url).scheme
    if scheme == "kafka":
        raise ConfigurationError(
            "The broker is Kafka, which has no request and reply; allowed: nats or tls.",
            hint="Ask over HTTP, or set MLPLATFORM_BROKER_URL to a NATS server.",
        )
    if scheme not in ("nats", "tls"):
        raise ConfigurationError(
            f"Requests over the broker need a URL of scheme nats or tls; got scheme {scheme!r}.",
            hint="Set MLPLATFORM_BROKER_URL to nats://127.0.0.1:4222 or unset it.",
        )
