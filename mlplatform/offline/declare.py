"""Makes a use case's declaration: imports its features.py and checks what it and defs.yaml say of each other.

It must not import Dagster, nor look at data.
"""

import difflib
import re
from pathlib import Path

from mlplatform.crosscutting.alerting.alert import PLATFORM
from mlplatform.errors import ConfigurationError
from mlplatform.offline.config import UseCaseConfig
from mlplatform.offline.declared import Declared
from mlplatform.offline.features_file import import_file
from mlplatform.stages.preparation.declarations import (
    Agg,
    Feature,
    FeatureSet,
    Last,
    Open,
    key_columns,
    sources_of,
)
from mlplatform.stages.preparation.repairs import check_repair

OWN_COLUMNS = {"as_of", "class", "day", "label", "model", "part", "score", "split_id", "version"}
"""Names that tables of splits and scores have beside the key."""


def declare(folder: Path, config: UseCaseConfig) -> Declared:
    """Load `features.py` of a use case and check everything it and the configuration say of each other.

    Raises
    ------
    ConfigurationError
        at the first contradiction, with what was got and what is allowed.
    """
    name = _name(folder)
    module = import_file(folder / "features.py", f"mlplatform_use_case_{name}")
    declared = Declared(name, folder, config, module)
    for data_set in config.data_sets:
        if data_set in declared.tables:
            declared.contract(data_set)
            declared.clean(data_set)
        declared.source(data_set)
        _check_event_time(declared, data_set)
        _check_condition(declared, data_set)
    _check_feeds(declared)
    _check_stream_sources(declared)
    _check_types(declared)
    _check_tables(declared)
    for feature in declared.feature_set.features:
        _check_known(feature, declared)
    _check_question(declared)
    _check_output(declared)
    _check_entity(declared)
    _check_names(declared)
    return declared


def _check_event_time(declared: Declared, data_set: str) -> None:
    name, schema = declared.config.data_sets[data_set].event_time, declared.rules(data_set).schema
    if name and name not in schema:
        raise ConfigurationError(
            f"data_sets.{data_set}.event_time is {name!r}; allowed: a column of its contract "
            f"({', '.join(schema)}).",
            hint="Name the column that holds the time of a row, or leave it out.",
        )


def _check_condition(declared: Declared, data_set: str) -> None:
    """Repairs and limits name columns of the contract, and fit them."""
    config, schema = declared.config.data_sets[data_set], declared.rules(data_set).schema
    for repair in declared.repairs(data_set):
        try:
            check_repair(repair, schema)
        except ConfigurationError as error:
            raise ConfigurationError(f"data_sets.{data_set}.repairs: {error}", hint=error.hint) from error
    try:
        declared.limits(data_set)
    except ConfigurationError as error:
        raise ConfigurationError(f"data_sets.{data_set}.condition: {error}", hint=error.hint) from error
    for limit in config.condition:
        if limit.column not in ("*", *schema):
            raise ConfigurationError(
                f"data_sets.{data_set}.condition has column {limit.column!r}; allowed: * or a column of the "
                f"contract ({', '.join(schema)}).",
                hint="Check the spelling.",
            )


def _check_feeds(declared: Declared) -> None:
    for name, stream in declared.config.streams.items():
        if stream.feed and not callable(getattr(declared.module, stream.feed, None)):
            raise ConfigurationError(
                f"streams.{name}.feed is {stream.feed!r}; allowed: a function of {declared.file}.",
                hint="It takes the cleaned tables by name and yields events in the order they became known.",
            )


def _check_stream_sources(declared: Declared) -> None:
    """Events are rows of sources that features read; of another one they would be lost without a word."""
    known = [source.name for source in declared.feature_set.sources]
    for name, stream in declared.config.streams.items():
        for kind, source in stream.sources.items():
            if source not in known:
                close = difflib.get_close_matches(source, known, n=1)
                raise ConfigurationError(
                    f"streams.{name}.sources.{kind} is {source!r}; allowed: a source that a feature reads "
                    f"({', '.join(known)}).",
                    hint=f"Did you mean {close[0]!r}?" if close else "Correct it, or leave the type out.",
                )


def _check_types(declared: Declared) -> None:
    """Refuse what features.py wrote in a place of another type; Python itself does not."""
    feature_set = declared.feature_set
    try:
        FeatureSet.from_json(feature_set.to_json())
    except (ConfigurationError, TypeError, ValueError) as error:
        said = str(error.__cause__ or error).rstrip(".")
        at = re.search(r"\$\.features\[(\d+)\]", said)
        which = f"feature {feature_set.features[int(at[1])].name!r}: " if at else ""
        raise ConfigurationError(
            f"{declared.place}: {which}{said}.",
            hint="Every field has its type: see mlplatform/stages/preparation/declarations.py.",
        ) from error


def _check_tables(declared: Declared) -> None:
    feature_set, data_sets = declared.feature_set, declared.tables
    for table in declared.feature_tables:
        if table not in data_sets:
            raise ConfigurationError(
                f"{declared.place}: feature set {feature_set.name!r} reads table {table!r}; "
                f"allowed: the data sets {', '.join(data_sets)}.",
                hint="Declare it under data_sets, or correct the table's name in features.py.",
            )
    if not data_sets[feature_set.spine.table].daily:
        raise ConfigurationError(
            f"data_sets.{feature_set.spine.table}.daily is false, but it is the table of the spine.",
            hint="Questions come day by day: set daily: true.",
        )
    for table in feature_set.statics:
        if data_sets[table].daily:
            raise ConfigurationError(
                f"{declared.place}: Static reads {table!r}, whose rows come day by day; "
                f"allowed: {', '.join(declared.static) or 'data sets with daily: false'}.",
                hint="A column that changes with time is read with Last or Agg, by a clock.",
            )


def _check_question(declared: Declared) -> None:
    """A question is made of facts known when it is asked; its answer is known later."""
    spine, label = declared.feature_set.spine, declared.config.target
    known = declared.config.data_sets[spine.table].known
    clock_of = {column: clock for clock, columns in known.items() for column in columns}
    if taken := sorted(OWN_COLUMNS & set(spine.key)):
        raise ConfigurationError(
            f"{declared.place}: the spine's key has {', '.join(taken)}; allowed: any name but "
            f"{', '.join(sorted(OWN_COLUMNS))}, columns that the platform adds to the key.",
            hint="Give the column another name where the table is cleaned.",
        )
    for fact in spine.facts:
        if fact in clock_of:
            raise ConfigurationError(
                f"{declared.place}: fact {fact!r} of the spine is known only from {clock_of[fact]!r} on: "
                "it would see the future.",
                hint=f"Take it out of the facts, or correct data_sets.{spine.table}.known.",
            )
    if label is not None and label not in clock_of:
        raise ConfigurationError(
            f"label.column is {label!r}; allowed: a column that data_sets.{spine.table}.known lists "
            f"({', '.join(clock_of) or 'it lists none'}).",
            hint="An outcome is known only later: list it under the time column that says when, "
            "or features could read it too early.",
        )


def _check_output(declared: Declared) -> None:
    """A list or a forecast is told by columns of the key, which are facts: a server has nothing else."""
    output, spine = declared.config.output, declared.feature_set.spine
    for name in dict.fromkeys([*output.together, *([output.time] if output.time else [])]):
        if name not in spine.key or name not in spine.facts:
            raise ConfigurationError(
                f"{declared.place}: task {output.task} is told by {name!r}; allowed: columns of the spine's "
                f"key that are facts ({', '.join(n for n in spine.key if n in spine.facts) or 'none'}).",
                hint="Add it to key and facts of the Spine.",
            )
    for name in filter(None, (output.time, output.start)):
        if spine.facts[name] != "time":
            raise ConfigurationError(
                f"{declared.place}: series names {name!r}, a fact of type {spine.facts[name]}; allowed: "
                "a fact of type time.",
                hint="A forecast runs over moments in UTC.",
            )


def _check_entity(declared: Declared) -> None:
    """The entity is told by facts; rows of one answer share them, so that one version gives it."""
    facts, together = declared.feature_set.spine.facts, declared.config.output.together
    allowed = together or tuple(facts)
    for name in declared.config.serving.entity:
        if name not in allowed:
            close = difflib.get_close_matches(name, allowed, n=1)
            said = "a fact that the rows of one answer share" if together else "a fact of the spine"
            raise ConfigurationError(
                f"serving.entity names {name!r}; allowed: {said} ({', '.join(allowed)}).",
                hint=f"Did you mean {close[0]!r}?" if close else "Name facts, or leave it out.",
            )


def _check_known(feature: Feature, declared: Declared) -> None:
    """Refuse a feature that reads a column by a clock that runs before the column is known."""
    for source in sources_of(feature):
        known = declared.config.data_sets[source.table].known
        clock_of = {column: clock for clock, columns in known.items() for column in columns}
        for column in _values_read(feature, source.name):
            clock = clock_of.get(column)
            if clock is not None and clock != source.at:
                raise ConfigurationError(
                    f"{declared.place}: feature {feature.name!r} reads {column!r} of {source.table!r} by "
                    f"the clock {source.at!r}, but it is known only from {clock!r} on: it would see the "
                    "future.",
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
    example = declared.config.example
    told = example if isinstance(example, list) else [example]
    unknown = sorted({name for row in told for name in row if name not in facts})
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
    if name == PLATFORM:
        raise ConfigurationError(
            f"the use case's folder is called {name!r}; allowed: any other name.",
            hint="Alerts and the health page of the whole deployment have this one: rename the folder.",
        )
    return name
