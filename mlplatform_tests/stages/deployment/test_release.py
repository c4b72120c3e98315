"""A release is its promotion with a number, and survives JSON."""

from datetime import UTC, datetime

import msgspec
import pytest

from mlplatform.stages.deployment.release import Promotion, Release, number

PROMOTION = Promotion(
    use_case="flight_delay",
    digest="d",
    model="lightgbm",
    feature_set_id="fs",
    figures={"log_loss": 0.44},
    as_of="2013-09-30",
    released_at=datetime(2013, 11, 1, tzinfo=UTC),
    released_by="someone",
    why="better",
)


def test_number_keeps_everything_and_adds_the_version() -> None:
    release = number(PROMOTION, 3)
    assert release.version == 3
    assert {**msgspec.structs.asdict(PROMOTION), "version": 3} == msgspec.structs.asdict(release)


def test_release_survives_json_and_cannot_be_changed() -> None:
    release = number(PROMOTION, 1)
    assert msgspec.json.decode(msgspec.json.encode(release), type=Release) == release
    with pytest.raises(AttributeError):
        release.version = 2  # type: ignore[misc]
