"""The one adapter to Evidently: drift of two frames as figures (JSON), and as a page for people (HTML).

The page is made of a snapshot, when somebody wants it: it is megabytes, and needs no rows. It must not decide
anything: the figures that raise alarms are the stages' own. Evidently is imported at the first report, for
that takes seconds; it may not call home, and it must not write to the user's terminal.
"""

import os
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mlplatform.errors import ConfigurationError

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 20_000
MOST_COLUMNS = 15
"""Evidently takes seconds and megabytes per column; a report is for reading, so a sample is enough."""
SEED = 20131031
SNAPSHOT = ".snapshot.gz"
"""Suffix of the file of a snapshot, in place of its page's `.html`; none is served."""

_ONE_AT_A_TIME = threading.Lock()
"""Warning filters and Evidently's registries belong to the whole process."""


@dataclass(frozen=True)
class EvidentlyResult:
    """A report: `json` holds the figures (a few kB), `snapshot` all that `page` makes a page of (1 MB).

    `left_out` names the columns without a single value on one side: Evidently has no answer for them.
    """

    json: str
    snapshot: bytes
    left_out: tuple[str, ...] = ()


def report(
    reference: pl.DataFrame,
    current: pl.DataFrame,
    *,
    numerical: Sequence[str],
    categorical: Sequence[str],
    seed: int = SEED,
) -> EvidentlyResult:
    """Evidently's data-drift report: normed Wasserstein for numbers, Jensen-Shannon for categories.

    Parameters
    ----------
    reference, current : frames with the named columns; of each at most 20,000 rows are drawn with `seed`
    numerical : columns of numbers; null and NaN are missing
    categorical : columns of any type, compared as text

    Raises
    ------
    ConfigurationError
        if no column or more than 15 are named, one is absent, none holds values on both sides, a frame is
        without rows, or Evidently cannot be imported.
    """
    _check(reference, current, numerical, categorical)
    then, now = (_to_pandas(_sample(each, seed), numerical, categorical) for each in (reference, current))
    left_out = tuple(name for name in then.columns if then[name].isna().all() or now[name].isna().all())
    numbers, texts = ([name for name in kind if name not in left_out] for kind in (numerical, categorical))
    if not (numbers or texts):
        raise ConfigurationError(
            f"none of the columns {', '.join(left_out)} holds a value on both sides.",
            hint="Check the window and the columns of the report.",
        )
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        json, snapshot = _report(then, now, numbers, texts)
    return EvidentlyResult(json, snapshot.encode(), left_out)


def page(snapshot: bytes) -> str:
    """One self-contained page (4 to 5 MB) of a report's snapshot.

    Raises
    ------
    ConfigurationError
        if the snapshot is damaged or of another version of Evidently, or Evidently cannot be imported.
    """
    _import()
    from evidently.core.report import Snapshot

    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            html: str = Snapshot.loads(snapshot.decode()).get_html_str(as_iframe=False)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"this is no snapshot of the Evidently that is installed: {str(error)[:200]}.",
                hint="Materialise the drift report again.",
            ) from error
    return html


def _report(
    reference: "pd.DataFrame", current: "pd.DataFrame", numerical: list[str], categorical: list[str]
) -> tuple[str, str]:
    evidently, presets = _import()
    columns = evidently.DataDefinition(numerical_columns=numerical, categorical_columns=categorical)
    then, now = (
        evidently.Dataset.from_pandas(frame, data_definition=columns) for frame in (reference, current)
    )
    preset = presets.DataDriftPreset(num_method="wasserstein", cat_method="jensenshannon")
    snapshot = evidently.Report([preset], include_tests=False).run(current_data=now, reference_data=then)
    return snapshot.json(), snapshot.dumps()


def _import() -> tuple[Any, Any]:
    """Evidently, told before it is imported that it may not report its use."""
    os.environ["DO_NOT_TRACK"] = "1"
    try:
        import evidently
        from evidently import presets
    except ImportError as error:
        raise ConfigurationError(
            f"Evidently cannot be imported: {error}.",
            hint="Install evidently 0.7 together with a pandas older than 3.1.",
        ) from error
    return evidently, presets


def _sample(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    return frame if frame.height <= MOST_ROWS else frame.sample(MOST_ROWS, seed=seed)


def _to_pandas(frame: pl.DataFrame, numerical: Sequence[str], categorical: Sequence[str]) -> "pd.DataFrame":
    """Evidently takes pandas only: numbers as float64 (NaN = missing), texts as objects (None = missing)."""
    import pandas as pd

    numbers = {name: frame[name].cast(pl.Float64).to_numpy() for name in numerical}
    texts = {name: pd.Series(frame[name].cast(pl.String).to_list(), dtype=object) for name in categorical}
    return pd.DataFrame({**numbers, **texts})


def _check(
    reference: pl.DataFrame, current: pl.DataFrame, numerical: Sequence[str], categorical: Sequence[str]
) -> None:
    columns = [*numerical, *categorical]
    if not 1 <= len(set(columns)) == len(columns) <= MOST_COLUMNS:
        raise ConfigurationError(
            f"got {len(columns)} columns, {len(set(columns))} of them different; from 1 to {MOST_COLUMNS} "
            "different ones are allowed.",
            hint="Take those with the largest drift.",
        )
    for side, frame in (("reference", reference), ("current", current)):
        absent = [name for name in columns if name not in frame.columns]
        if absent or not frame.height:
            raise ConfigurationError(
                f"the {side} frame has {frame.height} rows and lacks {', '.join(absent) or 'no column'}; "
                "at least one row and every named column are needed.",
                hint="Check the window and the columns of the report.",
            )
