"""Sections of `defs.yaml` about data: the days there are, data sets and streams."""

from datetime import date
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, model_validator

from mlplatform import sources
from mlplatform.offline.config.section import Cron, SafeName, Section, plugin

SourceName = Annotated[str, plugin(sources)]


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"got time zone {name!r}; allowed: a name such as UTC or Europe/Vienna")
    return name


class Days(Section):
    """The daily partitions, both ends included."""

    first: date
    last: date

    @model_validator(mode="after")
    def _ordered(self) -> "Days":
        if self.last < self.first:
            raise ValueError(f"last ({self.last}) is before first ({self.first})")
        return self


class RepairRule(Section):
    """One repair of single values; exactly one of above, below, trim, upper, lower, replace, fill."""

    column: str
    above: float | None = None
    below: float | None = None
    to: str | int | float | None = None
    """What a value beyond `above` or `below` becomes: a number, "missing", or "limit" (the bound itself)."""
    trim: bool = False
    upper: bool = False
    lower: bool = False
    replace: dict[str | int | float, str | int | float | bool | None] | None = None
    fill: str | int | float | bool | None = None


class ConditionLimit(Section):
    """What a column of a partition may be; shown in the UI as the check `condition`."""

    column: str = "*"
    max_missing: float | None = Field(default=None, ge=0, le=1)
    max_outliers: float | None = Field(default=None, ge=0, le=1)
    max_odd_formats: float | None = Field(default=None, ge=0, le=1)
    max_trend: float | None = Field(default=None, gt=0)
    min_rows: int | None = Field(default=None, ge=0)
    severity: Literal["warn", "block"] = "warn"


class DataSet(Section):
    """One data set: its source, its contract, and how it is cleaned."""

    source: SourceName
    options: dict[str, Any] = {}
    """What the source is told (see the source's `open`)."""
    daily: bool = True
    """True: one partition a day; false: one table as a whole (a register, a list)."""
    contract: str = ""
    """Name of the dataframely schema in features.py; without one the data set is schema-less documents."""
    clean: str = ""
    """Name of the function in features.py: raw frame (and the frames of `reads`) in, cleaned frame out."""
    reads: list[SafeName] = []
    """Other data sets whose cleaned tables the function takes, in this order; they must not be daily."""
    known: dict[str, list[str]] = {}
    """Time column -> columns that are known only from that time on; the others are known beforehand."""
    schedule: Cron = ""
    """When to ingest the newest day: cron, five fields, UTC. Empty: only when a message says so."""
    event_time: str = ""
    """The raw column (ISO 8601) of the rows' own times, which a batch's manifest gives the range of."""
    column_order: Literal["declared", "any"] = "declared"
    """Whether a delivery's columns may come in another order than the contract's."""
    allow_empty: bool = False
    """Whether a delivery may have no rows."""
    most_rejected: float = Field(default=0.1, ge=0, le=1)
    """Share of a partition's rows that may break the contract; beyond it the whole delivery is refused."""
    repairs: list[RepairRule] = []
    """Repairs of single values, done in this order before `clean` and counted."""
    condition: list[ConditionLimit] = []
    """Limits of the data's condition, each a warning or a block."""
    accept: list[str] = []
    """Beginnings of the URIs that a message may name as the place of a delivery."""

    @model_validator(mode="after")
    def _whole(self) -> "DataSet":
        if bool(self.contract) != bool(self.clean):
            have, lack = ("contract", "clean") if self.contract else ("clean", "contract")
            raise ValueError(f"has {have} but no {lack}; allowed: both, or neither (schema-less documents)")
        return self


class Stream(Section):
    """Events that come one by one, by HTTP or the broker; schema-less documents."""

    description: str = ""
    feed: str = ""
    """Name of the function in features.py that gives past data as such events, for `mlplatform replay`."""
    sources: dict[str, str] = {}
    """Event's `type` -> name of the Source in features.py whose row it is; others are only archived."""
    day_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """Time zone in which the days of the batch tables begin, e.g. America/New_York."""
