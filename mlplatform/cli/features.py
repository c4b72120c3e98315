"""`mlplatform features`: what a use case declares for its model, in words.

It must not compute a feature: types are those of the declaration and, once there are tables, of these.
"""

from contextlib import closing
from typing import Any

import msgspec
import polars as pl
from rich.console import Console
from rich.table import Table

from mlplatform.cli.app import Json, UseCaseName, app, use_case_folder
from mlplatform.cli.output import emit, out
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.declared import Declared, needed_columns
from mlplatform.stages.preparation.batch import compute
from mlplatform.stages.preparation.declarations import (
    Agg,
    Category,
    Feature,
    FeatureSet,
    Last,
    Open,
    Row,
    described,
)
from mlplatform.stores.lake import Lake

UNKNOWN = "unknown"
"""Type of what is taken from a table that does not exist yet."""

_KINDS: dict[str, pl.DataType] = {
    "string": pl.String(),
    "int": pl.Int64(),
    "float": pl.Float64(),
    "bool": pl.Boolean(),
    "time": pl.Datetime("us", "UTC"),
}


@app.command()
def features(use_case: UseCaseName, json: Json = False) -> None:
    """List the features of a use case: kind, type and definition of each, and the id of their set."""
    declared = project.load(use_case_folder(use_case))
    feature_set = declared.feature_set
    types = types_of(declared, Settings.load())
    listed = [_listed(feature, types[feature.name]) for feature in feature_set.features]
    if json:
        emit({"use_case": declared.name, "feature_set": feature_set.id, "features": listed})
        return
    table = Table("feature", "kind", "type", "definition", header_style="bold", title_justify="left")
    for row in listed:
        table.add_row(row["name"], row["kind"], row["type"], row["definition"], style=_style(row))
    # Where the output goes to a file or another program, nothing is to be cut off.
    (out if out.is_terminal else Console(highlight=False, width=180)).print(table)
    steps = sum(row["step"] for row in listed)
    out.print(f"{feature_set.id}: {len(listed) - steps} features, {steps} steps for others", markup=False)


def types_of(declared: Declared, settings: Settings) -> dict[str, str]:
    """Per feature, steps included, what its values are: int, float, string, bool, time, or `unknown`.

    Features of no rows have the types of all rows; without the tables' types the declaration has to do.
    """
    feature_set = declared.feature_set
    everything = tuple(feature.name for feature in feature_set.features)
    whole = msgspec.structs.replace(feature_set, selected=everything)
    tables = _empty_tables(declared, settings)
    if tables is None:
        return _declared_types(feature_set)
    schema = compute(whole, tables[feature_set.spine.table], tables).schema
    return {name: _spelled(schema[name]) for name in everything}


def _listed(feature: Feature, kind: str) -> dict[str, Any]:
    return {
        "name": feature.name,
        "kind": type(feature).__name__,
        "type": kind,
        "definition": described(feature),
        "step": _is_step(feature.name),
    }


def _is_step(name: str) -> bool:
    return name.startswith("_")


def _style(row: dict[str, Any]) -> str:
    return "dim" if row["step"] else ""


def _empty_tables(declared: Declared, settings: Settings) -> dict[str, pl.DataFrame] | None:
    """The cleaned tables that features read, without rows; None as long as one does not exist."""
    with closing(Lake.from_settings(settings)) as lake:
        found = set(lake.tables(declared.name))
        if not found.issuperset(declared.feature_tables):
            return None
        return {name: _empty(lake, declared, name) for name in declared.feature_tables}


def _empty(lake: Lake, declared: Declared, name: str) -> pl.DataFrame:
    rows = lake.sql(f"SELECT * FROM {declared.table(name)} LIMIT 0")
    return rows.select(needed_columns(declared, name))


def _declared_types(feature_set: FeatureSet) -> dict[str, str]:
    """The types that follow from the declaration alone."""
    spine = feature_set.spine
    known: dict[str, str] = {**spine.facts, "as_of": "time"}
    for feature in feature_set.features:
        reads = feature.expression.columns() if isinstance(feature, Row) else set()
        if isinstance(feature, Row) and not any(known[name] == UNKNOWN for name in reads):
            frame = pl.DataFrame(schema={name: _KINDS[known[name]] for name in reads})
            known[feature.name] = _spelled(frame.select(feature.expression.polars()).dtypes[0])
        else:
            known[feature.name] = _declared_type(feature)
    return {feature.name: known[feature.name] for feature in feature_set.features}


def _declared_type(feature: Feature) -> str:
    match feature:
        case Agg(fn="count") | Open(fn="count") | Last(value="age"):
            return "int"
        case Agg(fn="mean" | "std") | Open():
            return "float"
        case Agg(scale=scale):
            return "int" if scale == 1 else "float"
        case Category():
            return "string"
        case _:
            return UNKNOWN


def _spelled(kind: pl.DataType) -> str:
    if kind.is_integer():
        return "int"
    if kind.is_float():
        return "float"
    return next((name for name, each in _KINDS.items() if kind == each), str(kind).lower())
