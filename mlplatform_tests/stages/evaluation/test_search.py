"""A search finds what is planted, twice the same, gives up what is behind, and says what failed."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import count

import numpy as np
import pytest

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.evaluation.pictures import draw
from mlplatform.stages.evaluation.search import pictures
from mlplatform.stages.evaluation.search.found import Found, Trial, told
from mlplatform.stages.evaluation.search.space import Choice, Range, Space, edges, placed
from mlplatform.stages.evaluation.search.tuning import Plan, search
from mlplatform.stages.training.models import decision_tree, lightgbm, ridge_regression
from mlplatform_tests.stages.evaluation.searched_rows import (
    NOISE,
    WEIGHTS,
    Told,
    regression_folds,
    step_folds,
    told_folds,
)

ALPHA: Space = {"alpha": Range(0.01, 100_000.0, log=True)}
LEVEL: Space = {"level": Range(0.0, 1.0)}
TREES: Space = {
    "num_leaves": Range(2, 32, log=True),
    "lambda_l2": Range(0.1, 100.0, log=True),
    "objective": Choice(("l1", "l2")),
}


def still() -> float:
    """A clock that stands."""
    return 0.0


def of_told(model: Told, plan: Plan, folds: int = 3, space: Space = LEVEL, **params: object) -> Found:
    return search(told_folds(folds), model.build, params, space, "rmse", plan, clock=still)


def untimed(found: Found) -> list[tuple[object, ...]]:
    return [(t.number, t.params, t.state, t.figures, t.reason) for t in found.trials]


@pytest.fixture(scope="module")
def ridge() -> Found:
    return search(regression_folds(), ridge_regression.build, {}, ALPHA, "rmse", Plan(25), clock=still)


class TestWhatIsPlanted:
    def test_the_penalty_of_a_ridge_is_found(self, ridge: Found) -> None:
        """Best is the ratio of the variances of noise and weights (Hastie et al. 2009, section 3.4.1)."""
        best = (NOISE / WEIGHTS) ** 2
        assert best / 3 < ridge.parameters["alpha"] < best * 3
        assert ridge.gain is not None
        assert ridge.gain > 0.1
        assert edges(ALPHA, ridge.best.params) == []

    def test_the_depth_of_a_tree_is_found_and_is_what_matters(self) -> None:
        space: Space = {"max_depth": Range(1, 12), "min_samples_leaf": Range(5, 6)}
        declared = {"max_depth": 1, "max_rows": 10_000}
        folds, plan = step_folds(), Plan(20, pruner="none")
        found = search(folds, decision_tree.build, declared, space, "log_loss", plan, clock=still)
        assert found.parameters["max_depth"] == 2
        assert found.parameters["max_rows"] == 10_000
        assert found.importance["max_depth"] > 0.8
        assert sum(found.importance.values()) == pytest.approx(1)

    def test_higher_is_better_where_it_is(self) -> None:
        space: Space = {"max_depth": Range(1, 4)}
        folds = step_folds()
        found = search(folds, decision_tree.build, {}, space, "roc_auc", Plan(8), clock=still)
        values = [trial.value for trial in found.trials if trial.value is not None]
        assert found.best.value == max(values)

    def test_declared_parameters_stay_if_nothing_is_better(self) -> None:
        model = Told(lambda params, fold: float(params.get("level", -0.0)) + 0.0)  # type: ignore[arg-type]
        found = of_told(model, Plan(6), space={"level": Range(0.5, 1.0)})
        assert (found.best.number, found.parameters, found.gain) == (0, {}, 0.0)

    @pytest.mark.parametrize(("minimum", "stays"), [(0.2, False), (0.9, True)])
    def test_they_stay_too_if_the_gain_is_too_small(self, minimum: float, stays: bool) -> None:
        model = Told(lambda params, fold: float(params.get("level", 1.0)))  # type: ignore[arg-type]
        space: Space = {"level": Range(0.5, 0.7)}
        found = of_told(model, Plan(6, minimum_gain=minimum), space=space)
        assert (found.best.number == 0) is stays
        assert (found.parameters == {}) is stays
        assert found.ranked[0].number != 0


class TestRepeatable:
    @pytest.mark.parametrize("pruner", ["median", "halving", "none"])
    def test_the_same_twice_whatever_the_order_of_the_space(self, pruner: str) -> None:
        params = {"num_iterations": 5, "min_data_in_leaf": 5, "num_threads": 1}
        plan = Plan(12, seed=3, pruner=pruner)  # type: ignore[arg-type]
        first, again = (
            search(regression_folds(), lightgbm.build, params, space, "mae", plan, clock=still)
            for space in (TREES, dict(reversed(TREES.items())))
        )
        assert untimed(first) == untimed(again)
        assert first.importance == again.importance
        assert draw(pictures.history(first)) == draw(pictures.history(again))

    def test_another_seed_tries_other_points(self, ridge: Found) -> None:
        plan = Plan(3, seed=1)
        other = search(regression_folds(), ridge_regression.build, {}, ALPHA, "rmse", plan, clock=still)
        assert other.trials[1].params != ridge.trials[1].params

    def test_a_point_is_not_fitted_twice(self) -> None:
        model = Told(lambda params, fold: 1.0 if params.get("kind") == "a" else 2.0)
        found = of_told(model, Plan(12, pruner="none"), space={"kind": Choice(("a", "b"))})
        assert model.fits == 3 * 3
        assert len(found.trials) == 13
        repeated = [trial for trial in found.trials if trial.reason]
        assert len(repeated) == 10
        assert all(trial.reason.startswith("as trial ") and trial.value for trial in repeated)

    def test_it_is_quiet_and_calls_nobody(self) -> None:
        code = (
            "import sys, warnings\n"
            "warnings.simplefilter('error')\n"
            "refused = {'socket.connect', 'socket.getaddrinfo', 'sqlite3.connect'}\n"
            "def hook(event, told):\n"
            "    if event in refused: sys.stderr.write(event)\n"
            "sys.addaudithook(hook)\n"
            "from mlplatform.stages.evaluation.search.tuning import Plan, search\n"
            "assert 'optuna' not in sys.modules\n"
            "from mlplatform_tests.stages.evaluation.test_search import LEVEL, Told, of_told\n"
            "assert of_told(Told(lambda params, fold: 1.0 + fold), Plan(8)).best.value == 2.0\n"
            "assert 'optuna' in sys.modules\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class TestGivingUp:
    def test_what_is_given_up_saves_fits_and_was_behind(self) -> None:
        model = Told(lambda params, fold: float(params.get("level", 0.5)))  # type: ignore[arg-type]
        found = of_told(model, Plan(30))
        given_up = [trial for trial in found.trials if trial.state == "pruned"]
        assert len(given_up) > 5
        assert model.fits == sum(len(trial.figures) for trial in found.trials) < 3 * len(found.trials)
        assert all(len(trial.figures) == 1 and trial.value is None for trial in given_up)
        complete = sorted(t.figures[0] for t in found.trials[1:] if t.state == "complete")
        assert min(trial.figures[0] for trial in given_up) > complete[0]

    def test_an_easy_first_fold_protects_nobody(self) -> None:
        """Later folds are ten times as hard; whoever falls behind there is still given up."""

        def figure(params: Mapping[str, object], fold: int) -> float:
            return 1.0 if fold == 0 else 10.0 + float(params.get("level", 0.0))  # type: ignore[arg-type]

        found = of_told(Told(figure), Plan(20), folds=4)
        given_up = [trial for trial in found.trials if trial.state == "pruned"]
        assert len(given_up) > 3
        assert {len(trial.figures) for trial in given_up} == {2}

    def test_halving_keeps_the_better_half(self) -> None:
        model = Told(lambda params, fold: float(params.get("level", 0.5)))  # type: ignore[arg-type]
        found = of_told(model, Plan(20, pruner="halving"))
        assert found.count("pruned") > 3

    def test_nobody_is_given_up_where_that_is_declared(self) -> None:
        model = Told(lambda params, fold: float(params.get("level", 0.5)))  # type: ignore[arg-type]
        assert of_told(model, Plan(15, pruner="none")).count("complete") == 15

    def test_no_trial_begins_after_the_seconds(self) -> None:
        clock = (float(second) for second in count())
        found = search(
            told_folds(1),
            Told(lambda params, fold: 1.0).build,
            {},
            LEVEL,
            "rmse",
            Plan(100, seconds=20),
            clock=lambda: next(clock),
        )
        # The clock is read once for the start and three times a trial: 20 are over after the 7th.
        assert len(found.trials) == 7
        assert {trial.seconds for trial in found.trials} == {1.0}


class TestFailing:
    def test_a_failed_trial_has_a_reason_and_no_value(self) -> None:
        model = Told(
            lambda params, fold: float(params["level"]),  # type: ignore[arg-type]
            refused=lambda params: "level above 0.5" if float(params["level"]) > 0.5 else "",  # type: ignore[arg-type]
        )
        found = of_told(model, Plan(20), level=0.25)
        failed = [trial for trial in found.trials if trial.state == "failed"]
        assert failed
        for trial in failed:
            assert trial.params["level"] > 0.5
            assert (trial.value, trial.figures) == (None, ())
            assert trial.reason == "ConfigurationError: level above 0.5"
            assert "failed (ConfigurationError: level above 0.5)" in told(trial, "rmse", 3)
        assert found.parameters["level"] <= 0.25

    @pytest.mark.parametrize("worth", [float("nan"), float("inf")])
    def test_a_figure_that_is_no_number_is_a_failure(self, worth: float) -> None:
        found = of_told(Told(lambda params, fold: worth if params else 1.0), Plan(3))
        assert found.count("failed") == 3
        assert all("the metric is" in trial.reason for trial in found.trials[1:])
        assert found.best.number == 0
        assert found.importance == {}

    def test_the_declared_parameters_may_fail(self) -> None:
        model = Told(lambda params, fold: 1.0, refused=lambda params: "" if params else "level is missing")
        found = of_told(model, Plan(5))
        assert (found.declared.state, found.gain, found.best.number) == ("failed", None, 1)
        assert draw(pictures.history(found)).startswith(b"\x89PNG")

    def test_if_all_fail_the_error_says_why(self) -> None:
        model = Told(lambda params, fold: 1.0, refused=lambda params: "no such solver")
        with pytest.raises(ModelError, match=r"all 5 trials .* failed.*: ConfigurationError: no such solver"):
            of_told(model, Plan(4))

    def test_a_mistake_of_the_program_is_no_failed_trial(self) -> None:
        def figure(params: Mapping[str, object], fold: int) -> float:
            return params["level"] + "text"  # type: ignore[operator]

        with pytest.raises(KeyError):
            of_told(Told(figure), Plan(3))

    def test_a_metric_of_another_task_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="judges regression by log_loss"):
            search(told_folds(1), Told(lambda p, f: 1.0).build, {}, LEVEL, "log_loss", Plan(1), clock=still)
        with pytest.raises(ConfigurationError, match="1 folds and 0 parameters"):
            of_told(Told(lambda params, fold: 1.0), Plan(1), folds=1, space={})


class TestSpace:
    def test_nested_parameters_are_placed_and_the_declared_left_alone(self) -> None:
        declared = {"estimator": "x", "params": {"n": 1, "m": 2}}
        assert placed(declared, {"params.n": 5, "seed": 1, "other.deep.er": 0}) == {
            "estimator": "x",
            "params": {"n": 5, "m": 2},
            "seed": 1,
            "other": {"deep": {"er": 0}},
        }
        assert declared == {"estimator": "x", "params": {"n": 1, "m": 2}}

    @pytest.mark.parametrize(
        ("dimension", "value", "end"),
        [
            (Range(1, 12), 12, "high"),
            (Range(1, 12), 2, ""),
            (Range(0.01, 100.0, log=True), 0.011, "low"),
            (Range(0.01, 100.0, log=True), 1.0, ""),
            (Range(0.01, 100.0), 1.0, "low"),
            (Choice(("a", "b")), "a", ""),
        ],
    )
    def test_the_edge_of_a_range(self, dimension: Range | Choice, value: object, end: str) -> None:
        assert dimension.edge(value) == end
        assert len(edges({"x": dimension}, {"x": value})) == bool(end)

    def test_every_point_is_within_and_of_its_kind(self) -> None:
        space: Space = {"n": Range(3, 9), "x": Range(3, 9.0, log=True), "c": Choice((None, True, 2, "b"))}
        found = of_told(Told(lambda params, fold: 1.0), Plan(30, pruner="none"), space=space)
        for trial in found.trials[1:]:
            assert isinstance(trial.params["n"], int)
            assert isinstance(trial.params["x"], float)
            assert 3 <= trial.params["n"] <= 9
            assert 3 <= trial.params["x"] <= 9
            assert trial.params["c"] in (None, True, 2, "b")


def test_pictures_say_how_it_went(ridge: Found) -> None:
    history, importance = pictures.history(ridge), pictures.importance(ridge)
    best_so_far, complete = history.lines
    assert len(complete.y) == ridge.count("complete")
    assert (best_so_far.x[0], best_so_far.x[-1]) == (1.0, 25.0)
    assert best_so_far.y[-1] == min(complete.y) == ridge.best.value
    assert (np.diff(best_so_far.y) <= 0).all()
    assert history.references[0].y[0] == ridge.declared.value
    assert [bar.label for bar in importance.bars] == ["alpha"]
    assert f"best {ridge.best.params['alpha']:.3g}" in importance.bars[0].text
    for picture in (history, importance):
        assert draw(picture).startswith(b"\x89PNG")


def lines(trials: tuple[Trial, ...]) -> Iterator[str]:
    return (told(trial, "rmse", 3) for trial in trials)


def test_a_trial_is_one_line(ridge: Found) -> None:
    said = list(lines(ridge.trials))
    assert said[0].startswith("declared parameters: rmse 5.")
    assert any("given up after" in line or "pruned after 1 of 3 folds" in line for line in said)
    assert all("\n" not in line and line.endswith(" s") for line in said)
