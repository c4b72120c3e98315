"""Pushes messages to the URLs of receivers: signed, tried again, and kept when they cannot be delivered.

`push` only puts a message into a bounded queue; an event loop in a thread of its own sends, so that neither a
slow receiver nor a signature holds up whoever pushes. With an outbox what was taken outlives the process.
It must not know what a message says.
"""

import asyncio
import logging
import threading
from typing import Any
from uuid import uuid4

from mlplatform.crosscutting import tracing
from mlplatform.crosscutting.loop_thread import LoopThread
from mlplatform.crosscutting.settings import Settings
from mlplatform.crosscutting.signature import Secret, check_id
from mlplatform.errors import RequestError, StoreError
from mlplatform.online.delivery.backoff import Backoff
from mlplatform.online.delivery.outbox import Kept, Outbox
from mlplatform.online.delivery.sender import Failure, Message, Sender
from mlplatform.online.delivery.targets import Target, Targets
from mlplatform.online.delivery.undelivered import Undelivered, letter
from mlplatform.stores.undelivered import Letter

_LOG = logging.getLogger(__name__)
MOST = 10_000
"""Messages in memory."""
MOST_BYTES = 64 * 1024 * 1024
ATTEMPTS = 8
TIMEOUT = 10.0
"""Seconds that a receiver may take to answer."""
AT_ONCE = 8
"""Connections to one receiver; others have their own."""


class Webhooks:
    """Pushes between `start` and `close`; may be used from many threads.

    Parameters
    ----------
    targets : URLs that may be pushed to.
    secret : signs messages; without it nothing is pushed.
    undelivered : takes what is given up.
    outbox : keeps what is taken until it is settled; None: in memory only.
    most, most_bytes : messages and their bytes in memory; beyond, pushing is refused.
    attempts, backoff, timeout : how often, and in which time, a receiver is tried.
    """

    def __init__(
        self,
        targets: Targets,
        secret: Secret | None,
        undelivered: Undelivered,
        outbox: Outbox | None = None,
        *,
        most: int = MOST,
        most_bytes: int = MOST_BYTES,
        attempts: int = ATTEMPTS,
        backoff: Backoff | None = None,
        timeout: float = TIMEOUT,
        at_once: int = AT_ONCE,
    ) -> None:
        self.pushed, self.refused, self.delivered, self.retried = 0, 0, 0, 0
        self.undelivered, self.lost, self.waiting, self.taken_over = 0, 0, 0, 0
        self._targets, self._secret, self._kept, self._outbox = targets, secret, undelivered, outbox
        self._most, self._most_bytes, self._bytes = most, most_bytes, 0
        self._attempts, self._backoff = attempts, backoff or Backoff()
        self._timeout, self._at_once = timeout, at_once
        self._lock = threading.Lock()
        self._loop: LoopThread | None = None
        self._sender: Sender | None = None
        self._sending: set[asyncio.Task[Any]] = set()
        self._stopped: list[Letter] = []

    @classmethod
    def from_settings(cls, settings: Settings) -> "Webhooks":
        """The webhooks of a deployment.

        Raises
        ------
        ConfigurationError
            if the allowed targets or the secret are malformed.
        """
        secret = Secret(settings.webhook_secret) if settings.webhook_secret else None
        undelivered, outbox = Undelivered.from_settings(settings), Outbox(settings.home / "outbox")
        return cls(Targets(settings.webhook_targets), secret, undelivered, outbox)

    def start(self) -> None:
        """Push from now on, first what an ended process left; does nothing where pushing is off.

        Raises
        ------
        StoreError
            if the outbox cannot be written.
        """
        if not (self._targets and self._secret):
            return
        left = self._left()
        loop = LoopThread("webhooks")
        self._sender = loop.run(self._opened(self._secret))
        with self._lock:
            self._loop = loop
            for kept in left:
                self._take_over(kept)

    def check(self, url: str) -> Target:
        """The target of a URL, if `push` would take a message for it now.

        Raises
        ------
        RequestError
            400 for a malformed URL, 403 if it is not allowed or pushing is off, 503 if too many wait.
        """
        target = self._targets.check(url)
        if self._secret is None:
            raise RequestError(
                "pushing scores is off, as there is no secret to sign them by.",
                status=403,
                hint="Whoever runs the service sets MLPLATFORM_WEBHOOK_SECRET.",
            )
        if self._loop is None:
            raise _busy("the service is starting or stopping")
        if self.waiting >= self._most:
            raise _busy(f"{self.waiting} messages wait to be pushed, allowed: {self._most}")
        return target

    def push(self, url: str, id: str, body: bytes, *, use_case: str = "unknown") -> None:
        """Have `body` (JSON) posted to `url`, at least once; returns at once.

        Parameters
        ----------
        id : names the message to its receiver, who may get it more than once; letters, digits, _ and -.

        Raises
        ------
        RequestError
            as `check`; then nothing is sent.
        """
        try:
            kept = Kept(
                key=uuid4().hex,
                id=check_id(id),
                use_case=use_case,
                url=url,
                body=body,
                traceparent=tracing.known(),
            )
            message = Message(self.check(url), kept)
            with self._lock:
                self._admit(message)
        except RequestError:
            with self._lock:
                self.refused += 1
            raise

    def close(self, seconds: float = 3.0) -> None:
        """Push what waits, for about that many seconds at most.

        What is left stays in the outbox for the next process; without one it is kept as undelivered.
        """
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.run(self._end(seconds))
            loop.close()
        if self._outbox is not None:
            self._outbox.close()
        self._kept.close()

    def status(self) -> dict[str, Any]:
        """What was pushed, waits, was delivered, and was not."""
        return {
            "on": self._loop is not None,
            "pushed": self.pushed,
            "refused": self.refused,
            "taken_over": self.taken_over,
            "waiting": self.waiting,
            "delivered": self.delivered,
            "retried": self.retried,
            "undelivered": self.undelivered,
            "lost": self.lost,
            "dead_letters": self._kept.status(),
        }

    def _admit(self, message: Message) -> None:
        if self._loop is None:
            raise _busy("the service is stopping")
        if self.waiting >= self._most or self._bytes + len(message.kept.body) > self._most_bytes:
            raise _busy(f"{self.waiting} messages of {self._bytes} bytes wait to be pushed")
        if self._outbox is not None:
            try:
                self._outbox.put(message.kept)
            except OSError as error:
                raise _busy(f"the outbox cannot be written: {error.strerror}") from error
        self.pushed += 1
        self._begin(message)

    def _begin(self, message: Message) -> None:
        assert self._loop is not None
        assert self._sender is not None
        self.waiting += 1
        self._bytes += len(message.kept.body)
        self._loop.start(self._deliver(self._sender, message))

    def _left(self) -> list[Kept]:
        try:
            return self._outbox.open() if self._outbox is not None else []
        except OSError as error:
            raise StoreError(
                f"The outbox of webhooks cannot be written: {error}.",
                hint="Check space and permissions, or set MLPLATFORM_HOME to another folder.",
            ) from error

    def _take_over(self, kept: Kept) -> None:
        """Push what an ended process had taken, if it may still be pushed."""
        self.taken_over += 1
        try:
            target = self._targets.check(kept.url)
        except RequestError as error:
            self._keep([letter(kept, str(error), 0)])
            self._settle(kept.key)
        else:
            self._begin(Message(target, kept))

    def _settle(self, key: str) -> None:
        if self._outbox is not None:
            self._outbox.settle(key)

    async def _opened(self, secret: Secret) -> Sender:
        return Sender(secret, timeout=self._timeout, at_once=self._at_once)

    async def _end(self, seconds: float) -> None:
        if self._sending:
            await asyncio.wait(self._sending, timeout=seconds)
        for task in list(self._sending):
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        self._keep(self._stopped)
        if self._sender is not None:
            await self._sender.close()

    async def _deliver(self, sender: Sender, message: Message) -> None:
        """Try until it is delivered or given up."""
        task = asyncio.current_task()
        assert task is not None
        self._sending.add(task)
        try:
            undelivered = await self._tried(sender, message)
            if undelivered is None:
                self.delivered += 1
            else:
                self._keep([undelivered])
            self._settle(message.kept.key)
        finally:
            self._sending.discard(task)
            with self._lock:
                self.waiting -= 1
                self._bytes -= len(message.kept.body)

    async def _tried(self, sender: Sender, message: Message) -> Letter | None:
        """None if it was delivered; else it as a letter. Cancelled, the letter is among `_stopped`."""
        attempt, failure = 0, Failure("it was not sent yet", again=True)
        try:
            while failure.again and attempt < self._attempts:
                if attempt:
                    self.retried += 1
                    await asyncio.sleep(self._backoff.pause(attempt, failure.after))
                attempt += 1
                found = await sender.send(message)
                if found is None:
                    return None
                failure = found
        except asyncio.CancelledError:
            if self._outbox is None:  # else it is there for the next process
                reason = f"the service stopped; before that: {failure.reason}"
                self._stopped.append(letter(message.kept, reason, attempt))
            raise
        except Exception as error:  # noqa: BLE001  (a fault of ours: the message is kept all the same)
            _LOG.exception("message %s cannot be sent", message.kept.id, extra=_about(message.kept))
            failure = Failure(f"{type(error).__name__}: {error}", again=False)
        return letter(message.kept, failure.reason, attempt)

    def _keep(self, letters: list[Letter]) -> None:
        self.undelivered += len(letters)
        for each in letters:
            said = (each.id, each.use_case, each.reason)
            _LOG.warning("message %s of %s is undelivered: %s", *said, extra=_about(each))
        try:
            self._kept.keep(letters)
        except OSError:
            self.lost += len(letters)
            names = ", ".join(f"{each.id} to {each.url}" for each in letters)
            _LOG.exception("undelivered messages cannot be kept and are lost: %s", names)


def _about(message: Kept | Letter) -> dict[str, Any]:
    """What a log line tells of a message; the id of one that pushes a score is the prediction's."""
    told = {"use_case": message.use_case, "traceparent": message.traceparent}
    return told | ({} if message.id.startswith("batch-scores-") else {"prediction_id": message.id})


def _busy(what: str) -> RequestError:
    return RequestError(f"{what}.", status=503, hint="Send it again in a second.")
