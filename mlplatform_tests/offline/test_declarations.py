"""Every kind of mistake in defs.yaml and features.py: file, line, what was got, what is allowed, a hint."""

# ruff: noqa: E501  (tables of mistakes, a line each)

from pathlib import Path

import pytest

from mlplatform.errors import ConfigurationError, NotFound
from mlplatform.offline import project
from mlplatform.offline.project import Problem
from mlplatform_tests.small import world

YAML, PYTHON = "defs.yaml", "features.py"


def problems(folder: Path) -> list[Problem]:
    """What is found; every one of them names a file that is there and says what to do."""
    found = project.problems(folder)
    for problem in found:
        assert Path(problem.file).parent == folder
        assert problem.message
        assert problem.hint, problem
        assert "Traceback" not in str(problem)
    return found


def line_of(folder: Path, name: str, text: str) -> int:
    lines = (folder / name).read_text().splitlines()
    found = [number for number, line in enumerate(lines, start=1) if text in line]
    assert len(found) == 1, (text, found)
    return found[0]


def the_problem(folder: Path, name: str, marker: str) -> str:
    """The text of the one problem, which must be on the line of `name` that contains `marker`."""
    (problem,) = problems(folder)
    assert problem.file == str(folder / name)
    assert problem.line == line_of(folder, name, marker), str(problem)
    return str(problem)


def test_the_declaration_as_it_is_has_no_problem(late_orders: Path) -> None:
    assert problems(late_orders) == []
    assert project.load(late_orders).name == world.NAME


IN_YAML = {
    "an unknown key": ("  title: Late", "  titel: x\n  title: Late", "titel:", "unknown key; allowed: title, ", "'title'"),
    "an unknown key further in": ("daily: false", "dialy: false", "dialy:", "allowed: source, options, daily", "'daily'"),
    "a key outside attributes": ("attributes:", "owner: me\nattributes:", "owner:", "allowed: type, attributes", "Indent"),
    "a word for a number": ("threshold: 0.5", "threshold: half", "threshold: half", "got 'half'; input should be a valid number", ""),
    "a number out of bounds": ("threshold: 0.5", "threshold: 1", "threshold: 1", "got 1; input should be less than 1", ""),
    "a number for a text": ("title: Late orders", "title: 3", "title: 3", "got 3; input should be a valid string", ""),
    "a map for a list": ("evaluators: [roc, log_loss]", "evaluators: { a: 1 }", "evaluators:", "got {'a': 1}; input should be a valid list", ""),
    "a list for a map": ("attributes:\n", "attributes: [1]\nx:\n", "attributes:", "", ""),
    "no day": ("first: 2025-03-01", "first: soon", "first: soon", "got 'soon'; input should be a valid date", ""),
    "a day that is in no calendar": ("first: 2025-03-01", "first: 2025-02-30", "2025-02-30", "got 2025-02-30, which is no day", ""),
    "days in the wrong order": ("last: 2025-04-29", "last: 2025-02-28", "days:", "last (2025-02-28) is before first (2025-03-01)", ""),
    "a training date outside the days": ("as_of: 2025-04-08", "as_of: 2025-04-30", "attributes:", "split.as_of is 2025-04-30; allowed: a day after days.first (2025-03-01)", ""),
    "a source that does not exist": ("source: files\n      options: { path: data/w", "source: file\n      options: { path: data/w", "source: file\n", "got source 'file'; allowed: files, http, nycflights13, nycflights13_hourly, sql", "Did you mean 'files'?"),
    "a model that does not exist": ("type: decision_tree", "type: decison_tree", "decison_tree", "got model 'decison_tree'; allowed: arima, constant, decision_tree, ", "Did you mean 'decision_tree'?"),
    "a split that does not exist": ("strategy: by_time", "strategy: by_tme", "by_tme", "got split 'by_tme'; allowed: by_group, by_time, k_fold", "Did you mean 'by_time'?"),
    "an evaluator that does not exist": ("[roc, log_loss]", "[rok, log_loss]", "[rok", "got evaluator 'rok'; allowed: ", "Did you mean 'roc'?"),
    "a metric that does not exist": ("metric: log_loss", "metric: logloss", "metric: logloss", "got metric 'logloss'; allowed: log_loss, brier, roc_auc", "Did you mean 'log_loss'?"),
    "a baseline that is no model": ("beat: rate_table", "beat: coin", "attributes:", "champion.beat is 'coin'; allowed: a model of this use case (rate_table, ", ""),
    "an owner that is none": ('"team:logistics"', "logistics", "owners:", "got owner 'logistics'; allowed: team:<name> or an e-mail address", ""),
    "a name that is no name": ("  rate_table:\n", "  Rate-Table:\n", "Rate-Table", "string should match pattern", ""),
    "a table that is read and not static": ("reads: [warehouses]", "reads: [orders]", "attributes:", "data_sets.orders.reads has 'orders'; allowed: data sets with daily: false (warehouses)", ""),
    "an option the source does not have": ("day: placed }", "days: placed }", "options: { path: data/orders", "data_sets.orders.options do not fit source 'files'", "Allowed options"),
    "an empty path": ("path: data/warehouses.csv", 'path: ""', 'path: ""', "source 'files' got path ''; allowed", "options.path"),
    "a path with the day in it and a column": ("data/orders-*.csv, day", '"data/orders-{partition}.csv", day', "options: { path: ", "data_sets.orders.options: source 'files' got both {partition} in path and day 'placed'", "no column"),
    "a format that is not known": ("path: data/warehouses.csv", "path: data/warehouses.xlsx", "warehouses.xlsx", "the format of 'data/warehouses.xlsx' is not known; allowed are .csv, ", "options.format"),
    "a URL that is none": ("files\n      options: { path: data/warehouses.csv }", "http\n      options: { url: example.org/a.csv }", "url: example.org", "source 'http' got url", "options.url"),
    "a database that is not told": ("files\n      options: { path: data/warehouses.csv }", "sql\n      options: { query: SELECT 1 }", "query: SELECT 1", "source 'sql' got url '' and url_env ''; allowed: one of them", "options.url_env"),
    "a contract and no function": ("      clean: clean_warehouses\n", "", "warehouses:\n", "has contract but no clean; allowed: both, or neither", ""),
    "a function and no contract": ("      contract: RawWarehouses\n", "", "warehouses:\n", "has clean but no contract; allowed: both, or neither", ""),
    "a time that is no column": ("event_time: placed", "event_time: plaecd", "event_time: plaecd", "data_sets.orders.event_time is 'plaecd'; allowed: a column of its contract (order_id, customer", ""),
    "an order of columns that is none": ("allow_empty: true", "column_order: alphabetic", "column_order:", "got 'alphabetic'; allowed: declared, any", ""),
    "a share that is none": ("allow_empty: true", "most_rejected: 10", "most_rejected:", "got 10; input should be less than or equal to 1", ""),
    "a schedule that is none": ("allow_empty: true", "schedule: daily", "schedule:", "got 'daily'; string should match pattern", ""),
    "a model's parameter": ("max_iter: 200", "max_itre: 200", "max_itre", "models.logistic_regression.params: logistic_regression: got parameters ['max_itre']; allowed: C, max_iter", ""),
    "a model's parameter's value": ("max_depth: 4", "max_depth: deep", "max_depth: deep", "got max_depth: 'deep'; allowed: Expected `int`", ""),
    "an option of the split": ("test: 2w }", "tests: 2w }", "tests: 2w", "split 'by_time': got options", "takes time"),
    "a length of the split": ("test: 2w }", "test: two weeks }", "two weeks", "got test 'two weeks'; allowed: a number and d, w, mo or y", ""),
    "a contract that is not there": ("contract: RawWarehouses", "contract: RawWarehouse", "contract: RawWarehouse\n", "data_sets.warehouses.contract is 'RawWarehouse', but", "Did you mean 'RawWarehouses'?"),
    "a contract that is something else": ("contract: RawWarehouses", "contract: clean_orders", "contract: clean_orders", "a function; allowed: a dataframely schema", "class clean_orders(dy.Schema)"),
    "a function that is something else": ("clean: clean_warehouses", "clean: DAYS_OF_GRACE", "clean: DAYS_OF_GRACE", "a int; allowed: a function", "def DAYS_OF_GRACE"),
    "features that are something else": ("  label:", "  features: clean_orders\n  label:", "features: clean_orders", "allowed: a mlplatform.features.FeatureSet", "features"),
    "a label no clock tells": ("column: late,", "column: laet,", "column: laet", "label.column is 'laet'; allowed: a column that data_sets.orders.known lists (shipped, ", "known only later"),
    "a report on a feature that is none": ("champion:\n", "drift: { report: [weigth] }\n  champion:\n", "report: [weigth]", "drift.report names 'weigth'", "begin with warehouse, weight"),
    "an example of something else": ("champion:\n", "example: { wharehouse: HAM }\n  champion:\n", "example:", "example has wharehouse; facts of the spine: order_id", ""),
    "an example with a list": ("champion:\n", "example: { warehouse: [HAM] }\n  champion:\n", "example:", "got ['HAM']; input should be a valid", ""),
    "a row of a source that is none": ("champion:\n", "streams: { news: { sources: { gone: shipment } } }\n  champion:\n", "streams:", "streams.news.sources.gone is 'shipment'; allowed: a source that a feature reads (", "Did you mean 'shipments'?"),
    "a zone that is none": ("champion:\n", "streams: { news: { day_zone: Mars } }\n  champion:\n", "streams:", "got time zone 'Mars'; allowed: a name such as UTC", ""),
    "a spine that is not daily": ("day: placed }\n", "day: placed }\n      daily: false\n", "daily: false\n      contract: RawOrders", "data_sets.orders.daily is false", "daily: true"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", IN_YAML)
def test_a_mistake_in_the_configuration(late_orders: Path, mistake: str) -> None:
    old, new, marker, said, hint = IN_YAML[mistake]
    world.edit(late_orders / YAML, old, new)
    if mistake == "a list for a map":
        assert [problem.line for problem in problems(late_orders)] == [line_of(late_orders, YAML, "x:")]
        return
    first, *rest = marker.split("\n")
    text = (late_orders / YAML).read_text()
    line = text[: text.index(marker)].count("\n") + 1
    (problem,) = problems(late_orders)
    assert (problem.file, problem.line) == (str(late_orders / YAML), line), (str(problem), first, rest)
    assert said in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("key", "line"),
    [("title", "attributes:"), ("source", "orders:\n"), ("as_of", "split:"), ("models", "attributes:")],
)
def test_a_missing_key(late_orders: Path, key: str, line: str) -> None:
    file = late_orders / YAML
    lines = file.read_text().splitlines(keepends=True)
    first = next(i for i, text in enumerate(lines) if text.strip().startswith(f"{key}:"))
    depth = len(lines[first]) - len(lines[first].lstrip())
    rest = first + 1
    while rest < len(lines) and lines[rest].strip() and len(lines[rest]) - len(lines[rest].lstrip()) > depth:
        rest += 1
    file.write_text("".join(lines[:first] + lines[rest:]))
    text = file.read_text()
    (problem,) = problems(late_orders)
    assert problem.line == text[: text.index(line)].count("\n") + 1
    assert (problem.key.split(".")[-1], problem.message) == (key, "is missing")


def test_several_mistakes_are_told_together(late_orders: Path) -> None:
    world.edit(late_orders / YAML, "title: Late orders", "titel: Late orders")
    world.edit(late_orders / YAML, "threshold: 0.5", "threshold: 5")
    found = {problem.key: problem.message for problem in problems(late_orders)}
    assert set(found) == {"title", "titel", "label.threshold"}
    with pytest.raises(ConfigurationError, match=r"\(and 2 more: `mlplatform validate late_orders`\)"):
        project.load(late_orders)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("type: mlplatform.UseCase\nattributes: {", 2, "not YAML: "),
        (
            "type: mlplatform.UseCase\nattributes:\n  title: a: b\n",
            3,
            "not YAML: mapping values are not allowed",
        ),
        ("type: mlplatform.UseCase\nattributes:\n\ttitle: a\n", 3, r"not YAML: found character '\t'"),
        ("type: mlplatform.UseCase\x00", None, "not YAML: "),
        ("", 1, "got 'NoneType'; allowed: mlplatform.UseCase"),
        ("- 1", 1, "got 'list'; allowed: mlplatform.UseCase"),
        ("type: mlplatform.Usecase", 1, "got 'mlplatform.Usecase'; allowed: mlplatform.UseCase"),
    ],
)
def test_a_file_that_is_no_declaration(late_orders: Path, text: str, line: int | None, said: str) -> None:
    (late_orders / YAML).write_text(text)
    (problem,) = problems(late_orders)
    assert (problem.file, problem.line) == (str(late_orders / YAML), line)
    assert said in problem.message


def test_a_file_that_is_no_text(late_orders: Path) -> None:
    (late_orders / YAML).write_bytes(b"\xff\xfe\x00")
    (problem,) = problems(late_orders)
    assert "cannot be read" in problem.message


IN_PYTHON = {
    "a syntax error": ("DAYS_OF_GRACE = 0", "DAYS_OF_GRACE = (", "DAYS_OF_GRACE = (", "SyntaxError: '(' was never closed"),
    "a name that is not there": ("Static, col", "Statics, col", "Statics", "ImportError: cannot import name 'Statics'"),
    "a name that is not defined": ("dy.Int64(min=1)\n    warehouse", "dyy.Int64()\n    warehouse", "dyy", "NameError: name 'dyy' is not defined"),
    "an error while it is imported": ("DAYS_OF_GRACE = 0", "DAYS_OF_GRACE = 1 / 0", "1 / 0", "ZeroDivisionError: division by zero"),
    "an argument that does not exist": ('lag="30m")', 'delay="30m")', "delay", "TypeError: Unexpected keyword argument 'delay'"),
    "a declaration that refuses itself": ('key=("order_id",), lag="30m"', 'key=(), lag="30m"', "lag=", "source 'deliveries' has an empty key"),
    "a duration that is none": ('lag="30m")', 'lag="half an hour")', "half an hour", "half an hour"),
    "a feature that is declared twice": ('Row("weekday"', 'Row("weight"', "FEATURES = ", "feature name 'weight' is used twice"),
    "a fact that is not there": ('col("weight_g") * 1', 'col("weight_kg") * 1', "FEATURES = ", "feature 'weight' reads weight_kg; known at that point"),
    "a function of an aggregate": ('"mean", "3d", "late"', '"median", "3d", "late"', "FEATURES = ", "feature 'late_median_3d_by_warehouse': Invalid enum value 'median'"),
    "a value of another type": ('"mean", "3d", "late"', '"mean", "3d", 7, name="x"', "FEATURES = ", "feature 'x': Expected `str | null`, got `int`"),
    "a type of a fact": ('"weight_g": "int"', '"weight_g": "integer"', "FEATURES = ", "Invalid enum value 'integer'"),
    "a table that is no data set": ('Static("warehouses"', 'Static("wharehouses"', "FEATURES = ", "reads table 'wharehouses'; allowed: the data sets orders, warehouses"),
    "a static column of a daily table": ('Static("warehouses", by="warehouse", value="packers")', 'Static("orders", by="order_id", value="late")', "FEATURES = ", "Static reads 'orders', whose rows come day by day; allowed: warehouses"),
    "a clock that runs too early": ('Last(delivered, "warehouse", "days_late"', 'Last(placed, "warehouse", "days_late"', "FEATURES = ", "feature 'days_late_last_by_warehouse' reads 'days_late' of 'orders' by the clock 'placed', but it is known only from 'delivered' on: it would see the future"),
    "an aggregate by a clock that runs too early": ('Agg(delivered, "warehouse", "mean", "3d", "late")', 'Agg(shipped, "warehouse", "mean", "3d", "late")', "FEATURES = ", "'late' of 'orders' by the clock 'shipped'"),
    "a key that is known too late": ('Agg(placed, "warehouse", "count", "1d")', 'Agg(placed, "hours_to_ship", "count", "1d")', "FEATURES = ", "'hours_to_ship' of 'orders' by the clock 'placed'"),
    "a state that is known too late": ('Open(placed, shipped, "warehouse", "count", "4d", "1d")', 'Open(placed, shipped, "warehouse", "mean_state", "4d", "1d", value="days_late")', "FEATURES = ", "'days_late' of 'orders' by the clock 'shipped'"),
    "a fact that is known too late": ('"express": "bool",', '"express": "bool", "hours_to_ship": "int",', "FEATURES = ", "fact 'hours_to_ship' of the spine is known only from 'shipped' on"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", IN_PYTHON)
def test_a_mistake_in_the_features(late_orders: Path, mistake: str) -> None:
    old, new, marker, said = IN_PYTHON[mistake]
    world.edit(late_orders / PYTHON, old, new)
    assert said in the_problem(late_orders, PYTHON, marker)
    with pytest.raises(ConfigurationError, match=PYTHON):
        project.load(late_orders)


def test_no_features_at_all(late_orders: Path) -> None:
    (late_orders / PYTHON).unlink()
    (problem,) = problems(late_orders)
    assert f"{late_orders / PYTHON} does not exist" in problem.message


def test_a_folder_with_the_name_of_the_whole(late_orders: Path) -> None:
    folder = late_orders.rename(late_orders.with_name("platform"))
    (problem,) = problems(folder)
    assert "folder is called 'platform'; allowed: any other name" in problem.message


def test_a_folder_whose_name_cannot_name_tables(late_orders: Path) -> None:
    renamed = late_orders.rename(late_orders.with_name("Late-Orders"))
    (problem,) = problems(renamed)
    assert "folder is called 'Late-Orders'; allowed: lower-case letters, digits" in problem.message


class TestFind:
    def test_by_name_and_by_folder_from_anywhere(self, late_orders: Path) -> None:
        above = late_orders.parent
        for name, start in [
            ("late_orders", above),
            ("late_orders/", above),
            ("./late_orders", above),
            (".", late_orders),
            ("../late_orders", late_orders),
            (str(late_orders), Path("/")),
            ("late_orders", above.parent),
        ]:
            assert project.find(name, start) == late_orders

    def test_the_package_brings_its_own(self, tmp_path: Path) -> None:
        assert project.find("flight_delay", tmp_path) == project.BUILT_IN / "flight_delay"

    def test_an_unknown_name(self, late_orders: Path) -> None:
        with pytest.raises(
            NotFound, match=r"no use case 'late_order'; there are: .*flight_delay, late_orders"
        ) as caught:
            project.find("late_order", late_orders.parent)
        assert caught.value.hint == "Did you mean 'late_orders'?"

    def test_hidden_folders_and_other_components_are_no_use_cases(self, late_orders: Path) -> None:
        above = late_orders.parent
        hidden = above / ".cache" / "old"
        hidden.mkdir(parents=True)
        (hidden / YAML).write_text((late_orders / YAML).read_text())
        (above / "other").mkdir()
        (above / "other" / YAML).write_text("type: dagster.DefsFolderComponent\n")
        assert set(project.use_cases(above)) == {*project.use_cases(project.BUILT_IN), "late_orders"}
