"""Alerts: what one is, and how its text looks to a person, to Slack, to a mail reader and to a program.

Where alerts rest is `stores/alerts.py`, who sends them out is `offline/alert_delivery.py`.
"""

from mlplatform.crosscutting.alerting.alert import PLATFORM, Alert, AlertChange, OpenAlert, Severity

__all__ = ["PLATFORM", "Alert", "AlertChange", "OpenAlert", "Severity"]
