"""Sends one alert to one target, once: a signed webhook, a Slack-format webhook, or a mail server.

It must not keep or repeat alerts; `offline/alert_delivery.py` does. What goes wrong is told without addresses
that may be secrets.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from functools import partial
from smtplib import SMTP, SMTP_SSL, SMTPException, SMTPRecipientsRefused, SMTPResponseException

import httpx
import msgspec

from mlplatform.crosscutting.access import is_loopback
from mlplatform.crosscutting.alerting.alert import AlertChange
from mlplatform.crosscutting.alerting.settings import AlertSettings
from mlplatform.crosscutting.alerting.text import body, change_id, document, headline, slack
from mlplatform.crosscutting.signature import Secret
from mlplatform.errors import ConfigurationError

TIMEOUT = 10.0
"""Seconds that a target may take for one step."""
_AGAIN = frozenset({408, 425, 429})
"""Statuses below 500 after which another attempt may help."""


@dataclass(frozen=True)
class Failure:
    """Why a target does not have an alert."""

    reason: str
    again: bool
    """Whether another attempt may help."""
    after: float = 0.0
    """Seconds that it asks to wait."""


@dataclass(frozen=True)
class Target:
    """Where alerts go; `send` gives None when the target has it."""

    name: str
    send: Callable[[AlertChange], Failure | None]


def targets_of(settings: AlertSettings) -> list[Target]:
    """The targets that are configured.

    Raises
    ------
    ConfigurationError
        if a webhook has no secret or one that is none, or a password would be sent without encryption.
    """
    found = []
    if settings.webhook:
        if not settings.secret:
            raise ConfigurationError(
                "MLPLATFORM_ALERT_WEBHOOK is set, but no secret to sign by.",
                hint="Set MLPLATFORM_ALERT_WEBHOOK_SECRET to `whsec_` and base64 of 24 to 64 random bytes.",
            )
        found.append(Target("webhook", partial(_webhook, settings.webhook, Secret(settings.secret))))
    if settings.slack:
        found.append(Target("slack", partial(_slack, settings.slack)))
    if settings.email:
        _check_password(settings)
        found.append(Target("email", partial(_mail, settings)))
    return found


def _check_password(settings: AlertSettings) -> None:
    plain = settings.smtp_security == "none" and not is_loopback(settings.smtp_host)
    if plain and (settings.smtp_user or settings.smtp_password):
        raise ConfigurationError(
            f"the password would be sent to {settings.smtp_host} for everybody to read.",
            hint="Set MLPLATFORM_ALERT_SMTP_SECURITY to starttls or tls.",
        )


def _webhook(url: str, secret: Secret, change: AlertChange) -> Failure | None:
    content = msgspec.json.encode(document(change))
    return _post(url, content, secret.headers(change_id(change), content))


def _slack(url: str, change: AlertChange) -> Failure | None:
    return _post(url, msgspec.json.encode(slack(change)), {})


def _post(url: str, content: bytes, headers: dict[str, str]) -> Failure | None:
    headers = {"content-type": "application/json", "user-agent": "mlplatform", **headers}
    try:
        # A proxy of the environment would be sent to instead of what was configured.
        with httpx.Client(timeout=TIMEOUT, trust_env=False, follow_redirects=False) as client:
            response = client.post(url, content=content, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Failure(f"the receiver cannot be reached ({type(error).__name__})", again=True)
    status, after = response.status_code, response.headers.get("retry-after", "")
    if 200 <= status < 300:
        return None
    seconds = float(after[:10]) if after.isascii() and after.isdigit() else 0.0
    return Failure(f"the receiver answered {status}", status >= 500 or status in _AGAIN, seconds)


def _mail(settings: AlertSettings, change: AlertChange) -> Failure | None:
    try:
        with _connected(settings) as server:
            refused = server.send_message(_message(settings, change))
    except SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        return Failure(f"no receiver is taken ({codes})", again=any(400 <= code < 500 for code in codes))
    except SMTPResponseException as error:
        said = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else ""
        return Failure(f"the mail server answered {error.smtp_code} {said[:200]}", error.smtp_code < 500)
    except (SMTPException, OSError) as error:  # OSError: no connection, no name, no time, no certificate
        return Failure(f"{type(error).__name__}: {error}"[:300], again=True)
    if refused:
        return Failure(f"some receivers are not taken: {', '.join(refused)}", again=False)
    return None


def _connected(settings: AlertSettings) -> SMTP:
    place = settings.smtp_host, settings.smtp_port
    if settings.smtp_security == "tls":
        server: SMTP = SMTP_SSL(*place, timeout=TIMEOUT, context=ssl.create_default_context())
    else:
        server = SMTP(*place, timeout=TIMEOUT)
    try:
        if settings.smtp_security == "starttls":
            server.starttls(context=ssl.create_default_context())
        if settings.smtp_user:
            server.login(settings.smtp_user, settings.smtp_password)
    except BaseException:
        server.close()
        raise
    return server


def _message(settings: AlertSettings, change: AlertChange) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = settings.sender, ", ".join(settings.email)
    message["Subject"], message["Date"] = headline(change), format_datetime(change.at)
    # The same in every attempt, by which mail servers and readers know a repeated one.
    message["Message-ID"] = f"<{change_id(change)}@mlplatform>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(f"{headline(change)}\n\n{body(change)}\n")
    return message
