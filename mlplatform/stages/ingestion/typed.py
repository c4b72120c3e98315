"""Rows of text as values of the contract's types; a value that is none sets its row aside, with the reason.

It must not read files nor apply rules; `contract.py` does the latter.
"""

from dataclasses import dataclass

import polars as pl

from mlplatform.errors import ConfigurationError, DeliveryRefused
from mlplatform.stages.ingestion.formats import LINE

REJECTED_SCHEMA = {"reason": pl.String, "line": pl.Int64, "document": pl.String}


@dataclass(frozen=True)
class Typed:
    """Rows whose every value is of its type, and the others with their first reason.

    good : the contract's columns, then those that were carried along
    rejected : `reason`, `line`, `document` (the row's text as JSON), then those that were carried along
    """

    good: pl.DataFrame
    rejected: pl.DataFrame


def check_columns(delivered: list[str], schema: pl.Schema, *, any_order: bool = False) -> None:
    """Refuse a delivery whose columns are not those of the contract.

    Raises
    ------
    DeliveryRefused
        `column-missing`, `column-new`, `column-renamed` (one of each), or `column-order`.
    """
    missing = [name for name in schema if name not in delivered]
    new = [name for name in delivered if name not in schema]
    if missing or new:
        parts = [f"missing: {', '.join(missing)}"] * bool(missing)
        parts += [f"unexpected: {', '.join(new)}"] * bool(new)
        raise DeliveryRefused(
            "column-renamed" if missing and new else "column-missing" if missing else "column-new",
            f"other columns than the contract ({'; '.join(parts)}).",
            hint="Ask the deliverer, or change the contract in features.py if the change is meant.",
        )
    if not any_order and delivered != list(schema):
        raise DeliveryRefused(
            "column-order",
            f"the columns come in another order: {', '.join(delivered)}.",
            hint="If only the order changed, set `column_order: any` for this data set.",
        )


def parse(text: pl.DataFrame, schema: pl.Schema) -> Typed:
    """Text as the types of the contract.

    Parameters
    ----------
    text
        String columns of the contract and LINE; further columns (batch, partition) are carried along.
    """
    carried = [name for name in text.columns if name not in schema and name != LINE]
    columns = {name: _parsed(text[name], kind) for name, kind in schema.items()}
    wrong = {name: text[name].is_not_null() & column.is_null() for name, column in columns.items()}
    bad = pl.Series("bad", [False] * text.height, dtype=pl.Boolean)
    for mask in wrong.values():
        bad = bad | mask
    typed = pl.DataFrame([column.alias(name) for name, column in columns.items()])
    typed = typed.with_columns(text[name] for name in [*carried, LINE])
    if not bad.any():
        return Typed(typed, _nothing(text, carried))
    reasons = pl.coalesce(
        pl.when(pl.lit(mask)).then(pl.lit(f"type: {name} is not {schema[name]}"))
        for name, mask in wrong.items()
    )
    return Typed(
        typed.filter(~bad), rejected_rows(text.with_columns(reason=reasons).filter(bad), schema, carried)
    )


def rejected_rows(rows: pl.DataFrame, schema: pl.Schema, carried: list[str]) -> pl.DataFrame:
    """Rows with a `reason` in the form of the quarantine."""
    document = pl.struct(list(schema)).struct.json_encode()
    return rows.select("reason", pl.col(LINE).alias("line"), document.alias("document"), *carried)


def _nothing(text: pl.DataFrame, carried: list[str]) -> pl.DataFrame:
    return pl.DataFrame(schema={**REJECTED_SCHEMA, **{name: text.schema[name] for name in carried}})


def _parsed(text: pl.Series, kind: pl.DataType) -> pl.Series:
    """Text as values of a type; null where it is none. Times are ISO 8601, without an offset in the zone."""
    match kind:
        case pl.Boolean():
            return _boolean(text)
        case pl.Date():
            return text.str.to_date("%Y-%m-%d", strict=False)
        case pl.Datetime():
            return _times(text, kind)
    try:
        return text.cast(kind, strict=False)
    except pl.exceptions.InvalidOperationError as error:
        raise ConfigurationError(
            f"column {text.name!r} of the contract is {kind}; allowed: text, numbers, Bool, Date, Datetime.",
            hint="Declare it as text and convert it in the cleaning function.",
        ) from error


def _times(text: pl.Series, kind: pl.Datetime) -> pl.Series:
    iso, zone = text.str.replace(" ", "T", literal=True), kind.time_zone
    plain = "%Y-%m-%dT%H:%M:%S%.f"
    local = iso.str.to_datetime(plain, time_unit=kind.time_unit, strict=False)
    if zone is None:
        return local
    local = local.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    told = iso.str.to_datetime(f"{plain}%#z", time_unit=kind.time_unit, strict=False)
    return pl.select(pl.coalesce(told.dt.convert_time_zone(zone), local)).to_series().alias(text.name)


def _boolean(text: pl.Series) -> pl.Series:
    words = {"true": True, "false": False, "1": True, "0": False}
    return text.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean)
