"""Where alerts are sent to, as settings of a deployment. It must not send anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import urlsplit

from mlplatform.crosscutting.alerting.alert import SEVERITIES, Severity
from mlplatform.errors import ConfigurationError

Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True)
class AlertSettings:
    """Values of one deployment; a target without an address is off. Addresses and passwords are secrets."""

    webhook: str = field(default="", repr=False)
    """URL that JSON is posted to (MLPLATFORM_ALERT_WEBHOOK)."""
    secret: str = field(default="", repr=False)
    """Signs it (MLPLATFORM_ALERT_WEBHOOK_SECRET, default: MLPLATFORM_WEBHOOK_SECRET)."""
    slack: str = field(default="", repr=False)
    """Incoming-webhook URL of Slack, or of what understands its format (MLPLATFORM_ALERT_SLACK)."""
    email: tuple[str, ...] = ()
    """Receivers (MLPLATFORM_ALERT_EMAIL, with commas)."""
    sender: str = "mlplatform@localhost"
    """Sender of mails (MLPLATFORM_ALERT_EMAIL_FROM)."""
    smtp_host: str = "localhost"
    smtp_port: int = 587
    """Mail server (MLPLATFORM_ALERT_SMTP=host:port, default localhost:587)."""
    smtp_security: Security = "starttls"
    """MLPLATFORM_ALERT_SMTP_SECURITY=starttls|tls|none; without it no password is sent."""
    smtp_user: str = ""
    """MLPLATFORM_ALERT_SMTP_USER; empty: the server wants no login."""
    smtp_password: str = field(default="", repr=False)
    """MLPLATFORM_ALERT_SMTP_PASSWORD."""
    least: Severity = "warning"
    """The least severity that is sent (MLPLATFORM_ALERT_LEAST=info|warning|critical); the topic has all."""

    @classmethod
    def load(cls, env: Mapping[str, str]) -> "AlertSettings":
        """Read them from the environment.

        Raises
        ------
        ConfigurationError
            if one is not as described above; secrets are not repeated.
        """
        host, port = _address(env.get("MLPLATFORM_ALERT_SMTP", "localhost:587"))
        return cls(
            webhook=_url(env, "MLPLATFORM_ALERT_WEBHOOK"),
            secret=env.get("MLPLATFORM_ALERT_WEBHOOK_SECRET", "") or env.get("MLPLATFORM_WEBHOOK_SECRET", ""),
            slack=_url(env, "MLPLATFORM_ALERT_SLACK"),
            email=_mailboxes(env, "MLPLATFORM_ALERT_EMAIL", ""),
            sender=_mailboxes(env, "MLPLATFORM_ALERT_EMAIL_FROM", "mlplatform@localhost")[0],
            smtp_host=host,
            smtp_port=port,
            smtp_security=cast(
                Security,
                _choice(env, "MLPLATFORM_ALERT_SMTP_SECURITY", "starttls", ("starttls", "tls", "none")),
            ),
            smtp_user=env.get("MLPLATFORM_ALERT_SMTP_USER", ""),
            smtp_password=env.get("MLPLATFORM_ALERT_SMTP_PASSWORD", ""),
            least=cast(Severity, _choice(env, "MLPLATFORM_ALERT_LEAST", "warning", SEVERITIES)),
        )


def _url(env: Mapping[str, str], name: str) -> str:
    text = env.get(name, "").strip()
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ConfigurationError(f"{name} is no http or https URL (it is not repeated, it may be a secret).")
    return text


def _mailboxes(env: Mapping[str, str], name: str, default: str) -> tuple[str, ...]:
    words = tuple(word for each in (env.get(name, "") or default).split(",") if (word := each.strip()))
    for word in words:
        before, at, after = word.rpartition("@")
        if not (before and at and after) or any(not " " < sign < "\x7f" for sign in word):
            raise ConfigurationError(
                f"{name} has {word!r}; allowed: addresses such as ops@example.org, with commas between."
            )
    return words


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ConfigurationError(
            f"MLPLATFORM_ALERT_SMTP is {text!r}; allowed: host:port.", hint="Such as mail.example.org:587."
        )
    return host, int(port)


def _choice(env: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    text = env.get(name, "") or default
    if text not in allowed:
        raise ConfigurationError(f"{name} is {text!r}; allowed: {', '.join(allowed)}.")
    return text
