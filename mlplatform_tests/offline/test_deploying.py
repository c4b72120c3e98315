"""Changes of a deployment on a finished home: by the asset, by jobs, and what neither may do."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster import ExecuteInProcessResult
from msgspec.structs import replace as with_fields

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.offline import project
from mlplatform.offline.deploying import Desk
from mlplatform.offline.packaging import Packager, candidates
from mlplatform.offline.run import instance_of
from mlplatform.stages.deployment.alias import Deployment
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake
from mlplatform_tests.conftest import Finished
from mlplatform_tests.crosscutting.brokers import free_port
from mlplatform_tests.offline.deployed import Platform, running
from mlplatform_tests.small import world

AS_OF, SENSOR = "2025-04-08", "deployment_changed"
WINNER, OTHER = "logistic_regression", "decision_tree"
SAID = {"who": "ann@desk", "why": "a test"}


@pytest.fixture
def platform(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A copy of the finished home; no broker and no service runs."""
    home = tmp_path / "home"
    shutil.copytree(finished.home, home)
    monkeypatch.setenv("MLPLATFORM_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    urls = {
        "MLPLATFORM_BROKER_URL": f"nats://127.0.0.1:{free_port()}",
        "MLPLATFORM_SCORING_PORT": str(free_port()),
    }
    settings = Settings.load({"MLPLATFORM_HOME": str(home), **urls})
    with instance_of(settings) as instance:
        yield Platform(project.load(finished.folder), settings, instance)


@pytest.fixture
def desk(platform: Platform) -> Iterator[Desk]:
    with Desk(platform.declared, platform.settings) as desk:
        yield desk


def present(platform: Platform) -> Deployment:
    with closing(ChampionStore(platform.settings.state_url)) as store:
        found = store.deployment(world.NAME)
    assert found is not None
    return found


def metadata(done: ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (made,) = done.asset_materializations_for_node(f"{world.NAME}__{asset}")
    return {name: value.value for name, value in made.metadata.items()}


def digest_of(platform: Platform, model: str) -> str:
    with closing(Lake.from_settings(platform.settings)) as lake:
        return str(lake.read(platform.declared.table(f"candidate_{model}"))["digest"][0])


def let_win(platform: Platform, model: str, digest: str) -> None:
    """Write a verdict by which a model won, with its candidate under this digest."""
    table = platform.declared.table
    with closing(Lake.from_settings(platform.settings)) as lake:
        for name in ("candidate", "evaluation"):
            rows = lake.read(table(f"{name}_{model}"))
            lake.write(table(f"{name}_{model}"), rows.with_columns(digest=pl.lit(digest)), [AS_OF])
        mine = pl.col("model") == model
        rows = lake.read(table("champion")).with_columns(
            digest=pl.when(mine).then(pl.lit(digest)).otherwise("digest"), winner=mine
        )
        lake.write(table("champion"), rows, [AS_OF])


def put_with_other_golden_rows(platform: Platform, model: str) -> str:
    """Store the candidate again with one golden score that its model does not give; every hash is right."""
    store = CandidateStore(platform.settings.candidates)
    sound = store.get(world.NAME, digest_of(platform, model))
    golden = with_fields(sound.golden, scores=[0.123, *sound.golden.scores[1:]])
    return store.put(replace(sound, golden=golden))


@pytest.mark.slow
def test_a_package_whose_golden_rows_differ_is_not_released(platform: Platform, desk: Desk) -> None:
    before = present(platform)
    bad = put_with_other_golden_rows(platform, OTHER)
    let_win(platform, OTHER, bad)
    packaged = platform.materialise("package", partition_key=AS_OF)
    checks = {check.check_name: check.passed for check in packaged.get_asset_check_evaluations()}
    assert (checks["golden_rows"], checks["hashes"], checks["features"]) == (False, True, True)
    with pytest.raises(ModelError, match=r"decision_tree is not released: golden_rows: 1 of \d+ golden rows"):
        platform.materialise("release", partition_key=AS_OF)
    with pytest.raises(ModelError, match="golden_rows"):
        desk.promote(bad[:12], **SAID)
    assert present(platform) == before
    assert len(desk.store.history(world.NAME)) == 1


def test_a_damaged_candidate_is_not_promoted_by_anybody(platform: Platform, desk: Desk) -> None:
    before = present(platform)
    folder = platform.settings.candidates / world.NAME / digest_of(platform, OTHER)
    (folder / "model.json").write_bytes(b"{}")
    for act in (desk.promote, desk.shadow):
        with pytest.raises(ModelError, match=r"refused: hashes: candidate .* is damaged: model.json"):
            act(OTHER, **SAID)
    assert present(platform) == before


def test_a_winner_that_the_quality_gate_refuses_stays_out_and_the_run_goes_on(platform: Platform) -> None:
    before = present(platform)
    let_win(platform, OTHER, digest_of(platform, OTHER))
    platform.materialise("package", partition_key=AS_OF)
    with closing(Lake.from_settings(platform.settings)) as lake:
        table = platform.declared.table("package")
        refused = pl.when(role="winner").then(pl.lit("no_regression: it is worse")).otherwise("gate")
        lake.write(table, lake.read(table).with_columns(gate=refused), [AS_OF])
    done = platform.materialise("release", partition_key=AS_OF)
    assert "the quality gate refused decision_tree" in metadata(done, "release")["not promoted"]
    assert present(platform) == before


def test_what_a_rollback_withdrew_stays_out_until_a_person_promotes_it(
    platform: Platform, desk: Desk
) -> None:
    desk.promote(OTHER, **SAID)
    desk.promote("1", **SAID)
    assert desk.rollback(**SAID).present.champion.model == OTHER
    done = platform.materialise("package", "release", partition_key=AS_OF)
    assert "stays out until a person promotes it" in metadata(done, "release")["not promoted"]
    assert present(platform).champion.model == OTHER
    assert [release.version for release in present(platform).withdrawn] == [1]
    desk.promote("1", **SAID)
    done = platform.materialise("release", partition_key=AS_OF)
    assert "not promoted" not in metadata(done, "release")
    assert present(platform).champion.version == 1


@pytest.mark.slow
def test_a_champion_that_another_one_followed_is_not_brought_back_by_a_run(
    platform: Platform, desk: Desk
) -> None:
    desk.promote(OTHER, **SAID)
    done = platform.materialise("release", partition_key=AS_OF)
    assert "version 2 followed it" in metadata(done, "release")["not promoted"]
    assert present(platform).champion.version == 2


@pytest.mark.slow
def test_another_way_of_serving_is_a_new_version_of_the_same_model(
    platform: Platform, finished: Finished, tmp_path: Path
) -> None:
    folder = tmp_path / "project" / world.NAME
    shutil.copytree(finished.folder, folder)
    world.edit(folder / "defs.yaml", "  champion:\n", "  serving: { constant: 0.2 }\n  champion:\n")
    served = Platform(project.load(folder), platform.settings, platform.instance)
    served.materialise("package", "release", partition_key=AS_OF)
    now = present(platform)
    assert (now.champion.version, now.champion.model, now.champion.policy.constant) == (2, WINNER, 0.2)
    assert now.previous[0].policy.constant is None


def test_a_candidate_without_a_version_gets_one(platform: Platform, desk: Desk) -> None:
    released = desk.release(OTHER, **SAID)
    assert (released.version, released.digest, released.as_of) == (2, digest_of(platform, OTHER), AS_OF)
    assert released.figures.keys() == {"threshold", "validation_log_loss", "test_log_loss"}
    assert desk.release(released.digest[:7], **SAID) == released
    assert present(platform).number == 1


def test_left_out_it_is_the_shadow_the_canary_or_the_best_challenger(platform: Platform, desk: Desk) -> None:
    shadow = desk.shadow(**SAID).present.shadow
    canary = desk.canary(share=0.2, **SAID).present.canary
    promoted = desk.promote(**SAID).present
    assert shadow is not None
    assert canary == shadow == promoted.champion
    assert shadow.model == OTHER
    assert (promoted.canary, promoted.shadow) == (None, None)
    assert desk.promote("2", **SAID).change is None


def test_mistakes_change_nothing(platform: Platform, desk: Desk) -> None:
    before = present(platform)
    with pytest.raises(ConfigurationError, match="no champion before version 1"):
        desk.rollback(**SAID)
    with pytest.raises(ConfigurationError, match="got version 7"):
        desk.rollback(7, **SAID)
    with pytest.raises(ConfigurationError, match=r"share of 1\.5"):
        desk.canary(OTHER, share=1.5, **SAID)
    with pytest.raises(ConfigurationError, match="version 1 as canary"):
        desk.canary("1", share=0.5, **SAID)
    with pytest.raises(ConfigurationError, match="allowed: canary, shadow"):
        desk.off("champion", **SAID)
    assert present(platform) == before


def test_the_jobs_need_no_configuration(platform: Platform) -> None:
    def click(job: str, **config: object) -> dict[str, Any]:
        names = {
            "promote": "promote_to_champion_of",
            "rollback": "roll_back",
            "canary": "set_canary_of",
            "shadow": "set_shadow_of",
        }
        op = f"{names[job]}_{world.NAME}"
        done = platform.defs.resolve_job_def(f"{job}_{world.NAME}").execute_in_process(
            instance=platform.instance,
            run_config={
                "ops": {op: {"config": config}} if config else {},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )
        (output,) = [e for e in done.events_for_node(op) if e.is_successful_output]
        told = output.step_output_data.metadata
        return {name: value.value for name, value in told.items()}

    assert "is asked as shadow" in click("shadow")["in use now"]
    assert "answers 5.0% of the entities as canary" in click("canary")["in use now"]
    told = click("promote", why="it did well")
    assert told["in use now"].startswith(f"{world.NAME}: version 2 ({OTHER}) is the champion")
    assert (told["changed"], told["deployment-changed"]) == (True, "follows when the broker is back")
    assert "not running" in told["scoring service"]
    told = click("rollback")
    assert told["in use now"] == f"{world.NAME}: version 1 ({WINNER}) is the champion."
    with closing(ChampionStore(platform.settings.state_url)) as store:
        changes = store.changes(world.NAME)
    assert [change.action for change in changes] == [
        *("promote", "shadow", "canary", "promote", "rollback"),
    ]
    assert changes[3].why == "it did well"
    assert all("(run " in change.changed_by for change in changes)


def test_after_an_outage_every_change_is_published_exactly_once(
    platform: Platform, desk: Desk, tmp_path: Path
) -> None:
    assert not desk.promote(OTHER, **SAID).published
    assert platform.tick(SENSOR).skipped.startswith("0 messages published, then: No broker answers")
    with running(platform.settings.broker_url, tmp_path / "broker"):
        assert desk.rollback(**SAID).published
        assert [told.number for told in platform.deployments()] == [3]
        assert platform.tick(SENSOR).skipped == "2 messages published."
        assert platform.tick(SENSOR).skipped == "0 messages published."
        platform.cursors[SENSOR] = ""
        assert platform.tick(SENSOR).skipped == "0 messages published."
        told = platform.deployments()
    assert sorted(each.number for each in told) == [1, 2, 3]
    (last,) = [each for each in told if each.number == 3]
    assert (last.use_case, last.action, last.version) == (world.NAME, "rollback", 1)
    assert (last.who, last.why, last.share) == ("ann@desk", "a test", 0.0)


def test_the_declared_example_is_scored_by_the_contract(platform: Platform) -> None:
    """Two candidates of one feature set: its memory is warmed once, and the example is no reason to fail."""
    table = platform.declared.table
    with closing(Lake.from_settings(platform.settings)) as lake:
        row = lake.read(table("orders")).sort("placed").row(-1, named=True)
        facts = {name: row[name] for name in platform.declared.feature_set.spine.facts}
        told = {
            name: each.isoformat() if hasattr(each, "isoformat") else each for name, each in facts.items()
        }
        config = platform.declared.config.model_copy(update={"example": told})
        declared = replace(platform.declared, config=config)
        packager = Packager.from_settings(declared, platform.settings, lake)
        for made in candidates(declared, lake)[:2]:
            found = {each.name: each for each in packager.pack(made, None).findings}
            assert found["example"].passed, found["example"]
            assert " to " in found["example"].said
