"""The clients of a Kafka server, their settings and errors, in one place for `kafka*.py`.

It must not know topics or messages.
"""

from collections.abc import Callable
from time import monotonic, sleep
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from mlplatform.crosscutting.bus.contract import BrokerAway

_SOON = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
)
"""Answers while a topic that was just made is not known everywhere yet."""

_MESSAGE_BYTES = 1_048_576
"""Above MAX_BYTES by what Kafka and the headers need, and within what a server allows by default."""

_MANUAL = {"enable.auto.commit": False, "enable.auto.offset.store": False, "enable.partition.eof": True}

T = TypeVar("T")


class KafkaLink:
    """Makes the clients of one server and asks it; `patience` is how many seconds an answer may take."""

    def __init__(self, servers: str, patience: float) -> None:
        self.patience = patience
        self._servers = servers
        self._common: dict[str, Any] = {
            "bootstrap.servers": servers,
            "error_cb": _quiet,
            "log_level": 0,  # the caller gets the same as a BusError
        }
        # Reads nothing: a question would have to wait behind a reader's request, which waits for messages.
        self._asker = self.consumer("mlplatform.ask")

    def admin(self) -> AdminClient:
        """A client that makes topics."""
        return AdminClient(dict(self._common))

    def producer(self) -> Producer:
        """A client that stores messages once and in the order given, on all replicas."""
        milliseconds = int(self.patience * 1000)
        sending = {"enable.idempotence": True, "acks": "all", "linger.ms": 1}
        limits = {"delivery.timeout.ms": milliseconds, "message.max.bytes": _MESSAGE_BYTES}
        return Producer({**self._common, **sending, **limits})

    def consumer(self, group: str) -> Consumer:
        """A client that reads what it is told to, and saves a position only when it is told to."""
        start = {"auto.offset.reset": "earliest", "fetch.wait.max.ms": 100}
        return Consumer({**self._common, "group.id": group, **_MANUAL, **start})

    def ends(self, log: str) -> tuple[int, int]:
        """Offset of the first message that is kept, and the one that the next message will get."""
        partition = TopicPartition(log, 0)
        answer = self.ask(
            lambda: self._asker.get_watermark_offsets(partition, timeout=self.patience, cached=False)
        )
        return answer or (0, 0)

    def reader(self) -> Consumer:
        """A client that says so when it is told to read where nothing is, and does not wait for more."""
        quick = {"auto.offset.reset": "error", "fetch.wait.max.ms": 10}
        return Consumer({**self._common, "group.id": "mlplatform.read", **_MANUAL, **quick})

    def close(self) -> None:
        """Let go of the connection that questions are asked on."""
        self._asker.close()

    def ask(self, question: Callable[[], T]) -> T:
        """Answer of the server; raises BusError if there is none in time."""
        deadline = monotonic() + self.patience
        while True:
            try:
                return question()
            except KafkaException as error:
                reason = error.args[0]
                if reason.code() not in _SOON or monotonic() >= deadline:
                    raise self.unreachable(reason.str()) from error
            sleep(0.05)

    def unreachable(self, reason: str) -> BrokerAway:
        """The error that says that the server does not do what it was asked to."""
        return BrokerAway(
            f"No broker answers at kafka://{self._servers} ({reason}).",
            hint="Start that Kafka server, or set MLPLATFORM_BROKER_URL to one that runs.",
        )


def _quiet(error: KafkaError) -> None:
    """Take the place of librdkafka's log."""
