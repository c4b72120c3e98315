"""The partitions of a use case: days of data, dates of training, months of monitoring."""

from datetime import date, timedelta

from dagster import DailyPartitionsDefinition, MonthlyPartitionsDefinition, StaticPartitionsDefinition

from mlplatform.offline.declared import Declared


def days(declared: Declared) -> DailyPartitionsDefinition:
    """One partition per day of data, both ends included."""
    config = declared.config.days
    return DailyPartitionsDefinition(str(config.first), end_date=str(config.last + timedelta(days=1)))


def training_dates(declared: Declared) -> StaticPartitionsDefinition:
    """The dates a model may be trained as of: every day that has days of data before it.

    `mlplatform run` uses the declared one only.
    """
    return StaticPartitionsDefinition(declared.days()[1:])


def days_to_score(declared: Declared) -> DailyPartitionsDefinition:
    """One partition per day after training."""
    config = declared.config
    return DailyPartitionsDefinition(
        str(config.split.as_of), end_date=str(config.days.last + timedelta(days=1))
    )


def observed_days(declared: Declared) -> DailyPartitionsDefinition:
    """One partition per UTC day of questions: the day of a row, or the one before or after it."""
    config = declared.config.days
    return DailyPartitionsDefinition(
        str(config.first - timedelta(days=1)), end_date=str(config.last + timedelta(days=2))
    )


def months(declared: Declared) -> MonthlyPartitionsDefinition:
    """One partition per calendar month that has days after training; its key is the first of the month."""
    starts = _month_starts(declared.config.split.as_of, declared.config.days.last)
    return MonthlyPartitionsDefinition(str(starts[0]), end_date=str(_next_month(starts[-1])))


def scored_days(declared: Declared) -> list[str]:
    """The days after training, which the champion scores."""
    return declared.days(first=declared.config.split.as_of)


def scored_months(declared: Declared) -> list[str]:
    """The months of those days."""
    return list(dict.fromkeys(f"{day[:7]}-01" for day in scored_days(declared)))


def days_of_month(declared: Declared, month: str) -> tuple[str, str]:
    """First and last day after training in the month that begins on `month`."""
    start = date.fromisoformat(month)
    last = _next_month(start) - timedelta(days=1)
    config = declared.config
    return str(max(start, config.split.as_of)), str(min(last, config.days.last))


def _month_starts(first: date, last: date) -> list[date]:
    starts = [first.replace(day=1)]
    while _next_month(starts[-1]) <= last:
        starts.append(_next_month(starts[-1]))
    return starts


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
