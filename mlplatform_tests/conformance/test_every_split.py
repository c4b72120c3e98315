"""What every split strategy must hold, run over each one that is found."""

from datetime import date, timedelta

import polars as pl
import pytest

from mlplatform import plugins
from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation import splits
from mlplatform.stages.segregation.dataset import PARTS, Split, segregate

OPTIONS: dict[str, dict[str, object]] = {
    "by_time": {"time": "partition_key", "as_of": "2013-04-11", "validation": "20d", "test": "1mo"},
    "random": {"seed": 7, "validation": 0.2, "test": 0.1},
}
"""Options for each strategy on the frame below; a new strategy adds its line here."""

KEYS = ["carrier", "flight"]


def frame(rows: int = 2000) -> pl.DataFrame:
    start = date(2013, 1, 1)
    return pl.DataFrame(
        {
            "carrier": [("AA", "B6", "UA")[i % 3] for i in range(rows)],
            "flight": list(range(rows)),
            "partition_key": [str(start + timedelta(days=i * 365 // (2 * rows))) for i in range(rows)],
            "late": [None if i % 50 == 0 else float(i % 4 == 0) for i in range(rows)],
        }
    )


@pytest.fixture(params=plugins.names(splits))
def strategy(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    assert name in OPTIONS, f"add options for the split {name!r} to OPTIONS of this suite"
    return name


def split(strategy: str, rows: pl.DataFrame) -> Split:
    return segregate(rows, strategy=strategy, options=OPTIONS[strategy], keys=KEYS, label="late")


def parts_by_key(result: Split) -> dict[tuple[object, ...], str | None]:
    return {(row["carrier"], row["flight"]): row["part"] for row in result.parts.iter_rows(named=True)}


def test_every_part_has_rows_and_no_row_has_two(strategy: str) -> None:
    result = split(strategy, frame())
    assert all(result.counts()[part] > 100 for part in PARTS)
    assert result.parts.select(KEYS).is_unique().all()


def test_nothing_is_lost_and_rows_keep_their_places(strategy: str) -> None:
    rows = frame()
    result = split(strategy, rows)
    assert result.parts.select(KEYS).equals(rows.select(KEYS))
    assert set(result.parts["part"].unique()) <= {*PARTS, None}


def test_rows_without_a_label_are_in_no_part_and_counted(strategy: str) -> None:
    rows = frame()
    result = split(strategy, rows)
    assert result.unlabelled == 40
    assert result.parts.filter(rows["late"].is_null())["part"].is_null().all()


def test_the_same_rows_give_the_same_split(strategy: str) -> None:
    first, second = split(strategy, frame()), split(strategy, frame())
    assert first.id == second.id
    assert first.parts.equals(second.parts)


def test_the_order_of_the_rows_does_not_matter(strategy: str) -> None:
    shuffled = frame().sample(fraction=1.0, shuffle=True, seed=3)
    first, second = split(strategy, frame()), split(strategy, shuffled)
    assert first.id == second.id
    assert parts_by_key(first) == parts_by_key(second)


def test_other_rows_are_another_split(strategy: str) -> None:
    assert split(strategy, frame()).id != split(strategy, frame().head(1999)).id


def test_the_label_does_not_decide_the_part(strategy: str) -> None:
    turned = frame().with_columns(late=1 - pl.col("late"))
    assert split(strategy, turned).parts.equals(split(strategy, frame()).parts)


def test_an_unknown_option_is_refused(strategy: str) -> None:
    options = OPTIONS[strategy] | {"colour": "red"}
    with pytest.raises(ConfigurationError, match="colour") as caught:
        segregate(frame(), strategy=strategy, options=options, keys=KEYS, label="late")
    assert "validation" in str(caught.value)


def test_an_empty_frame_gives_empty_parts_and_says_so(strategy: str) -> None:
    result = split(strategy, frame().clear())
    assert result.counts() == dict.fromkeys(PARTS, 0)
    assert len(result.warnings) == 3
