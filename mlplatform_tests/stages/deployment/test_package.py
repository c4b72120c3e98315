"""Packages: what is in one, and that its contract tests find whatever is not as it was."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import lightgbm
import msgspec
import numpy as np
import pytest
import yaml

from mlplatform.errors import ModelError
from mlplatform.stages.deployment import mlmodel, package
from mlplatform.stages.deployment.contract import TESTS, Finding, examined, faults
from mlplatform.stages.deployment.policy import Policy
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform_tests.stages.deployment.packed import candidate, files_of, packed

EXAMPLE = [["A", 1.5], [None, None]]


def judged(files: dict[str, bytes], step: float = 1e-6) -> dict[str, Finding]:
    """The findings by their names; the clock goes on by `step` seconds each time it is read."""
    ticks = count()
    found = examined(package.read(files), lambda fitted: EXAMPLE, lambda: next(ticks) * step)
    return {finding.name: finding for finding in found}


def failed(files: dict[str, bytes]) -> set[str]:
    return {name for name, finding in judged(files).items() if not finding.passed}


def test_a_sound_package_passes_every_test() -> None:
    found = judged(packed())
    assert list(found) == list(TESTS)
    assert all(finding.passed and finding.said for finding in found.values())
    assert faults(tuple(found.values())) == ""


def test_equal_values_are_equal_bytes_and_it_reads_back() -> None:
    files = packed()
    assert files == packed()
    read = package.read(files)
    assert read.candidate == candidate()
    assert (read.about.model, read.about.threshold, read.about.policy.constant) == ("boosted", 0.4, 0.5)


@pytest.mark.parametrize("name", sorted(files_of(candidate())))
def test_a_changed_file_of_the_candidate_is_found(name: str) -> None:
    files = packed()
    files[name] += b" "
    assert "hashes" in failed(files)


def test_a_file_that_nobody_lists_is_found() -> None:
    assert "hashes" in failed(packed() | {"more.json": b"{}"})


def test_other_golden_scores_are_found_although_every_hash_is_right() -> None:
    golden = candidate().golden
    scores = [np.nextafter(golden.scores[0], 1.0).item(), *golden.scores[1:]]
    other = replace(candidate(), golden=msgspec.structs.replace(golden, scores=scores))
    assert failed(packed(other)) == {"golden_rows"}


def test_features_in_another_order_are_found() -> None:
    fitted = FittedFeatureSet.from_json(candidate().feature_set)
    turned = msgspec.structs.replace(fitted.feature_set, features=fitted.feature_set.features[::-1])
    other = replace(candidate(), feature_set=msgspec.structs.replace(fitted, feature_set=turned).to_json())
    found = judged(packed(other))
    assert not found["features"].passed
    assert "the model, the golden rows" in found["features"].said


@pytest.mark.parametrize("content", [b"\x80\x04\x95.", b"\x93NUMPY\x01\x00v\x00{'descr': '|O', "])
def test_what_could_run_code_is_not_opened(content: bytes) -> None:
    other = replace(candidate(), model_files={**candidate().model_files, "model.bin": content})
    found = judged(packed(other))
    assert not found["opens"].passed
    assert "runs code" in found["opens"].said
    assert found["golden_rows"].said == "not tried"


def test_a_file_that_is_no_model_fails() -> None:
    assert "opens" in failed(packed(replace(candidate(), model_files={"model.txt": b"tree"})))


def test_a_slow_machine_warns_and_refuses_nothing() -> None:
    found = judged(packed(policy=Policy(deadline_ms=5)), step=0.1)
    assert not found["latency"].passed
    assert "the deadline is 5 ms" in found["latency"].said
    assert faults(tuple(found.values())) == ""


def test_without_an_example_there_is_nothing_to_fail() -> None:
    def none(fitted: FittedFeatureSet) -> Sequence[Sequence[Any]]:
        return []

    found = {each.name: each for each in examined(package.read(packed()), none, lambda: 0.0)}
    assert found["example"].passed


@pytest.mark.parametrize("name", ["release.json", "golden.json", "metadata.json"])
def test_without_a_file_it_is_no_package(name: str) -> None:
    files = packed()
    del files[name]
    with pytest.raises(ModelError, match="are no package"):
        package.read(files)


def test_mlmodel_names_the_features_and_a_file_that_lightgbm_opens() -> None:
    files = packed()
    told = yaml.safe_load(files[mlmodel.NAME])
    assert mlmodel.inputs(files[mlmodel.NAME]) == ["carrier", "heft"]
    assert set(told["flavors"]) == {"mlplatform", "lightgbm", "python_function"}
    text = files[told["flavors"]["lightgbm"]["data"]].decode()
    golden = candidate().golden
    rows = np.array([[np.nan if x is None else x for x in row] for row in golden.rows])
    booster: Any = lightgbm.Booster(model_str=text)
    assert booster.predict(rows, num_threads=1).tolist() == golden.scores


def test_a_file_without_a_signature_fails_the_features() -> None:
    assert failed(packed() | {mlmodel.NAME: b"flavors: {}"}) == {"features"}


def test_the_card_says_what_a_person_asks() -> None:
    card = packed()[package.CARD].decode()
    for words in (
        "# Parcels: boosted",
        "A probability of `late`",
        "From 0.4 on the class is true.",
        "300 rows, as of 2025-05-01",
        "- `carrier` (3 levels)",
        "| test | log_loss | 0.4000 | 0.3500 to 0.4500 |",
        "| test | rows | 1,200 |  |",
        "## Slices",
        "- then version 3: rate_table (ffffffffffff)",
        "- at last: the constant 0.5",
        candidate().digest,
    ):
        assert words in card
