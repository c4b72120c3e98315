"""What features are computed from: a day alone gets, to the bit, what it gets within the whole range."""

from contextlib import closing
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from mlplatform.offline import project
from mlplatform.offline.assets.preparation import feature_inputs
from mlplatform.offline.declared import Declared
from mlplatform.stages.preparation.batch import compute
from mlplatform.stores.lake import Lake
from mlplatform_tests.small import world


def features(declared: Declared, lake: Lake, first: str, last: str) -> pl.DataFrame:
    spine, tables = feature_inputs(declared, lake, first, last)
    return compute(declared.feature_set, spine, tables).with_columns(spine["partition_key"])


def test_single_days_get_what_the_whole_range_gets(tmp_path: Path) -> None:
    """Orders are delivered a week after their day, so what a day needs lies in days far before it."""
    declared = project.load(world.make_use_case(tmp_path))
    days = declared.days()
    with closing(world.cleaned_lake(declared)) as lake:
        whole = features(declared, lake, days[0], days[-1])
        alone = pl.concat([features(declared, lake, day, day) for day in days])
        part = features(declared, lake, days[17], days[31])
    assert_frame_equal(alone, whole, check_exact=True)
    within = pl.col("partition_key").is_between(pl.lit(days[17]), pl.lit(days[31]))
    assert_frame_equal(part, whole.filter(within), check_exact=True)


def test_only_rows_within_reach_are_read(tmp_path: Path) -> None:
    declared = project.load(world.make_use_case(tmp_path))
    day = declared.days()[40]
    with closing(world.cleaned_lake(declared)) as lake:
        spine, tables = feature_inputs(declared, lake, day, day)
        rows = lake.row_count(declared.table("orders"))
    assert spine["partition_key"].unique().to_list() == [day]
    assert spine.height < tables["orders"].height < rows / 2


def test_a_range_without_questions_reads_no_features(tmp_path: Path) -> None:
    declared = project.load(world.make_use_case(tmp_path, short=True))
    day = declared.days()[3]
    with closing(world.cleaned_lake(declared)) as lake:
        empty = lake.read(declared.table("orders"), first=day, last=day).clear()
        lake.write(declared.table("orders"), empty, [day], allow_empty=True)
        assert features(declared, lake, day, day).height == 0
