"""Nothing is pickled: not in the code, not in the files of a home, not by an asset's IO manager."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import AssetsDefinition, AssetSpec

import mlplatform
from mlplatform.offline.io_manager import LakeIOManager
from mlplatform_tests.conftest import Finished
from mlplatform_tests.graph import snapshot
from mlplatform_tests.small import world

PACKAGE = Path(mlplatform.__file__).parent
CODE = sorted([*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "benchmarks").rglob("*.py")])
MODULES = {
    *("pickle", "_pickle", "cPickle", "pickle5", "cloudpickle", "dill", "jsonpickle"),
    *("joblib", "shelve", "marshal", "sklearn.externals.joblib"),
}
CALLS = {"read_pickle", "to_pickle", "dump_pickle", "load_pickle"}
LIBRARIES_THAT_PICKLE = {"torch", "joblib", "pickle", "dill", "cloudpickle"}


def pickling(source: str) -> Iterator[str]:
    """What in a file reads or writes a pickle, each with its line."""
    for node in ast.walk(ast.parse(source)):
        found = _imported(node) or _called(node)
        if found:
            yield f"{node.lineno}: {found}"  # type: ignore[attr-defined]


def _imported(node: ast.AST) -> str:
    match node:
        case ast.Import(names=names):
            wanted = [name.name for name in names]
        case ast.ImportFrom(module=str(module), names=names):
            wanted = [module, *(f"{module}.{name.name}" for name in names)]
        case ast.Call(args=[ast.Constant(value=str(name)), *_], func=function) if _name(function) in (
            "import_module",
            "__import__",
        ):
            wanted = [name]
        case _:
            return ""
    bad = [name for name in wanted if name in MODULES or name.split(".")[0] in MODULES]
    return f"imports {bad[0]}" if bad else ""


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    name = _name(node.func)
    owner = _name(node.func.value) if isinstance(node.func, ast.Attribute) else ""
    if name in CALLS or (name in ("load", "save", "loads", "dumps") and owner in LIBRARIES_THAT_PICKLE):
        return f"calls {owner}.{name}"
    for word in node.keywords:
        if word.arg == "allow_pickle" and not (
            isinstance(word.value, ast.Constant) and word.value.value is False
        ):
            return f"calls {owner}.{name} with allow_pickle"
    return ""


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


@pytest.mark.parametrize("file", CODE, ids=lambda file: str(file.relative_to(PACKAGE.parent)))
def test_no_code_reads_or_writes_a_pickle(file: Path) -> None:
    assert list(pickling(file.read_text())) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import json, joblib",
        "from cloudpickle import dumps",
        "from sklearn.externals import joblib",
        "import importlib; importlib.import_module('dill')",
        "__import__('marshal')",
        "import shelve as s",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "pd.read_pickle(path)",
        "frame.to_pickle(path)",
    ],
)
def test_the_search_finds_what_it_looks_for(line: str) -> None:
    assert list(pickling(line))


@pytest.mark.parametrize(
    "line", ["np.load(path, allow_pickle=False)", "json.loads(text)", "model.load(files)"]
)
def test_the_search_lets_other_things_be(line: str) -> None:
    assert not list(pickling(line))


def is_pickle(content: bytes) -> bool:
    """Pickles of protocol 2 to 5, which every library writes, begin with the number of it."""
    return len(content) > 1 and content[0] == 0x80 and content[1] in (2, 3, 4, 5)


def test_a_run_leaves_no_pickle_behind(finished: Finished) -> None:
    files = [file for file in finished.home.rglob("*") if file.is_file()]
    kinds = {file.suffix for file in files}
    assert {".parquet", ".sqlite", ".json"} <= kinds
    assert not kinds & {".pkl", ".pickle", ".joblib", ".npy", ".pt", ".skops"}
    assert [str(file) for file in files if is_pickle(file.open("rb").read(16))] == []


def test_the_magic_bytes_are_those_of_pickles() -> None:
    assert is_pickle(b"\x80\x04\x95\x0b")
    assert not is_pickle(b"PAR1")
    assert not is_pickle(b"")


def test_no_asset_uses_the_io_manager_that_pickles() -> None:
    resources = snapshot.graph().resources or {}
    assert isinstance(resources["mlplatform_io"], LakeIOManager)
    assert "io_manager" not in resources
    for asset in snapshot.graph().assets or ():
        if isinstance(
            asset, AssetSpec
        ):  # an event stream: filled by another process, stored by no IO manager
            continue
        assert isinstance(asset, AssetsDefinition)
        outputs = {output.name: output.io_manager_key for output in asset.node_def.output_defs}
        stored = {outputs[name] for name in asset.keys_by_output_name}  # results of checks are not stored
        inputs = {definition.input_manager_key for definition in asset.node_def.input_defs}
        assert stored | inputs <= {"mlplatform_io", None}, asset.key


def test_dagster_stored_no_output_of_its_own(finished: Finished) -> None:
    storage = finished.home / "dagster" / "storage"
    assert not list(storage.glob(f"{world.NAME}/*"))
    assert not list(storage.glob("*/*/result"))
