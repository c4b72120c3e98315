"""Following the champion history: swaps, what stays out, and starting with nothing."""

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import RequestError
from mlplatform.online.releases import Releases
from mlplatform.online.service import ScoringService
from mlplatform.stages.training.candidate import Candidate
from mlplatform.stores.champions import ChampionStore
from mlplatform_tests.online.world import FEATURES, USE_CASE, Trained, World, facts_of, orders


def asked(releases: Releases, trained: Trained) -> tuple[int, str, float]:
    answer = ScoringService(releases).score(USE_CASE, facts_of(trained.frame.row(150, named=True)))
    return answer.version, answer.digest, answer.score


def damage(world: World, candidate: Candidate) -> Path:
    """Flip one bit of the stored model file."""
    path = world.folder / "candidates" / USE_CASE / candidate.digest / next(iter(candidate.model_files))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


def test_a_new_release_takes_over_and_keeps_the_memory(
    world: World, trained: Trained, other: Trained
) -> None:
    world.promote(trained.candidate)
    releases = world.releases()
    releases.poll()
    first = releases.current[USE_CASE].bundle
    assert asked(releases, trained) == (1, trained.candidate.digest, trained.scores[150])
    world.promote(other.candidate)
    releases.poll()
    assert asked(releases, trained) == (2, other.candidate.digest, other.scores[150])
    assert releases.current[USE_CASE].bundle.memory is first.memory
    facts = first.facts.convert(facts_of(trained.frame.row(150, named=True)))
    asked_before = first.asked(facts)
    answer = first.told(asked_before, first.score_row(asked_before.row), "champion")
    assert answer.version == 1  # who still holds the old bundle gets answers of it alone


def test_nothing_changes_when_nothing_is_new(world: World, trained: Trained) -> None:
    world.promote(trained.candidate)
    releases = world.releases()
    releases.poll()
    before = releases.current
    releases.poll()
    assert releases.current is before


def test_a_damaged_candidate_stays_out(world: World, trained: Trained, other: Trained) -> None:
    world.promote(trained.candidate)
    releases = world.releases()
    releases.poll()
    world.promote(other.candidate)
    path = damage(world, other.candidate)
    releases.poll()
    assert asked(releases, trained)[0] == 1
    assert "Release 2 is not in use" in releases.problems[USE_CASE]
    assert f"damaged: {path.name} differs" in releases.problems[USE_CASE]
    path.write_bytes(other.candidate.model_files[path.name])
    releases.poll()
    assert asked(releases, trained)[0] == 2
    assert releases.problems == {}


def test_a_candidate_whose_golden_rows_score_otherwise_stays_out(world: World, trained: Trained) -> None:
    golden = trained.candidate.golden
    scores = [*golden.scores[:-1], golden.scores[-1] + 1e-16 + golden.scores[-1] * 1e-15]
    assert scores != golden.scores
    world.promote(replace(trained.candidate, golden=type(golden)(golden.names, golden.rows, scores)))
    releases = world.releases()
    releases.poll()
    assert "1 of 32 golden rows got another score" in releases.problems[USE_CASE]
    with pytest.raises(RequestError, match="golden") as caught:
        asked(releases, trained)
    assert caught.value.status == 503


def test_a_model_and_a_feature_set_of_others_stay_out(world: World, trained: Trained) -> None:
    fewer = trained.candidate.feature_set.replace(b'"name":"grams"', b'"name":"kilos"')
    world.promote(replace(trained.candidate, feature_set=fewer))
    releases = world.releases()
    releases.poll()
    assert "are not the 17 of its feature set" in releases.problems[USE_CASE]


def test_what_breaks_a_library_does_not_end_the_following(world: World, trained: Trained) -> None:
    strange = replace(trained.candidate, kind="mlplatform_tests.online.test_releases")
    world.promote(strange)
    releases = world.releases()
    releases.poll()
    assert "loading failed: AttributeError" in releases.problems[USE_CASE]
    world.promote(trained.candidate)
    releases.poll()
    assert asked(releases, trained)[0] == 2


def test_a_failed_release_is_not_tried_at_every_poll(world: World, trained: Trained) -> None:
    world.promote(trained.candidate)
    path, now = damage(world, trained.candidate), [0.0]
    releases = Releases(
        world.lake,
        world.candidates,
        lambda: ChampionStore(world.state_url),
        lambda: [USE_CASE],
        retry=10.0,
        clock=lambda: now[0],
    )
    releases.poll()
    path.write_bytes(trained.candidate.model_files[path.name])
    now[0] = 9.0
    releases.poll()
    assert "damaged" in releases.problems[USE_CASE]
    now[0] = 10.0
    releases.poll()
    assert (releases.problems, list(releases.current)) == ({}, [USE_CASE])


def test_a_threshold_of_the_release_decides_the_class(world: World, trained: Trained) -> None:
    score = float(trained.scores[150])
    world.promote(trained.candidate, threshold=score + 0.01)
    releases = world.releases()
    releases.poll()
    facts = facts_of(trained.frame.row(150, named=True))
    assert not ScoringService(releases).score(USE_CASE, facts).predicted
    assert releases.current[USE_CASE].bundle.threshold == score + 0.01


def test_new_rows_in_the_lake_are_remembered_once_writing_pauses(world: World, trained: Trained) -> None:
    world.promote(trained.candidate)
    commits = [0]
    releases = Releases(
        world.lake,
        world.candidates,
        lambda: ChampionStore(world.state_url),
        lambda: [USE_CASE],
        lake_stamp=lambda: commits[0],
    )
    releases.poll()
    before = releases.current[USE_CASE]
    world.write(more := orders(days=8))
    commits[0] += 1
    releases.poll()
    assert releases.current[USE_CASE] is before
    releases.poll()
    after = releases.current[USE_CASE]
    assert after.bundle.memory.rows["placed"] == more.height > before.bundle.memory.rows["placed"]
    assert after.bundle.release == before.bundle.release
    commits[0] += 1
    for _ in range(3):
        releases.poll()
    assert releases.current[USE_CASE] is after


def test_a_release_waits_for_the_tables_it_needs(tmp_path: Path, trained: Trained) -> None:
    world = World(tmp_path)
    world.promote(trained.candidate)
    releases = world.releases()
    releases.poll()
    assert "the lake has no rows in returns.orders" in releases.problems[USE_CASE]
    world.write(trained.frame)
    releases.poll()
    assert asked(releases, trained)[0] == 1


def test_starting_with_nothing(tmp_path: Path, trained: Trained) -> None:
    settings = Settings(home=tmp_path, state_url=f"sqlite:///{tmp_path / 'state.sqlite'}", broker_url="")
    releases = Releases.from_settings(settings)
    assert "starting" in refusal(releases, trained, 503)
    releases.poll()
    assert "known: none yet" in refusal(releases, trained, 404)
    world = World(tmp_path)
    world.candidates.put(trained.candidate)
    releases.poll()
    assert "No champion of 'returns' was released yet" in refusal(releases, trained, 503)
    world.write(trained.frame)
    world.promote(trained.candidate)
    releases.poll()
    assert asked(releases, trained)[0] == 1
    assert releases.known == (USE_CASE,)


def test_a_history_that_cannot_be_opened_is_told_of(tmp_path: Path, trained: Trained) -> None:
    world = World(tmp_path)
    world.state_url = "sqlite:////dev/null/state.sqlite"
    releases = world.releases()
    releases.poll()
    assert "MLPLATFORM_STATE_URL" in releases.trouble
    assert "MLPLATFORM_STATE_URL" in refusal(releases, trained, 503)


def test_no_answer_mixes_two_releases(world: World, trained: Trained, other: Trained) -> None:
    """A thread swaps as fast as it can while another asks: every score belongs to the digest beside it."""
    scores = {each.candidate.digest: each.scores[150] for each in (trained, other)}
    world.promote(trained.candidate)
    releases = world.releases()
    releases.poll()
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for each in (other, trained):
                world.promote(each.candidate)
                releases.poll()

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen: set[int] = set()
    until = time.monotonic() + 30
    while len(seen) < 6 and time.monotonic() < until:
        version, digest, score = asked(releases, trained)
        assert score == scores[digest]
        assert digest == (trained, other)[(version - 1) % 2].candidate.digest
        seen.add(version)
    stop.set()
    swapper.join()
    assert len(seen) >= 6


def test_the_thread_follows_until_it_is_stopped(world: World, trained: Trained) -> None:
    releases = world.releases()
    releases.start(0.01)
    world.promote(trained.candidate)
    until = time.monotonic() + 30
    while not releases.current and time.monotonic() < until:
        time.sleep(0.01)
    releases.stop()
    assert asked(releases, trained)[0] == 1


def refusal(releases: Releases, trained: Trained, status: int) -> str:
    facts: dict[str, Any] = facts_of(trained.frame.row(0, named=True))
    with pytest.raises(RequestError) as caught:
        ScoringService(releases).score(USE_CASE, facts)
    assert caught.value.status == status
    return f"{caught.value} {caught.value.hint}"


def test_the_world_has_what_the_tests_need(trained: Trained) -> None:
    assert len(FEATURES.names) == 17
    assert trained.frame.filter(pl.col("shop").is_null()).height > 5
    assert trained.frame["placed"].is_duplicated().any()
