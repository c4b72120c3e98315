"""An alert as a person, Slack or a program reads it. It must not send it."""

from typing import Any

import msgspec

from mlplatform.crosscutting.alerting.alert import AlertChange
from mlplatform.crosscutting.bus.contract import event_id

_WORDS = {"raised": "", "worsened": "worse: ", "cleared": "over: "}


def change_id(change: AlertChange) -> str:
    """Names a change to whoever may get it twice; the same in every attempt."""
    alert = change.alert
    return event_id("alert-raised", alert.use_case, alert.kind, alert.subject, change.number, str(change.at))


def headline(change: AlertChange) -> str:
    """One line."""
    alert = change.alert
    line = f"[{alert.severity}] {_WORDS[change.action]}{alert.use_case}: {alert.kind} of {alert.subject}"
    return " ".join(line.split())[:200]


def body(change: AlertChange) -> str:
    """Cause, remedy and figures, a paragraph each; of an alert that is over, why."""
    alert = change.alert
    parts = [alert.cause]
    if change.action == "cleared":
        parts = [f"It is over: {change.why or 'no reason was given'}", f"It was: {alert.cause}"]
        if change.repeats:
            parts.append(f"It was seen {change.repeats + 1} times.")
    else:
        parts.append(f"What to do: {alert.remedy}")
    if alert.figures:
        parts.append("\n".join(f"{name}: {value:.6g}" for name, value in sorted(alert.figures.items())))
    parts.append(
        f"At {change.at:%Y-%m-%d %H:%M:%S} UTC; change {change.number} of `mlplatform alerts --all`."
    )
    return "\n\n".join(parts)


def document(change: AlertChange) -> dict[str, Any]:
    """For programs: what a webhook gets, and `mlplatform alerts --json` prints."""
    alert = msgspec.to_builtins(change.alert)
    return {
        "id": change_id(change),
        "number": change.number,
        "action": change.action,
        **alert,
        "changed_at": msgspec.to_builtins(change.at),
        "why": change.why,
        "repeats": change.repeats,
    }


def slack(change: AlertChange) -> dict[str, str]:
    """For Slack, and whatever understands its incoming webhooks."""
    return {"text": f"*{_escaped(headline(change))}*\n{_escaped(body(change))}"}


def _escaped(text: str) -> str:
    """Slack reads these three signs as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
