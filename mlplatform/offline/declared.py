"""A use case as declared: its folder read, its parts checked against each other.

It must not build Dagster objects; `use_case.py` and `assets/` do, from what is found here.
"""

import hashlib
import importlib.util
import sys
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
from mlplatform.sources._contract import Source
from mlplatform.stages.preparation.declarations import (
    Agg,
    Feature,
    FeatureSet,
    Last,
    Open,
    columns_of,
    key_columns,
    sources_of,
)
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
                f"{self.config.features} in {self.folder / 'features.py'} is {type(found).__name__}; "
                "allowed: a mlplatform.features.FeatureSet.",
                hint="Name the feature set in `features:`.",
            )
        return found

    def contract(self, data_set: str) -> type[dy.Schema]:
        """The dataframely schema of a data set."""
        name = self.config.data_sets[data_set].contract
        found = self._attribute(name, f"data_sets.{data_set}.contract")
        if not (isinstance(found, type) and issubclass(found, dy.Schema)):
            raise ConfigurationError(
                f"{name} in {self.folder / 'features.py'} is not a dataframely schema.",
                hint=f"Write `class {name}(dy.Schema)` with a column per delivered column.",
            )
        return found

    def clean(self, data_set: str) -> Clean:
        """The cleaning function of a data set."""
        name = self.config.data_sets[data_set].clean
        found = self._attribute(name, f"data_sets.{data_set}.clean")
        if not callable(found):
            raise ConfigurationError(
                f"{name} in {self.folder / 'features.py'} is not a function.",
                hint=f"Write `def {name}(rows: pl.DataFrame) -> pl.DataFrame`.",
            )
        clean: Clean = found
        return clean

    def source(self, data_set: str) -> Source:
        """The opened source of a data set."""
        config = self.config.data_sets[data_set]
        plugin = plugins.find(sources, config.source)
        try:
            source: Source = plugin.open(self.folder, **config.options)
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
            public = [n for n in vars(self.module) if not n.startswith("_")]
            raise ConfigurationError(
                f"{key} is {name!r}, but {self.folder / 'features.py'} has no such name; "
                f"it has: {', '.join(sorted(public)[:20])}.",
                hint="Check the spelling, or define it there.",
            )
        return getattr(self.module, name)


def declare(folder: Path, config: UseCaseConfig) -> Declared:
    """Load `features.py` of a use case and check everything it and the configuration say of each other.

    Raises
    ------
    ConfigurationError
        at the first contradiction, with what was got and what is allowed.
    """
    declared = Declared(_name(folder), folder, config, load_features(folder))
    for data_set in config.data_sets:
        declared.contract(data_set)
        declared.clean(data_set)
        declared.source(data_set)
    feature_set = declared.feature_set
    for table in declared.feature_tables:
        if table not in config.data_sets:
            raise ConfigurationError(
                f"feature set {feature_set.name!r} reads table {table!r}; "
                f"data sets: {', '.join(config.data_sets)}.",
                hint="Declare it under data_sets, or correct the table's name in features.py.",
            )
    if not config.data_sets[feature_set.spine.table].daily:
        raise ConfigurationError(
            f"the spine is table {feature_set.spine.table!r}, which is not daily.",
            hint="Questions come day by day: set daily: true.",
        )
    for feature in feature_set.features:
        _check_known(feature, config)
    _check_names(declared)
    return declared


def load_features(folder: Path) -> ModuleType:
    """Import `features.py` of a use case's folder.

    Raises
    ------
    ConfigurationError
        if it is missing or fails; the message names the line.
    """
    file = folder / "features.py"
    if not file.exists():
        raise ConfigurationError(f"{file} does not exist.", hint="A use case has defs.yaml and features.py.")
    name = f"mlplatform_use_case_{_name(folder)}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{file} cannot be imported.", hint="It must be a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(f"{_where(error, file)}: {type(error).__name__}: {error}") from error
    return module


def _where(error: BaseException, file: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f"{file}:{error.lineno}"
    lines = []
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == str(file):
            lines.append(traceback.tb_lineno)
        traceback = traceback.tb_next
    return f"{file}:{lines[-1]}" if lines else str(file)


def _check_known(feature: Feature, config: UseCaseConfig) -> None:
    """Refuse a feature that reads a column by a clock that runs before the column is known."""
    for source in sources_of(feature):
        known = config.data_sets[source.table].known if source.table in config.data_sets else {}
        clock_of = {column: clock for clock, columns in known.items() for column in columns}
        for column in _values_read(feature, source.name):
            clock = clock_of.get(column)
            if clock is not None and clock != source.at:
                raise ConfigurationError(
                    f"feature {feature.name!r} reads {column!r} of {source.table!r} by the clock "
                    f"{source.at!r}, but it is known only from {clock!r} on: it would see the future.",
                    hint=f"Read it from a source with at={clock!r}, or correct "
                    f"data_sets.{source.table}.known.",
                )


def _values_read(feature: Feature, source: str) -> set[str]:
    match feature:
        case Agg() | Last():
            return {*key_columns(feature.by), *([feature.value] if feature.value else [])}
        case Open():
            if source == feature.until.name:
                return {feature.value} if feature.value else set()
            return set(key_columns(feature.by))
        case _:
            return set()


def _check_names(declared: Declared) -> None:
    names = declared.feature_set.names
    for name in declared.config.drift.report:
        if name not in names:
            raise ConfigurationError(
                f"drift.report names {name!r}, which is no feature of {declared.feature_set.name!r}.",
                hint=f"Its features begin with {', '.join(names[:8])}.",
            )
    facts = declared.feature_set.spine.facts
    unknown = [name for name in declared.config.example if name not in facts]
    if unknown:
        raise ConfigurationError(
            f"example has {', '.join(unknown)}; facts of the spine: {', '.join(facts)}.",
            hint="An example is one question: a value per fact.",
        )


def _name(folder: Path) -> str:
    name = folder.name
    if not (name.isidentifier() and name.islower()):
        raise ConfigurationError(
            f"the use case's folder is called {name!r}; allowed: lower-case letters, digits and underscores.",
            hint="Rename the folder; its name is the name of the use case.",
        )
    return name


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
