"""`mlplatform warm`: what a store is filled with, in memory and on a server."""

import sys
from pathlib import Path

import pytest

from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Zygote
from mlplatform_tests.stores.valkey_server import ValkeyServer, valkey_program


def test_in_memory(finished: Finished, mlplatform: Zygote) -> None:
    said = mlplatform.run("warm", world.NAME, "--json", home=finished.home, cwd=finished.project)
    assert (said.returncode, said.stderr) == (0, "")
    told = world.one_object(said.stdout)
    assert told["store"] == "memory://"
    assert told["rows"]["orders"] > 500
    assert told["rows"]["warehouses"] == len(world.WAREHOUSES)
    assert told["seconds"] > 0


def test_on_a_server(finished: Finished, tmp_path: Path) -> None:
    program = valkey_program()
    if program is None:
        pytest.skip("no Valkey")
    with ValkeyServer(program, tmp_path) as server:
        command = [str(Path(sys.executable).with_name("mlplatform")), "warm", world.NAME]
        setting = {"MLPLATFORM_ONLINE_STORE": server.url}
        said = world.process(command, home=finished.home, cwd=finished.project, **setting)
        assert said.returncode == 0, said.stderr
        assert said.stdout.startswith(f"{server.url}: ")
        assert "this was a trial" not in said.stdout


def test_without_a_lake(late_orders: Path, tmp_path: Path, mlplatform: Zygote) -> None:
    said = mlplatform.run("warm", world.NAME, home=tmp_path / "home", cwd=late_orders.parent)
    assert said.returncode == 1
    assert "mlplatform run" in said.stderr
