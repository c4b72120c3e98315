"""The partitions of a use case: days of data, dates of training, months of monitoring."""

from datetime import date, timedelta

from dagster import DailyPartitionsDefinition, MonthlyPartitionsDefinition, StaticPartitionsDefinition

from mlplatform.offline.declared import Declared


def days(declared: Declared) -> DailyPartitionsDefinition:
    """One partition per day of data, both ends included."""
    config = declared.config.days
    return DailyPartitionsDefinition(str(config.first), end_date=str(config.last + timedelta(days=1)))


def training_dates(declared: Declared) -> StaticPartitionsDefinition:
    """The dates a model can be trained as of: every first of a month with data before it, and the
    declared one."""
    config = declared.config.days
    firsts = {month for month in _month_starts(config.first, config.last) if month > config.first}
    return StaticPartitionsDefinition(sorted(str(day) for day in firsts | {declared.config.split.as_of}))


def months(declared: Declared) -> MonthlyPartitionsDefinition:
    """One partition per calendar month that has days of data; its key is the first of the month."""
    starts = _month_starts(declared.config.days.first, declared.config.days.last)
    return MonthlyPartitionsDefinition(str(starts[0]), end_date=str(_next_month(starts[-1])))


def scored_days(declared: Declared) -> list[str]:
    """The days after training, which the champion scores."""
    return declared.days(first=declared.config.split.as_of)


def scored_months(declared: Declared) -> list[str]:
    """The months of those days."""
    return list(dict.fromkeys(f"{day[:7]}-01" for day in scored_days(declared)))


def days_of_month(declared: Declared, month: str) -> tuple[str, str]:
    """First and last day of data in the month that begins on `month`."""
    start = date.fromisoformat(month)
    last = _next_month(start) - timedelta(days=1)
    config = declared.config.days
    return str(max(start, config.first)), str(min(last, config.last))


def _month_starts(first: date, last: date) -> list[date]:
    starts = [first.replace(day=1)]
    while _next_month(starts[-1]) <= last:
        starts.append(_next_month(starts[-1]))
    return starts


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
