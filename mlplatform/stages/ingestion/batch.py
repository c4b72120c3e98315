"""From a delivered file to rows: everything that can be wrong with a delivery is found here, and named.

A whole delivery is refused (DeliveryRefused), or single rows are set aside with their reason; nothing is
passed over in silence. It must not read files, store anything, or know where a delivery came from.
"""

from dataclasses import dataclass, field
from hashlib import sha256

import dataframely as dy
import msgspec
import polars as pl

from mlplatform.errors import DeliveryRefused
from mlplatform.stages.ingestion.contract import check, schema_of
from mlplatform.stages.ingestion.formats import LINE, Format, Limits, documents, rows_of, unzipped
from mlplatform.stages.ingestion.typed import REJECTED_SCHEMA, check_columns, parse, rejected_rows

DOCUMENT = pl.Schema({"document": pl.String})
"""The columns of a data set without a contract: each row one JSON object, as delivered."""


@dataclass(frozen=True)
class Rules:
    """What a data set's deliveries are held to.

    contract : the dataframely schema; None: schema-less documents, JSON lines
    any_order : whether columns may come in another order than the contract's
    allow_empty : whether a delivery may have no rows
    most_rejected : the share of rows that may be set aside before the delivery is refused, in [0, 1]
    """

    contract: type[dy.Schema] | None
    any_order: bool = False
    allow_empty: bool = False
    most_rejected: float = 0.1
    limits: Limits = field(default_factory=Limits)

    @property
    def schema(self) -> pl.Schema:
        """The delivered columns and their types."""
        return DOCUMENT if self.contract is None else schema_of(self.contract)

    @property
    def schema_version(self) -> str:
        """Eight hexadecimal digits over names, order and types of the columns."""
        return sha256(repr(list(self.schema.items())).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Taken:
    """Rows that are served, and rows that are not (`reason`, `line`, `document`)."""

    good: pl.DataFrame
    rejected: pl.DataFrame


def text_of(content: bytes, format: Format, rules: Rules, *, gzipped: bool = False) -> pl.DataFrame:
    """The rows of a delivered file as text: the contract's columns in its order, and LINE.

    Raises
    ------
    DeliveryRefused
        if the file is damaged, or its columns are not those of the contract.
    """
    plain = unzipped(content, rules.limits) if gzipped else content
    if rules.contract is None:
        return documents(plain).rename({"line": LINE}).select("document", LINE)
    rows = rows_of(plain, format, rules.limits)
    delivered = [name for name in rows.columns if name != LINE]
    if delivered or format != "jsonl" or rows.height:
        # JSON objects have no order, and leave out what is missing.
        any_order = rules.any_order or format == "jsonl"
        optional = rules.schema if format == "jsonl" else ()
        absent = [name for name in optional if name not in delivered and _nullable(rules, name)]
        rows = rows.with_columns(pl.lit(None, pl.String).alias(name) for name in absent)
        check_columns([*delivered, *absent], rules.schema, any_order=any_order)
    else:
        rows = rows.with_columns(pl.lit(None, pl.String).alias(name) for name in rules.schema)
    return rows.select(*rules.schema, LINE)


def check_declared(text: pl.DataFrame, rules: Rules, *, rows: int | None = None) -> None:
    """Compare the number of rows with what was declared.

    Raises
    ------
    DeliveryRefused
        `row-count`, or `empty`.
    """
    if rows is not None and text.height != rows:
        raise DeliveryRefused(
            "row-count",
            f"{text.height} rows were delivered, {rows} were declared.",
            hint="Ask for the delivery again.",
        )
    if not text.height and not rules.allow_empty:
        raise DeliveryRefused(
            "empty",
            "the delivery has no rows.",
            hint="If that is right for this data set, set `allow_empty: true`.",
        )


def take(text: pl.DataFrame, rules: Rules) -> Taken:
    """Rows of text, of one partition or many, as values that keep the contract.

    Columns of `text` that are not the contract's (`partition_key`, `batch_id`) stay with their rows.
    """
    carried = [name for name in text.columns if name not in rules.schema and name != LINE]
    if rules.contract is None:
        objects = pl.Series([_is_object(line) for line in text["document"]], dtype=pl.Boolean)
        wrong = text.filter(~objects).with_columns(reason=pl.lit("type: the line is no JSON object"))
        rejected = wrong.select("reason", pl.col(LINE).alias("line"), "document", *carried)
        return Taken(text.filter(objects).drop(LINE), rejected)
    typed = parse(text, rules.schema)
    checked = check(typed.good, rules.contract)
    broken = rejected_rows(checked.rejected, rules.schema, carried)
    columns = [*REJECTED_SCHEMA, *carried]
    return Taken(checked.good.drop(LINE), pl.concat([typed.rejected.select(columns), broken.select(columns)]))


def check_rejected(rows: int, rejected: pl.DataFrame, rules: Rules) -> None:
    """Refuse a partition of which too many rows were set aside.

    Raises
    ------
    DeliveryRefused
        `too-many-rejected`, with the reasons.
    """
    if rejected.height > rules.most_rejected * rows:
        counts = rejected["reason"].value_counts(sort=True).head(3)
        reasons = "; ".join(f"{reason} ({count})" for reason, count in counts.iter_rows())
        raise DeliveryRefused(
            "too-many-rejected",
            f"{rejected.height} of {rows} rows break the contract, more than {rules.most_rejected:.0%}: "
            f"{reasons}.",
            hint="Ask the deliverer, or change the contract or `most_rejected` if that is meant.",
        )


def rows_by_day(text: pl.DataFrame, day: str) -> dict[str, pl.DataFrame]:
    """Rows of a file that holds many days, by the first ten characters of the column `day`.

    Raises
    ------
    DeliveryRefused
        `no-day`: a row that belongs to no day would silently never be delivered.
    """
    if day not in text.columns:
        raise DeliveryRefused(
            "no-day",
            f"options.day is {day!r}; allowed: a column of the contract.",
            hint="Name the column that holds the day or time of a row, or set daily: false.",
        )
    keyed = text.with_columns(pl.col(day).str.slice(0, 10).alias("__day"))
    lost = keyed.filter(pl.col("__day").str.to_date("%Y-%m-%d", strict=False).is_null())
    if lost.height:
        raise DeliveryRefused(
            "no-day",
            f"column {day!r} has {lost.height} values that begin with no day, the first is "
            f"{lost[day][0]!r}; allowed: YYYY-MM-DD, with or without a time.",
            hint="Ask the deliverer; a row without its day can be put into no partition.",
        )
    parts = keyed.partition_by("__day", as_dict=True, maintain_order=True, include_key=False)
    return {str(key): rows for (key,), rows in parts.items()}


def _is_object(line: str) -> bool:
    try:
        msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _nullable(rules: Rules, name: str) -> bool:
    return rules.contract is not None and bool(rules.contract.columns()[name].nullable)
