"""A candidate: what its digest covers, and golden rows that refuse another model."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from mlplatform.errors import ModelError
from mlplatform.stages.training.candidate import (
    Candidate,
    Golden,
    Metadata,
    assemble,
    check_golden,
    golden_rows,
    make_golden,
    open_model,
    versions,
)
from mlplatform.stages.training.contract import MISSING, UNKNOWN, TrainingSet
from mlplatform.stages.training.models import (
    constant,
    decision_tree,
    k_means,
    lightgbm,
    logistic_regression,
)


def training_set(seed: int = 0) -> TrainingSet:
    random = np.random.default_rng(seed)
    X = np.column_stack([random.integers(0, 4, 2000), random.normal(size=(2000, 2))])
    X[::7, 1] = np.nan
    y = (random.random(2000) < 1 / (1 + np.exp(-X[:, 2]))).astype(np.float64)
    return TrainingSet(X, y, ("carrier", "delay", "wind"), {"carrier": 4})


def candidate(params: dict[str, object] | None = None) -> Candidate:
    training, params = training_set(), params or {}
    model = logistic_regression.build(**params).fit(training)
    metadata = Metadata(rows=2000, label_rate=float(training.y.mean()), split_id="s", versions=versions())
    return assemble("delays", "logistic_regression", params, model, training, b'{"names":[]}', metadata)


def test_the_digest_covers_what_decides_a_score() -> None:
    base = candidate()
    others = [
        replace(base, use_case="other"),
        replace(base, kind="decision_tree"),
        replace(base, params={"C": 2.0}),
        replace(base, model_files={"model.json": b"{}"}),
        replace(base, model_files={"model.txt": base.model_files["model.json"]}),
        replace(base, feature_set=b"{}"),
        replace(base, golden=msgspec.structs.replace(base.golden, scores=base.golden.scores[::-1])),
    ]
    assert len({each.digest for each in [base, *others]}) == 8


def test_the_digest_does_not_cover_how_it_came_about() -> None:
    base = candidate()
    later = Metadata(
        rows=2000,
        label_rate=0.5,
        timings={"fit": 3.2},
        created_at="2013-10-01T00:00:00Z",
        environment={"platform": "another"},
        commit="0" * 40,
        dirty=True,
        configuration={"model": {"type": "logistic_regression"}},
        retries=2,
        resumed_at=400,
    )
    assert replace(base, metadata=later).digest == base.digest
    assert candidate().digest == base.digest


def test_the_order_of_parameters_is_not_part_of_the_digest() -> None:
    base = candidate({"C": 1.0, "max_iter": 50})
    assert replace(base, params={"max_iter": 50, "C": 1.0}).digest == base.digest


def test_golden_rows_hold_missing_values_and_unknown_categories() -> None:
    training = training_set()
    rows = golden_rows(training)
    assert rows.shape == (32, 3)
    assert np.isnan(rows[-2, 1:]).all()
    assert (rows[-2, 0], rows[-1, 0]) == (MISSING, UNKNOWN)
    np.testing.assert_array_equal(rows[0], training.X[0])


def test_golden_rows_survive_json_to_the_bit() -> None:
    golden = candidate().golden
    assert msgspec.json.decode(msgspec.json.encode(golden), type=Golden) == golden
    odd = Golden(("a",), [[-0.0], [5e-324], [0.1 + 0.2], [None]], [1e-300, 0.1, 1 / 3, 0.5])
    back = msgspec.json.decode(msgspec.json.encode(odd), type=Golden)
    assert repr(back) == repr(odd)


def test_the_model_of_a_candidate_opens_and_scores() -> None:
    model = open_model(candidate())
    X = training_set(seed=3).X
    expected = logistic_regression.build().fit(training_set()).predict(X)
    assert model.predict(X).tobytes() == expected.tobytes()


def test_one_bit_of_one_score_is_enough_to_refuse() -> None:
    base = candidate()
    model = logistic_regression.load(base.model_files)
    check_golden(model, base.golden)
    moved = [float(np.nextafter(base.golden.scores[0], 1.0)), *base.golden.scores[1:]]
    with pytest.raises(ModelError, match="1 of 32 golden rows") as caught:
        check_golden(model, msgspec.structs.replace(base.golden, scores=moved))
    assert caught.value.hint


def test_reordered_features_are_refused() -> None:
    base = candidate()
    turned = msgspec.structs.replace(base.golden, names=base.golden.names[::-1])
    with pytest.raises(ModelError, match="another order"):
        check_golden(logistic_regression.load(base.model_files), turned)


@pytest.mark.parametrize("kind", [decision_tree, lightgbm])
def test_golden_rows_of_other_models_replay(kind: object) -> None:
    training = training_set()
    model = kind.build().fit(training)  # type: ignore[attr-defined]
    check_golden(kind.load(model.files()), make_golden(model, golden_rows(training)))  # type: ignore[attr-defined]


def test_a_model_of_another_kind_is_refused() -> None:
    with pytest.raises(ModelError, match="cannot read a decision_tree"):
        open_model(replace(candidate(), kind="decision_tree"))


def test_a_candidate_knows_its_task_and_the_task_decides_no_digest() -> None:
    training = training_set()
    numbers = TrainingSet(training.X, training.X[:, 2], training.names, training.categories, "regression")
    model = decision_tree.build().fit(numbers)
    made = assemble("delays", "decision_tree", {}, model, numbers, b"{}", Metadata(rows=2000, label_rate=0.0))
    assert made.metadata.task == "regression"
    assert candidate().metadata.task == "classification"
    assert open_model(made).predict(training.X).tobytes() == model.predict(training.X).tobytes()


def test_numbers_of_clusters_survive_as_golden_scores() -> None:
    training = training_set()
    points = TrainingSet(training.X, training.y, training.names, training.categories, "clustering")
    model = k_means.build(n_clusters=3).fit(points)
    golden = make_golden(model, golden_rows(points))
    assert set(golden.scores) <= {0.0, 1.0, 2.0}
    check_golden(k_means.load(model.files()), msgspec.json.decode(msgspec.json.encode(golden), type=Golden))


def test_a_score_that_json_cannot_spell_is_refused_at_once() -> None:
    training = TrainingSet(np.array([[0.0], [1.0]]), np.array([-1.5e308, 1.5e308]), ("a",), task="regression")
    model = constant.Constant(constant.Saved(("a",), float("inf")))
    with pytest.raises(ModelError, match="no finite numbers"):
        make_golden(model, golden_rows(training))
