"""`mlplatform metrics`: the addresses, and files that fit them."""

import json
from pathlib import Path

import yaml

from mlplatform.cli.metrics import FILES
from mlplatform_tests.small.zygote import Zygote


def test_files_are_saved_with_the_addresses_of_the_deployment(tmp_path: Path, mlplatform: Zygote) -> None:
    told = mlplatform.run("metrics", "--save", "monitoring", "--json", home=tmp_path / "home", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["files"] == [f"monitoring/{name}" for name in FILES]
    config = yaml.safe_load((tmp_path / "monitoring" / "prometheus.yml").read_text())
    targets = [f"http://{job['static_configs'][0]['targets'][0]}/metrics" for job in config["scrape_configs"]]
    assert targets == list(found["urls"].values())
    assert config["rule_files"] == ["alerts.yml"]
    dashboard = json.loads((tmp_path / "monitoring" / "grafana-dashboard.json").read_text())
    assert dashboard["uid"] == "mlplatform"


def test_a_folder_that_cannot_be_written(tmp_path: Path, mlplatform: Zygote) -> None:
    (tmp_path / "file").write_text("")
    ended = mlplatform.run("metrics", "--save", "file", home=tmp_path / "home", cwd=tmp_path)
    assert ended.returncode == 1
    assert "cannot be written" in ended.stderr
