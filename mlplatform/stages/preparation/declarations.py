"""What a team writes to declare features: sources, feature kinds, and the set they form.

A declaration is data: it can be compared, hashed, saved as JSON and loaded without running code. Two
executors read it: `batch.py` for frames, `online.py` for events. Declarations must not compute anything.

    departures = Source("departures", table="flights", at="dep_time", key=("flight_id",))
    FEATURES = FeatureSet(
        "flight_delay",
        Spine(table="flights", key=("flight_id",), facts={"origin": "string", "sched_dep": "time"},
              as_of=col("sched_dep").minus("60m")),
        [Agg(departures, by="origin", value="dep_delay", fn="mean", window="6h")],
    )
"""

import hashlib
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Literal

import msgspec

from mlplatform.errors import ConfigurationError
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.expressions import Expression

FactType = Literal["string", "int", "float", "time", "bool"]
AggFunction = Literal["count", "sum", "mean", "std", "min", "max", "distinct"]
OpenFunction = Literal["count", "mean_age", "mean_state"]
Keys = str | tuple[str, ...]

LARGEST_SCALE = 1_000_000_000
"""Largest `scale`, and largest sum of the weights of an exponential mean: beyond, sums would not be exact."""

SEPARATOR = "\x1f"
"""Between the parts of a target rate's key (ASCII's unit separator)."""

CLOSED_BEFORE_US = 366 * 86_400_000_000
"""How long before it is due an open item may be closed: an invoice paid at once."""


class Source(msgspec.Struct, frozen=True):
    """A stream of facts: rows of a cleaned table, each known from one moment on.

    A row counts from `at` + `lag` (UTC) on, the time when the platform could know it. Rows without `at`
    never happened. `key` names the columns that identify a row; they also order rows known at one moment.
    """

    name: str
    table: str
    at: str
    key: tuple[str, ...]
    lag: str = "0m"

    def __post_init__(self) -> None:
        microseconds(self.lag)
        if not self.key:
            raise ConfigurationError(
                f"source {self.name!r} has an empty key; a row must be identifiable.",
                hint="Name the columns that identify a row, e.g. key=('order_id',).",
            )


class Agg(msgspec.Struct, frozen=True, tag="agg"):
    """An aggregate of a source's rows of one key over the window (t − window, t], ties included.

    `value` is a whole-number (or true/false) column; decimals are declared with `scale` (value × scale is
    rounded to a whole number, exact sums being the reason). Rows without a value do not count. `by=()`
    takes all rows. An empty window gives count, sum and distinct 0 and the others missing; a missing key
    all missing. `distinct` counts different values, of text too. With `last` only the latest so many rows
    (that have a value) of the window count; of rows known at one moment the greatest source key is latest.
    """

    source: Source
    by: Keys
    fn: AggFunction
    window: str
    value: str | None = None
    scale: int = 1
    name: str = ""
    last: int | None = None

    def __post_init__(self) -> None:
        microseconds(self.window)
        _check_scale(f"Agg({self.source.name!r}, value={self.value!r})", self.scale)
        if self.last is not None and self.last < 1:
            raise ConfigurationError(
                f"Agg({self.source.name!r}) has last={self.last}; allowed: a whole number from 1 on.",
                hint="Write last=8 for the latest eight rows, or leave it out.",
            )
        if self.value is None and self.fn != "count":
            raise ConfigurationError(
                f"Agg({self.source.name!r}, fn={self.fn!r}) has no value; only count needs none.",
                hint="Name the column to aggregate: value='dep_delay'.",
            )
        if not self.name:
            latest = [] if self.last is None else ["last", str(self.last)]
            _set_name(self, [self.value or self.source.name, self.fn, self.window, *latest], self.by)


class ExponentialMean(msgspec.Struct, frozen=True, tag="exponential_mean"):
    """The mean of the latest `last` values of one key within `window`, older ones weighing less.

    sum(decay^k * value_k) / sum(decay^k), k = 0 for the newest (Brown's exponential smoothing, cut off after
    `last` values). `decay` is a decimal between 0 and 1, taken as the fraction it spells, so that weights are
    whole numbers and the sums exact. `value` and `scale` as in `Agg`.
    """

    source: Source
    by: Keys
    value: str
    window: str
    last: int = 8
    decay: float = 0.75
    scale: int = 1
    name: str = ""

    def __post_init__(self) -> None:
        microseconds(self.window)
        _check_scale(f"ExponentialMean({self.source.name!r}, value={self.value!r})", self.scale)
        if self.last < 1 or not 0 < self.decay < 1 or sum(self.weights) > LARGEST_SCALE:
            raise ConfigurationError(
                f"ExponentialMean({self.value!r}) has last={self.last}, decay={self.decay}; allowed: "
                "at least one value, a decay between 0 and 1, and whole-number weights of at most a billion.",
                hint="Use fewer values or a decay with fewer digits, e.g. last=8, decay=0.75.",
            )
        if not self.name:
            parts = [self.value, "exponential_mean", self.window, str(self.last), str(self.decay)]
            _set_name(self, ["_".join(parts).replace(".", "_")], self.by)

    @property
    def weights(self) -> tuple[int, ...]:
        """Whole numbers in the ratio of the weights, the newest value's first."""
        ratio = Fraction(str(self.decay))
        rest = self.last - 1
        return tuple(ratio.numerator**k * ratio.denominator ** (rest - k) for k in range(self.last))


class Last(msgspec.Struct, frozen=True, tag="last"):
    """A column of the latest row of one key known at t − `ago`, not older than `max_age`.

    Of rows known at the same moment the one with the greatest source key is the latest. `value="age"`
    with no such column gives the row's age in whole minutes.
    """

    source: Source
    by: Keys
    value: str
    max_age: str
    ago: str = "0m"
    name: str = ""

    def __post_init__(self) -> None:
        microseconds(self.max_age)
        later = microseconds(self.ago) > 0
        if not self.name:
            ago = ["ago", self.ago] if later else []
            _set_name(self, [self.value, "last", *ago], self.by)


class Static(msgspec.Struct, frozen=True, tag="static"):
    """A column of a table that has one row per key and does not change with time."""

    table: str
    by: str
    value: str
    name: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            _set_name(self, [self.value], self.by)


class Open(msgspec.Struct, frozen=True, tag="open"):
    """An aggregate over open items: due in (t − window, t − after] and not closed by a row of `until`.

    Items are rows of `due` (its clock says when each is due), closings are rows of `until` with the same
    source key. `count`: items open now; `mean_age`: their mean age in minutes since due; `mean_state`:
    over all items due in the window the mean of `value` (whole minutes, a column of `until`) where closed
    and of the age where still open. Flights not departed, invoices not paid, tickets not answered.
    """

    due: Source
    until: Source
    by: Keys
    fn: OpenFunction
    window: str
    after: str = "0m"
    value: str | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if microseconds(self.after) >= microseconds(self.window):
            raise ConfigurationError(
                f"Open has after={self.after!r} and window={self.window!r}; after must be the shorter.",
                hint="Items leave the window before they would count; widen the window.",
            )
        if (self.fn == "mean_state") != (self.value is not None):
            raise ConfigurationError(
                f"Open(fn={self.fn!r}, value={self.value!r}): mean_state needs a value, others take none.",
                hint="Write fn='mean_state', value='dep_delay' or leave value out.",
            )
        if self.due.key != self.until.key:
            raise ConfigurationError(
                f"Open joins {self.due.name!r} with key {self.due.key} to {self.until.name!r} with key "
                f"{self.until.key}; the keys must be the same columns.",
                hint="Give both sources the columns that identify an item.",
            )
        if not self.name:
            after = [] if microseconds(self.after) == 0 else ["after", self.after]
            _set_name(self, [self.due.name, "open", self.fn, self.window, *after], self.by)


class Row(msgspec.Struct, frozen=True, tag="row"):
    """A calculation on the row itself: its facts, `as_of`, and features declared before it."""

    name: str
    expression: Expression


class Category(msgspec.Struct, frozen=True, tag="category"):
    """A text fact as a category; its dictionary is fitted on the training rows."""

    column: str
    name: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            msgspec.structs.force_setattr(self, "name", self.column)


class TargetRate(msgspec.Struct, frozen=True, tag="target_rate"):
    """The rate of the label among training rows with equal values of these facts, drawn to the overall rate.

    (positives + weight × overall) / (rows + weight): the m-estimate (Micci-Barreca 2001). A key that no
    training row has, or that misses a part, gets the overall rate. `columns` are text or whole-number facts.
    The executors give the key; the fitted feature set turns it into the rate.
    """

    columns: Keys
    weight: float = 20
    name: str = ""

    def __post_init__(self) -> None:
        if not key_columns(self.columns) or not 0 <= self.weight < LARGEST_SCALE:
            raise ConfigurationError(
                f"TargetRate({self.columns!r}, weight={self.weight}); allowed: at least one fact, and a "
                f"weight from 0 to below {LARGEST_SCALE}.",
                hint="weight=20 counts the overall rate as 20 rows.",
            )
        if not self.name:
            _set_name(self, ["target_rate"], self.columns)


Windowed = Agg | ExponentialMean | Last
"""What reads the rows of one source and key."""

Feature = Windowed | Static | Open | Row | Category | TargetRate


class Spine(msgspec.Struct, frozen=True):
    """The rows that are scored: one per entity and question.

    `facts` are the columns known when the question is asked (a caller sends just these), `as_of` the time
    of the question (UTC) computed from them; nothing known later may enter a feature.
    """

    table: str
    key: tuple[str, ...]
    facts: dict[str, FactType]
    as_of: Expression


class FeatureSet(msgspec.Struct, frozen=True):
    """Named features of one spine, in order; `id` is derived from the whole declaration.

    A feature whose name begins with an underscore is a step for others: computed, but not part of the
    vector a model sees.
    """

    name: str
    spine: Spine
    features: Sequence[Feature]
    selected: tuple[str, ...] | None = None
    """What `only` kept; None: every feature."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "features", tuple(self.features))
        _check_names(self)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features a model sees, in order."""
        if self.selected is not None:
            return self.selected
        return tuple(feature.name for feature in self.features if not feature.name.startswith("_"))

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of those that are categories."""
        names = self.names
        return tuple(f.name for f in self.features if isinstance(f, Category) and f.name in names)

    @property
    def target_rates(self) -> tuple[str, ...]:
        """Names of those that are target rates: text until the fitted set makes numbers of them."""
        names = self.names
        return tuple(f.name for f in self.features if isinstance(f, TargetRate) and f.name in names)

    def only(self, names: Iterable[str]) -> "FeatureSet":
        """A set whose vector has just these features, in the order declared, with the steps they need.

        Raises
        ------
        ConfigurationError
            if one of them is not a feature of this set, or none is named.
        """
        wanted = set(names)
        if not wanted or not wanted <= set(self.names):
            raise ConfigurationError(
                f"got features {sorted(wanted - set(self.names)) or 'none'} to select from {self.name!r}; "
                f"allowed: {', '.join(self.names)}.",
                hint="Select by the names that `mlplatform features` lists.",
            )
        kept: list[Feature] = []
        needed = set(wanted)
        for feature in reversed(self.features):
            if feature.name in needed:
                kept.append(feature)
                needed |= feature.expression.columns() if isinstance(feature, Row) else set()
        selected = tuple(name for name in self.names if name in wanted)
        return FeatureSet(self.name, self.spine, tuple(reversed(kept)), selected)

    @property
    def id(self) -> str:
        """`name@` and 12 hexadecimal digits over names, order and definitions."""
        return f"{self.name}@{hashlib.sha256(self.to_json()).hexdigest()[:12]}"

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources it reads, each once, in order of first use."""
        return tuple(dict.fromkeys(source for feature in self.features for source in sources_of(feature)))

    @property
    def statics(self) -> tuple[str, ...]:
        """The static tables it reads, each once."""
        return tuple(dict.fromkeys(f.table for f in self.features if isinstance(f, Static)))

    @property
    def retention_us(self) -> int:
        """How far back any feature looks, in microseconds: the warm-up a partition or a server needs."""
        return max((reach_us(feature) for feature in self.features), default=0)

    def clocks(self, table: str) -> dict[str, int]:
        """The time columns of a table by which its rows count, and how far before a question each does (µs).

        Rows are to be read by these and not by the partition they lie in: an arrival lies in the partition of
        its departure, a payment in that of its invoice.
        """
        found: dict[str, int] = {}
        for feature in self.features:
            for source in sources_of(feature):
                if source.table == table:
                    found[source.at] = max(found.get(source.at, 0), _reach_of(feature, source))
        return found

    def to_json(self) -> bytes:
        """The declaration as canonical JSON."""
        return msgspec.json.encode(self, order="deterministic")

    @classmethod
    def from_json(cls, data: bytes) -> "FeatureSet":
        """The declaration that `to_json` wrote.

        Raises
        ------
        ConfigurationError
            if the JSON is not a feature set of this version.
        """
        try:
            return msgspec.json.decode(data, type=cls)
        except msgspec.MsgspecError as error:
            raise ConfigurationError(
                f"this JSON is not a feature set: {error}.",
                hint="It was damaged or written by another version.",
            ) from error


def sources_of(feature: Feature) -> tuple[Source, ...]:
    """The sources a feature reads."""
    match feature:
        case Agg() | ExponentialMean() | Last():
            return (feature.source,)
        case Open():
            return (feature.due, feature.until)
        case _:
            return ()


def described(feature: Feature) -> str:
    """A feature in words, for people: what is computed, from where, over which window."""
    by = ", ".join(key_columns(getattr(feature, "by", ()))) or "all rows"
    match feature:
        case Agg():
            value = f" of {feature.value}" if feature.value else ""
            rows = "" if feature.last is None else f", latest {feature.last} rows"
            return (
                f"{feature.fn}{value} over the last {feature.window} of {feature.source.name}, by {by}{rows}"
            )
        case ExponentialMean():
            return (
                f"mean of the latest {feature.last} {feature.value} of {feature.source.name} within "
                f"{feature.window}, each weighing {feature.decay} of the next newer, by {by}"
            )
        case Last():
            ago = "" if microseconds(feature.ago) == 0 else f", as of {feature.ago} before"
            return f"latest {feature.value} of {feature.source.name} within {feature.max_age}, by {by}{ago}"
        case Open():
            value = f" of {feature.value}" if feature.value else ""
            return (
                f"{feature.fn}{value} of {feature.due.name} due {feature.after} to {feature.window} ago and "
                f"not in {feature.until.name}, by {by}"
            )
        case Static():
            return f"{feature.value} of {feature.table}, by {by}"
        case Category():
            return f"{feature.column}, encoded by a dictionary fitted on the training rows"
        case TargetRate():
            facts = ", ".join(key_columns(feature.columns))
            return f"rate of the label among training rows of the same {facts}, weight {feature.weight:g}"
        case _:
            return f"calculated from {', '.join(sorted(feature.expression.columns()))}"


def reach_us(feature: Feature) -> int:
    """How far before the question a feature looks, in microseconds, lag included."""
    match feature:
        case Agg() | ExponentialMean():
            return microseconds(feature.window) + microseconds(feature.source.lag)
        case Last():
            looks = microseconds(feature.max_age) + microseconds(feature.ago)
            return looks + microseconds(feature.source.lag)
        case Open():
            return microseconds(feature.window) + microseconds(feature.due.lag)
        case _:
            return 0


def _reach_of(feature: Feature, source: Source) -> int:
    if isinstance(feature, Open) and source == feature.until and source.table != feature.due.table:
        return max(reach_us(feature), CLOSED_BEFORE_US)
    return reach_us(feature)


def key_columns(by: Keys) -> tuple[str, ...]:
    """`by` as a tuple of column names; () takes all rows together."""
    return (by,) if isinstance(by, str) else tuple(by)


def columns_of(features: Iterable[Feature], table: str) -> list[str]:
    """The columns of `table` that sources of `features` need, sorted."""
    needed: set[str] = set()
    for feature in features:
        for source in sources_of(feature):
            if source.table == table:
                needed |= {source.at, *source.key, *_columns_from(feature, source)}
        if isinstance(feature, Static) and feature.table == table:
            needed |= {feature.by, feature.value}
    return sorted(needed)


def _columns_from(feature: Feature, source: Source) -> set[str]:
    match feature:
        case Agg() | ExponentialMean():
            return {*key_columns(feature.by), *([feature.value] if feature.value else [])}
        case Last():
            return {*key_columns(feature.by), *([] if feature.value == "age" else [feature.value])}
        case Open():
            keys = set(key_columns(feature.by)) if source == feature.due else set()
            return keys | ({feature.value} if feature.value and source == feature.until else set())
        case _:
            return set()


def told_columns(features: Iterable[Feature], source: Source) -> tuple[str, ...]:
    """The columns of a source that features use, clock and key first: rows equal in all are one row."""
    used = (sorted(_columns_from(f, source)) for f in features if source in sources_of(f))
    return tuple(dict.fromkeys([source.at, *source.key, *(name for names in used for name in names)]))


def _check_scale(what: str, scale: int) -> None:
    if not 1 <= scale <= LARGEST_SCALE:
        raise ConfigurationError(
            f"{what} has scale={scale}; allowed: 1 to {LARGEST_SCALE}, so that sums stay exact.",
            hint="Write scale=100 for two decimals.",
        )


def _set_name(feature: Windowed | Static | Open | TargetRate, parts: list[str], by: Keys) -> None:
    suffix = "_".join(key_columns(by)) or "all"
    msgspec.structs.force_setattr(feature, "name", f"{'_'.join(parts)}_by_{suffix}")


def _check_names(feature_set: FeatureSet) -> None:
    seen: set[str] = {*feature_set.spine.facts, "as_of"}
    names = [feature.name for feature in feature_set.features]
    for feature in feature_set.features:
        if isinstance(feature, Row) and not feature.expression.columns() <= seen:
            missing = sorted(feature.expression.columns() - seen)
            raise ConfigurationError(
                f"feature {feature.name!r} reads {', '.join(missing)}; known at that point: facts of the "
                "spine, as_of, and features declared before it.",
                hint="Check the spelling, add the fact to the spine, or declare the feature earlier.",
            )
        if isinstance(feature, Category) and feature.column not in feature_set.spine.facts:
            raise ConfigurationError(
                f"category {feature.column!r} is not a fact of the spine; "
                f"facts: {', '.join(feature_set.spine.facts)}.",
                hint="Add it to the spine's facts.",
            )
        if isinstance(feature, TargetRate):
            _check_rate(feature, feature_set.spine)
        is_fact = isinstance(feature, Category) and feature.name == feature.column
        taken = feature.name in seen and not is_fact
        if taken or names.count(feature.name) > 1:
            raise ConfigurationError(
                f"feature name {feature.name!r} is used twice in {feature_set.name!r}.",
                hint="Give one of them another name=.",
            )
        if not isinstance(feature, TargetRate):  # a rate is known once fitted, which is too late for a Row
            seen.add(feature.name)


def _check_rate(feature: TargetRate, spine: Spine) -> None:
    for column in key_columns(feature.columns):
        if spine.facts.get(column) not in ("string", "int"):
            able = [name for name, kind in spine.facts.items() if kind in ("string", "int")]
            raise ConfigurationError(
                f"target rate {feature.name!r} reads {column!r} ({spine.facts.get(column, 'no fact')}); "
                f"allowed: the facts of type string or int ({', '.join(able) or 'there is none'}).",
                hint="Add it to the spine's facts, or choose one of those.",
            )
