"""Sends undelivered messages again, by the command of a person: each once, to its own URL, under its own id.

A receiver knows a repeated message by `webhook-id`. What it has now is noted beside the letter and recorded
in the audit. It must not send what it has no secret for, nor to a URL that is not allowed any more.
"""

import asyncio
from base64 import b64decode
from collections.abc import Callable, Sequence
from datetime import datetime

from mlplatform.crosscutting.clock import utc_now
from mlplatform.crosscutting.settings import Settings
from mlplatform.crosscutting.signature import Secret
from mlplatform.errors import ConfigurationError, RequestError
from mlplatform.online.delivery.outbox import Kept
from mlplatform.online.delivery.sender import Message, Sender
from mlplatform.online.delivery.targets import SETTING, Targets
from mlplatform.stores.audit import AuditLog
from mlplatform.stores.undelivered import Letter, Resent, UndeliveredFiles

KIND = "webhook"
"""Of the entries in the audit."""
_SECONDS, _AT_ONCE = 10.0, 8


class Resender:
    """Sends letters of a deployment again.

    Parameters
    ----------
    targets : URLs that may be pushed to, as for the service.
    """

    def __init__(
        self,
        files: UndeliveredFiles,
        audit: AuditLog,
        targets: Targets,
        secret: Secret,
        *,
        seconds: float = _SECONDS,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._files, self._audit, self._targets, self._secret = files, audit, targets, secret
        self._seconds, self._clock = seconds, clock

    @classmethod
    def from_settings(cls, settings: Settings, audit: AuditLog) -> "Resender":
        """The one of a deployment.

        Raises
        ------
        ConfigurationError
            if pushing is off: no target or no secret is set.
        """
        targets = Targets(settings.webhook_targets)
        if not targets or not settings.webhook_secret:
            raise ConfigurationError(
                "webhooks are off: nothing can be sent again.",
                hint=f"Set {SETTING} and MLPLATFORM_WEBHOOK_SECRET as for the scoring service.",
            )
        return cls(UndeliveredFiles.from_settings(settings), audit, targets, Secret(settings.webhook_secret))

    def resend(self, letters: Sequence[Letter], who: str) -> dict[str, str]:
        """Send letters; by key of each that could not be delivered, why.

        What was delivered is noted at once, so that whoever is interrupted goes on behind it.

        Raises
        ------
        StoreError
            if the audit cannot be written; the message then went out, and comes again with the next call.
        """
        return asyncio.run(self._resend(letters, who))

    async def _resend(self, letters: Sequence[Letter], who: str) -> dict[str, str]:
        sender = Sender(self._secret, timeout=self._seconds, at_once=_AT_ONCE)
        failed: dict[str, str] = {}
        try:
            for letter in letters:
                if why := await self._send(sender, letter):
                    failed[letter.key] = why
                else:
                    self._note(letter, who)
        finally:
            await sender.close()
        return failed

    async def _send(self, sender: Sender, letter: Letter) -> str:
        """Why it could not be delivered; empty if it was."""
        try:
            target = self._targets.check(letter.url)
        except RequestError as error:
            return f"{error} {error.hint}"
        body = letter.body.encode() if letter.encoding == "text" else b64decode(letter.body)
        kept = Kept(
            key=letter.key,
            id=letter.id,
            use_case=letter.use_case,
            url=letter.url,
            body=body,
            traceparent=letter.traceparent,
        )
        failure = await sender.send(Message(target, kept))
        return failure.reason if failure else ""

    def _note(self, letter: Letter, who: str) -> None:
        now = self._clock()
        self._audit.record(
            KIND,
            letter.use_case,
            who=who,
            why=f"sent again by command, after: {letter.reason}",
            details={"action": "resend", "message": letter.id, "url": letter.url},
            at=now,
        )
        self._files.resent([Resent(key=letter.key, at=now, who=who)])
