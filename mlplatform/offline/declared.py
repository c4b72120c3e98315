"""A use case as declared: its folder read, its parts checked against each other.

`declare.py` makes it and checks it. It must not build Dagster objects; `use_case.py` and `assets/` do.
"""

import difflib
import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import dataframely as dy
import msgspec
import polars as pl

from mlplatform import plugins, sources
from mlplatform.errors import ConfigurationError
from mlplatform.offline.config import DataSet, UseCaseConfig
from mlplatform.offline.features_file import line_of
from mlplatform.sources._contract import Source
from mlplatform.stages.ingestion.batch import Rules
from mlplatform.stages.preparation.declarations import (
    FeatureSet,
    columns_of,
)
from mlplatform.stages.preparation.limits import Limits
from mlplatform.stages.preparation.repairs import Repair
from mlplatform.stores.lake import Table

Clean = Callable[..., pl.DataFrame]


@dataclass(frozen=True)
class Declared:
    """One use case: the folder's name, its configuration, and its features.py."""

    name: str
    folder: Path
    config: UseCaseConfig
    module: ModuleType

    @cached_property
    def feature_set(self) -> FeatureSet:
        """The FeatureSet that features.py declares."""
        found = self._attribute(self.config.features, "features")
        if not isinstance(found, FeatureSet):
            raise ConfigurationError(
                f"features is {self.config.features!r}, in {self.file} a {type(found).__name__}; "
                "allowed: a mlplatform.features.FeatureSet.",
                hint="Name the feature set in `features:`.",
            )
        return found

    @property
    def file(self) -> Path:
        """The features.py of this use case."""
        return self.folder / "features.py"

    @property
    def place(self) -> str:
        """File and line of the feature set, for messages."""
        line = line_of(self.file, self.config.features)
        return f"{self.file}:{line}" if line else str(self.file)

    def contract(self, data_set: str) -> type[dy.Schema]:
        """The dataframely schema of a data set."""
        name = self.config.data_sets[data_set].contract
        found = self._attribute(name, f"data_sets.{data_set}.contract")
        if not (isinstance(found, type) and issubclass(found, dy.Schema)):
            raise ConfigurationError(
                f"data_sets.{data_set}.contract is {name!r}, in {self.file} a {type(found).__name__}; "
                "allowed: a dataframely schema.",
                hint=f"Write `class {name}(dy.Schema)` with a column per delivered column.",
            )
        return found

    def rules(self, data_set: str) -> Rules:
        """What deliveries of a data set are held to."""
        config = self.config.data_sets[data_set]
        return Rules(
            self.contract(data_set) if config.contract else None,
            any_order=config.column_order == "any",
            allow_empty=config.allow_empty,
            most_rejected=config.most_rejected,
        )

    def repairs(self, data_set: str) -> list[Repair]:
        """The declared repairs of a data set."""
        return [Repair(**rule.model_dump()) for rule in self.config.data_sets[data_set].repairs]

    def limits(self, data_set: str) -> list[Limits]:
        """The declared limits of a data set's condition."""
        return [Limits(**limit.model_dump()) for limit in self.config.data_sets[data_set].condition]

    def clean(self, data_set: str) -> Clean:
        """The cleaning function of a data set."""
        name = self.config.data_sets[data_set].clean
        found = self._attribute(name, f"data_sets.{data_set}.clean")
        if not inspect.isfunction(found):
            raise ConfigurationError(
                f"data_sets.{data_set}.clean is {name!r}, in {self.file} a {type(found).__name__}; "
                "allowed: a function.",
                hint=f"Write `def {name}(rows: pl.DataFrame) -> pl.DataFrame`.",
            )
        clean: Clean = found
        return clean

    def source(self, data_set: str) -> Source:
        """The opened source of a data set."""
        config = self.config.data_sets[data_set]
        try:
            source: Source = plugins.find(sources, config.source).open(self.folder, **config.options)
        except ConfigurationError as error:
            raise ConfigurationError(f"data_sets.{data_set}.options: {error}", hint=error.hint) from error
        except TypeError as error:
            raise ConfigurationError(
                f"data_sets.{data_set}.options do not fit source {config.source!r}: {error}.",
                hint=f"Allowed options: see `open` in mlplatform/sources/{config.source}.py.",
            ) from error
        return source

    def table(self, name: str) -> Table:
        """The lake table of this use case called `name`."""
        return Table(self.name, name)

    @property
    def daily(self) -> dict[str, DataSet]:
        """The data sets with daily partitions."""
        return {name: d for name, d in self.config.data_sets.items() if d.daily}

    @property
    def static(self) -> dict[str, DataSet]:
        """The data sets without partitions."""
        return {name: d for name, d in self.config.data_sets.items() if not d.daily}

    @property
    def tables(self) -> dict[str, DataSet]:
        """The data sets that have a contract, and so a cleaned table; the others are documents."""
        return {name: d for name, d in self.config.data_sets.items() if d.contract}

    @property
    def feature_tables(self) -> list[str]:
        """The cleaned tables that features read, the spine first."""
        tables = [self.feature_set.spine.table, *(s.table for s in self.feature_set.sources)]
        return list(dict.fromkeys([*tables, *self.feature_set.statics]))

    @property
    def warm_up_days(self) -> int:
        """How many daily partitions before a day its features reach back to."""
        return -(-self.feature_set.retention_us // 86_400_000_000) + 1

    def days(self, first: date | None = None, last: date | None = None) -> list[str]:
        """Partition keys of the days, both ends included."""
        first, last = first or self.config.days.first, last or self.config.days.last
        return [str(first + timedelta(days=n)) for n in range((last - first).days + 1)]

    def version(self, *parts: object) -> str:
        """A short hash of what decides an asset's content, its code version in Dagster."""
        text = "\n".join(str(part) for part in parts)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _attribute(self, name: str, key: str) -> Any:
        if not hasattr(self.module, name):
            own = [n for n in vars(self.module) if line_of(self.file, n)]
            close = difflib.get_close_matches(name, own, n=1)
            raise ConfigurationError(
                f"{key} is {name!r}, but {self.file} has no such name; it has: {', '.join(own)}.",
                hint=f"Did you mean {close[0]!r}?" if close else "Check the spelling, or define it there.",
            )
        return getattr(self.module, name)


def needed_columns(declared: Declared, table: str) -> list[str]:
    """Columns of a cleaned table that the features read, the spine's included."""
    spine = declared.feature_set.spine
    columns = set(columns_of(declared.feature_set.features, table))
    if table == spine.table:
        columns |= {*spine.key, *spine.facts}
    return sorted(columns)


def canonical(value: object) -> str:
    """A value as canonical JSON, for versions."""
    return msgspec.json.encode(value, order="deterministic").decode()
