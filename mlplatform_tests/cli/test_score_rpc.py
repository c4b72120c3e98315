"""`mlplatform score --rpc`: a question over the broker instead of HTTP."""

from contextlib import closing
from pathlib import Path

import pytest

from mlplatform_tests.crosscutting.brokers import Broker, free_port
from mlplatform_tests.online.test_rpc import Worker
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Zygote


@pytest.mark.slow
def test_over_the_broker(late_orders: Path, tmp_path: Path, mlplatform: Zygote) -> None:
    def ask(url: str) -> tuple[int, str, str]:
        said = mlplatform.run(
            "score",
            world.NAME,
            "order_id=7",
            "--rpc",
            "--json",
            home=tmp_path / "home",
            cwd=late_orders.parent,
            MLPLATFORM_BROKER_URL=url,
        )
        return said.returncode, said.stdout, said.stderr

    with Broker(tmp_path / "home") as broker:
        with closing(Worker(broker.url)) as worker:
            assert worker.ready()
            code, stdout, stderr = ask(broker.url)
            assert (code, stderr) == (0, ""), stderr
            answer = world.one_object(stdout)
        assert (answer["use_case"], answer["prediction_id"]) == (world.NAME, "a")
        assert '"order_id":7' in answer["model"], "the facts did not arrive"
        code, _, stderr = ask(broker.url)
        assert code == 1
        assert "no scoring service listens on rpc.mlplatform.score.late_orders" in stderr
    code, _, stderr = ask(f"nats://127.0.0.1:{free_port()}")
    assert code == 1
    assert "No broker answers" in stderr
