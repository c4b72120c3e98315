"""Handling the messages of a topic one by one, at least once, in order; what cannot be handled is put aside.

It must not drop a message: each is handled or is in the topic `dead-letter` before it is acknowledged.
"""

import logging
import time
from base64 import b64encode
from collections.abc import Callable
from threading import Event as Flag
from traceback import format_exception
from typing import Generic, Literal, TypeVar

import msgspec

from mlplatform.crosscutting import tracing
from mlplatform.crosscutting.bus.contract import (
    BrokerAway,
    Bus,
    BusClosed,
    D,
    Received,
    Token,
    Topic,
    envelope,
    event_id,
)
from mlplatform.crosscutting.bus.topics import DEAD_LETTER, DeadLetter
from mlplatform.errors import BusError, MlplatformError

log = logging.getLogger(__name__)

LARGEST_ORIGINAL = 600_000
"""Bytes of JSON that a dead letter has for its original."""

ACK_SECONDS = 1.0
"""What was handled is acknowledged at least this often, and when nothing more is in hand."""

T = TypeVar("T")


def consume(
    bus: Bus,
    topic: Topic[D],
    name: str,
    handle: Callable[[Received[D]], object],
    *,
    stop: Flag,
    partition: int | None = None,
    attempts: int = 5,
    backoff: float = 0.2,
    limit: int = 256,
    wait: float = 0.5,
) -> None:
    """Call `handle` for each message until `stop` is set; returns after the message in hand.

    A message whose handler raises is tried again in place, so that none overtakes it. After `attempts` it
    goes to the topic `dead-letter`, as does what cannot be decoded, and the next one follows. While the
    broker is away this waits, and a handler that fails for that reason has not tried. Messages are handled
    at least once: after a crash or an outage the last may come again, so a handler must bear a repeated id.

    Parameters
    ----------
    name : under which the bus remembers the position; see `Bus.subscribe`, also for `partition`.
    attempts, backoff : tries, and seconds before the second one; doubled with every further one.
    limit : messages fetched at once.
    wait : seconds after which `stop` and a broker that went away are looked at again.

    Raises
    ------
    BusError
        if `name` or `partition` is wrong, no broker answers at the start, or the bus is closed meanwhile.
    """
    if not stop.is_set():
        _Consumer(bus, topic, name, handle, stop, partition, attempts, backoff).run(limit, wait)


class _Stopped(Exception):
    """`stop` was set while this waited."""


class _Consumer(Generic[D]):
    def __init__(
        self,
        bus: Bus,
        topic: Topic[D],
        name: str,
        handle: Callable[[Received[D]], object],
        stop: Flag,
        partition: int | None,
        attempts: int,
        backoff: float,
    ) -> None:
        self._bus, self._topic, self._name, self._handle = bus, topic, name, handle
        self._stop, self._attempts, self._backoff = stop, attempts, backoff
        self._done: list[Received[D]] = []
        self._acknowledged = time.monotonic()
        self._subscription = bus.subscribe(topic, name, partition=partition)

    def run(self, limit: int, wait: float) -> None:
        try:
            while not self._stop.is_set():
                batch = self._with_broker(lambda: self._fetch(limit, wait))
                self._all(batch)
        except _Stopped:
            log.info("%s stops reading %s.", self._name, self._topic.name)
        finally:
            self._subscription.close()

    def _fetch(self, limit: int, wait: float) -> list[Received[D]]:
        return self._subscription.fetch(limit, wait, on_unreadable=self._unreadable)

    def _all(self, batch: list[Received[D]]) -> None:
        try:
            for received in batch:
                if self._stop.is_set():
                    break
                self._one(received)
                self._done.append(received)
                if time.monotonic() - self._acknowledged >= ACK_SECONDS:
                    self._acknowledge()
        finally:
            self._acknowledge()

    def _acknowledge(self) -> None:
        done, self._done = self._done, []
        if done:
            self._with_broker(lambda: self._subscription.ack(*done))
        self._acknowledged = time.monotonic()

    def _one(self, received: Received[D]) -> None:
        attempt = 0
        while (error := self._try(received)) is not None:
            attempt += not isinstance(error, BrokerAway)  # the message has no part in that
            if attempt >= self._attempts:
                self._put_aside(received, error, attempt)
                return
            self._sleep(self._backoff * 2 ** max(0, attempt - 1))

    def _try(self, received: Received[D]) -> Exception | None:
        message = received.envelope
        try:
            with tracing.within(message.traceparent, use_case=message.data.use_case):
                self._handle(received)
        except BusClosed:
            raise
        except Exception as error:  # noqa: BLE001  (whatever it is, the message is put aside with it, not lost)
            said = _printable("".join(format_exception(error)))
            log.warning("%s cannot handle %s %d. %s", self._name, self._topic.name, received.sequence, said)
            return error
        return None

    def _put_aside(self, received: Received[D], error: Exception, attempts: int) -> None:
        payload = msgspec.json.encode(received.envelope)
        use_case = received.envelope.data.use_case
        with tracing.within(received.envelope.traceparent, use_case=use_case):
            self._dead_letter(received.sequence, payload, use_case, _reason(error), attempts)

    def _unreadable(self, sequence: int, payload: bytes, error: BusError) -> None:
        self._dead_letter(sequence, payload, _use_case(payload), _reason(error), 0)

    def _dead_letter(self, sequence: int, payload: bytes, use_case: str, reason: str, attempts: int) -> None:
        log.error("%s puts %s %d aside: %s", self._name, self._topic.name, sequence, reason)
        original, encoding, truncated = _as_text(payload)
        letter = DeadLetter(
            use_case=use_case,
            topic=self._topic.name,
            consumer=self._name,
            sequence=sequence,
            reason=reason,
            attempts=attempts,
            original=original,
            encoding=encoding,
            truncated=truncated,
        )
        # The same id in every attempt, so that it is there once even if this ends before the acknowledgement.
        id = event_id(self._topic.name, self._name, sequence)
        message = envelope(DEAD_LETTER, letter, id=id, source=f"/consumers/{self._name}")
        self._with_broker(lambda: self._bus.publish(DEAD_LETTER, message))

    def _with_broker(self, call: Callable[[], T]) -> T:
        """Result of a call to the bus, made again until the broker answers."""
        while True:
            try:
                return call()
            except BrokerAway as error:
                log.warning("%s waits for the broker: %s %s", self._name, error, error.hint)
            self._sleep(max(self._backoff, 0.1))

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise _Stopped


def _as_text(payload: bytes) -> tuple[str, Literal["text", "base64"], bool]:
    """A message as text that is short enough as JSON; base64 where it is no text or too long."""
    try:
        text = payload.decode()
        if len(msgspec.json.encode(text)) <= LARGEST_ORIGINAL:
            return text, "text", False
    except UnicodeDecodeError:
        log.debug("The message is not UTF-8.")
    room = LARGEST_ORIGINAL * 3 // 4
    return b64encode(payload[:room]).decode(), "base64", len(payload) > room


def _reason(error: Exception) -> str:
    hint = f" {error.hint}" if isinstance(error, MlplatformError) and error.hint else ""
    return _printable(f"{type(error).__name__}: {error}{hint}")[:10_000]


def _printable(text: str) -> str:
    """An error may quote what is no text; neither a log nor JSON could hold it."""
    return text.encode(errors="replace").decode()


class _Data(msgspec.Struct):
    use_case: Token = "unknown"


class _Message(msgspec.Struct):
    data: _Data


def _use_case(payload: bytes) -> str:
    """The use case of a message that cannot be decoded as a whole; `unknown` if that fails as well."""
    try:
        return msgspec.json.decode(payload, type=_Message).data.use_case
    except ValueError:
        return "unknown"
