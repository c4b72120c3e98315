"""Sections of `defs.yaml` about the question: the label, and which rows are one answer."""

from typing import Annotated

from pydantic import Field

from mlplatform.offline.config.section import OneOrMore, Section


class Label(Section):
    """The outcome that is predicted: a column of the spine's cleaned table.

    True/false in classification, a number in regression and forecasting, a relevance >= 0 in ranking.
    """

    column: str
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Classification: from this probability on the class is true."""


class Lists(Section):
    """Ranking: which rows are the alternatives of one question."""

    by: Annotated[list[str], OneOrMore, Field(min_length=1)]
    """Columns of the spine's key that are equal in one list."""
    at_least: int = Field(default=2, ge=1)
    """Lists with fewer alternatives are not judged: there is nothing to rank."""
    worth: str = ""
    """A column of the spine's table in people's unit: its mean over the first places is told."""


class Series(Section):
    """Forecasting: which rows form one series, and which of them one forecast."""

    by: Annotated[list[str], OneOrMore] = []
    """Columns of the spine's key that tell the series apart; none: there is one."""
    time: str
    """Column of the spine's key: the moment a row's value is of."""
    start: str
    """Column of the spine's key: the moment from which a forecast runs."""
    step: str = "1h"
    steps: int = Field(ge=1, le=1000)
    """Values of one forecast."""
    season: str = "24h"
    """After which the series repeats: forecasts are judged against the value one season ago."""
