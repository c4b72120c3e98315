"""A candidate of an earlier declaration is judged on its own features, not on columns of the same names."""

from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlplatform.errors import NotFound
from mlplatform.offline import evaluated, own_features, project, rows
from mlplatform.offline.declared import Declared
from mlplatform.offline.division import of_declaration
from mlplatform.offline.plugged import split_options
from mlplatform.stages.preparation.batch import compute
from mlplatform.stages.preparation.fitted import FittedFeatureSet, fit
from mlplatform.stages.training.candidate import Metadata, assemble
from mlplatform.stages.training.models import decision_tree
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.division import divided
from mlplatform_tests.small import world

WINDOW = 'Agg(delivered, "warehouse", "mean", "3d", "late")'
OTHER = 'Agg(delivered, "warehouse", "mean", "1d", "late", name="late_mean_3d_by_warehouse")'
"""The same name, another definition: no column is missing, every value may be another."""


class Shop:
    """A use case with cleaned tables, features and split in a lake, and a store of candidates."""

    def __init__(self, project_folder: Path) -> None:
        self.declared = project.load(world.make_use_case(project_folder, short=True))
        self.lake = world.cleaned_lake(self.declared)
        self.store = CandidateStore(project_folder / "candidates")
        self.as_of = str(self.declared.config.split.as_of)
        self.write_features(self.declared)
        found = divided(of_declaration(self.declared), self.lake, "by_time", self._options())
        assigned = found.rows().select("order_id", pl.col("partition_key").alias("day"), "part", label="late")
        split = assigned.with_columns(partition_key=pl.lit(self.as_of), split_id=pl.lit(found.id))
        self.lake.write(self.declared.table("split"), split, [self.as_of])

    def _options(self) -> dict[str, object]:
        return split_options(self.declared, self.as_of)

    def write_features(self, declared: Declared) -> None:
        names = ("orders", "warehouses")
        tables = {name: self.lake.read(declared.table(name)) for name in names}
        made = compute(declared.feature_set, tables["orders"], tables)
        keyed = made.with_columns(tables["orders"]["partition_key"])
        self.lake.write(declared.table("features"), keyed, declared.days(), evolve=True)

    def redeclared(self, old: str, new: str) -> Declared:
        """Another declaration of the features, its features stored in the place of the first."""
        world.edit(self.declared.folder / "features.py", old, new)
        found = project.load(self.declared.folder)
        self.write_features(found)
        return found

    def train(self) -> str:
        """A tree trained by the first declaration; its digest."""
        declared = self.declared
        training = rows.of_part(declared, self.lake, self.as_of, "train")
        fitted = fit(declared.feature_set, training, training["label"])
        data = rows.training_set(declared, fitted, training)
        model = decision_tree.build(max_depth=4, min_samples_leaf=20).fit(data)
        metadata = Metadata(rows=len(data.y), label_rate=float(data.y.mean()))
        made = assemble(declared.name, "decision_tree", {}, model, data, fitted.to_json(), metadata)
        return self.store.put(made)

    def judge(self, declared: Declared, digest: str) -> dict[str, float]:
        return evaluated.evaluate(declared, self.lake, self.store, digest, self.as_of, "test").figures

    def fitted(self, digest: str) -> FittedFeatureSet:
        return FittedFeatureSet.from_json(self.store.get(world.NAME, digest).feature_set)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_present_champion_is_judged_as_when_it_was_declared(shop: Shop) -> None:
    with closing(shop.lake):
        digest = shop.train()
        before, fitted = shop.judge(shop.declared, digest), shop.fitted(digest)
        was = fitted.matrix(rows.of_part(shop.declared, shop.lake, shop.as_of, "test"))

        changed = shop.redeclared(WINDOW, OTHER)
        judged = rows.of_part(changed, shop.lake, shop.as_of, "test")
        assert not np.array_equal(fitted.matrix(judged), was, equal_nan=True)
        own = own_features.of_rows(changed, shop.lake, fitted.feature_set, judged)
        assert np.array_equal(fitted.matrix(own), was, equal_nan=True)
        assert shop.judge(changed, digest) == before


def test_stored_features_are_taken_where_the_definitions_are_the_same(shop: Shop) -> None:
    with closing(shop.lake):
        digest = shop.train()
        of_candidate = shop.fitted(digest).feature_set
        judged = rows.of_part(shop.declared, shop.lake, shop.as_of, "test")
        assert own_features.of_rows(shop.declared, shop.lake, of_candidate, judged) is judged
        some = of_candidate.only(of_candidate.names[:4])
        assert own_features.is_stored(shop.declared, some)
        more = shop.redeclared(
            'Category("warehouse"),', 'Category("warehouse"), Row("grams", col("weight_g") * 2),'
        )
        assert own_features.is_stored(more, of_candidate)


def test_what_is_no_longer_kept_is_said(shop: Shop) -> None:
    with closing(shop.lake):
        digest = shop.train()
        changed = shop.redeclared(WINDOW, OTHER)
        orders = shop.lake.read(changed.table("orders")).drop("hours_to_ship")
        shop.lake.drop(changed.table("orders"))
        shop.lake.write(changed.table("orders"), orders, changed.days())
        with pytest.raises(NotFound, match="hours_to_ship"):
            shop.judge(changed, digest)
