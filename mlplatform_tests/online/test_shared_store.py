"""Scoring from an online store that several services share, and who fills it."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mlplatform.errors import RequestError
from mlplatform.online.releases import Releases
from mlplatform.online.service import ScoringService
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.online import open_online_store
from mlplatform.stores.warmup import fill
from mlplatform_tests.online.test_agreement import bits
from mlplatform_tests.online.world import FEATURES, USE_CASE, Trained, World, facts_of
from mlplatform_tests.stores.valkey_server import ValkeyServer, valkey_program


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    program = valkey_program()
    if program is None:
        pytest.skip("no Valkey")
    with ValkeyServer(program, tmp_path) as running:
        yield running


def releases(world: World, url: str) -> Releases:
    return Releases(
        world.lake,
        world.candidates,
        lambda: ChampionStore(world.state_url),
        lambda: [USE_CASE],
        online_store=url,
        retry=0.0,
    )


def test_scores_are_those_of_batch_and_a_dead_store_is_said(
    ready: World, trained: Trained, valkey: ValkeyServer
) -> None:
    followed = releases(ready, valkey.url)
    followed.poll()
    assert "has no rows" in followed.problems[USE_CASE]
    assert f"mlplatform warm {USE_CASE}" in followed.problems[USE_CASE]
    with closing(open_online_store(valkey.url, FEATURES, USE_CASE)) as store:
        fill(store, ready.lake, USE_CASE)
    followed.poll()
    assert followed.problems == {}
    service, few = ScoringService(followed), trained.frame.head(40)
    bodies = [json.dumps(facts_of(row)).encode() for row in few.iter_rows(named=True)]
    assert bits([asyncio.run(service.score_json(USE_CASE, body)).score for body in bodies]) == bits(
        trained.scores[:40]
    )
    valkey.kill()
    with pytest.raises(RequestError) as refused:
        asyncio.run(service.score_json(USE_CASE, bodies[0]))
    assert refused.value.status == 503
