"""`mlplatform candidates` and `mlplatform champion`: what evaluation stored, with and without a verdict."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Ended, Zygote

RULE = """\
  slices: [{ column: warehouse, min_rows: 80 }, { column: weekday, min_rows: 40 }, month]

  champion:
    metric: log_loss
    minimum_gain: 0.001
    beat: [rate_table, constant]
    confidence: 0.9
    slice_tolerance: 0.05
    max_calibration_error: 0.1
"""
AS_OF = "2025-04-08"


def ask(mlplatform: Zygote, done: Finished, *words: str) -> dict[str, Any]:
    said = mlplatform.run(*words, "--json", home=done.home, cwd=done.project)
    assert (said.returncode, said.stderr) == (0, "")
    return world.one_object(said.stdout)


def plain(mlplatform: Zygote, done: Finished, *words: str) -> Ended:
    return mlplatform.run(*words, home=done.home, cwd=done.project)


class TestCandidates:
    def test_an_entry_per_model_and_part_with_intervals(self, finished: Finished, mlplatform: Zygote) -> None:
        told = ask(mlplatform, finished, "candidates", world.NAME)
        assert told["use_case"] == world.NAME
        listed = {(row["model"], row["part"]): row for row in told["candidates"]}
        assert set(listed) == {(model, part) for model in world.MODELS for part in ("validation", "test")}
        first = world.one_object(finished.first_run.stdout)
        for (model, part), row in listed.items():
            assert row["as_of"] == AS_OF
            assert row["digest"] == first["models"][model]["digest"]
            assert row["feature_set"].startswith("late_orders@")
            assert len(row["split_id"]) == 64
            assert row["fit_seconds"] >= 0
            loss = row["figures"]["log_loss"]
            assert loss["low"] < loss["value"] < loss["high"]
            assert row["figures"]["rows"] == {
                "value": row["figures"]["rows"]["value"],
                "low": None,
                "high": None,
            }
            if part == "test":
                assert loss["value"] == first["models"][model]["log_loss"]

    def test_of_one_date(self, finished: Finished, mlplatform: Zygote) -> None:
        assert len(ask(mlplatform, finished, "candidates", world.NAME, "--as-of", AS_OF)["candidates"]) == 6
        assert (
            ask(mlplatform, finished, "candidates", world.NAME, "--as-of", "2025-04-09")["candidates"] == []
        )

    def test_for_people(self, finished: Finished, mlplatform: Zygote) -> None:
        said = plain(mlplatform, finished, "candidates", world.NAME)
        assert said.returncode == 0
        assert "logistic_regression" in said.stdout
        assert " to " in said.stdout

    @pytest.mark.parametrize("day", ["yesterday", "2025-13-01"])
    def test_a_day_that_is_none_is_wrong_use(self, finished: Finished, mlplatform: Zygote, day: str) -> None:
        assert plain(mlplatform, finished, "candidates", world.NAME, "--as-of", day).returncode == 2

    def test_before_the_first_run(self, late_orders: Path, tmp_path: Path, mlplatform: Zygote) -> None:
        said = mlplatform.run("candidates", world.NAME, home=tmp_path / "home", cwd=late_orders.parent)
        assert (said.returncode, said.stdout) == (0, "")
        assert "no candidate yet" in said.stderr
        assert not (tmp_path / "home").exists()


class TestChampion:
    def test_winner_reasons_and_the_present_champion(self, finished: Finished, mlplatform: Zygote) -> None:
        told = ask(mlplatform, finished, "champion", world.NAME)
        first = world.one_object(finished.first_run.stdout)["champion"]
        assert (told["as_of"], told["winner"], told["digest"]) == (AS_OF, first["model"], first["digest"])
        assert set(told["reasons"]) == set(world.MODELS)
        assert told["verdict"] == told["reasons"][first["model"]]
        assert told["present"]["released_at"] == first["released_at"]
        assert told["present"]["version"] == 1
        for row in told["candidates"]:
            assert row["rival"] == "rate_table"
            assert row["gain_low"] <= row["gain_high"]

    def test_for_people(self, finished: Finished, mlplatform: Zygote) -> None:
        said = plain(mlplatform, finished, "champion", world.NAME)
        assert said.returncode == 0
        assert "logistic_regression chosen: best log_loss" in said.stdout
        assert "present champion: logistic_regression version 1" in said.stdout

    def test_history_tells_each_date_with_its_champion(self, finished: Finished, mlplatform: Zygote) -> None:
        told = ask(mlplatform, finished, "champion", world.NAME, "--history")
        now = ask(mlplatform, finished, "champion", world.NAME, "--as-of", AS_OF)
        (only,) = told["history"]
        same = ("as_of", "winner", "digest", "verdict", "reasons", "champion")
        assert {name: only[name] for name in same} == {name: now[name] for name in same}
        assert only["versions"] == [1]
        assert only["champion"]["digest"] == now["present"]["digest"] == told["present"]["digest"]
        shown = plain(mlplatform, finished, "champion", world.NAME, "--history")
        assert AS_OF in shown.stdout
        assert "champion then" in " ".join(shown.stdout.split())

    def test_history_and_a_date_are_wrong_use(self, finished: Finished, mlplatform: Zygote) -> None:
        words = ("champion", world.NAME, "--history", "--as-of", AS_OF)
        assert plain(mlplatform, finished, *words).returncode == 2

    def test_a_date_without_a_verdict(self, finished: Finished, mlplatform: Zygote) -> None:
        said = plain(mlplatform, finished, "champion", world.NAME, "--as-of", "2025-04-09")
        assert said.returncode == 1
        assert f"no verdict of 'late_orders' as of 2025-04-09; there is {AS_OF}" in said.stderr

    def test_before_the_first_run(self, late_orders: Path, tmp_path: Path, mlplatform: Zygote) -> None:
        said = mlplatform.run("champion", world.NAME, home=tmp_path / "home", cwd=late_orders.parent)
        assert said.returncode == 1
        assert "there is none yet" in said.stderr
        assert not (tmp_path / "home").exists()


@pytest.mark.slow
def test_slices_and_a_stricter_rule_judge_again_without_training(
    finished: Finished, mlplatform: Zygote, tmp_path: Path
) -> None:
    shutil.copytree(finished.project, tmp_path / "project")
    folder = tmp_path / "project" / world.NAME
    old = "  champion:\n    metric: log_loss\n    beat: rate_table\n"
    world.edit(folder / "defs.yaml", old, RULE)
    world.edit(folder / "defs.yaml", "[roc, log_loss]", "[roc, log_loss, calibration, confusion, gain]")
    done = Finished(tmp_path / "project", folder, tmp_path / "project" / "home", finished.first_run)
    again = ask_run(mlplatform, done)
    assert [step["assets_materialised"] for step in again["steps"]] == [0, 0, 6, 1, 1]

    told = ask(mlplatform, done, "candidates", world.NAME)
    figures = told["candidates"][0]["figures"]
    assert {"top_decile_lift", "f1", "log_loss[warehouse=HAM]", "rows[month=2025-04]"} <= set(figures)
    verdict = ask(mlplatform, done, "champion", world.NAME)
    assert verdict["winner"] is None
    assert verdict["reasons"]["logistic_regression"].startswith("logistic_regression is the present champion")
    assert {row["rival"] for row in verdict["candidates"]} == {"logistic_regression"}
    refused = verdict["reasons"]["rate_table"]
    for ground in ("over rate_table", "over constant", "not sure", "on the slice weekday="):
        assert ground in refused


def ask_run(mlplatform: Zygote, done: Finished) -> dict[str, Any]:
    said = mlplatform.run("run", world.NAME, "--json", home=done.home, cwd=done.project)
    assert said.returncode == 0, said.stderr
    return world.one_object(said.stdout)
