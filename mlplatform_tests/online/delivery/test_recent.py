"""The answers given last: bounded, found by their id, and kept apart from a shadow's."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.online.delivery.recent import Recent
from mlplatform.stages.scoring.score import Answer


def answer(id: str, **more: Any) -> Answer:
    """An answer with that id."""
    fields: dict[str, Any] = {
        "prediction_id": id,
        "use_case": "returns",
        "model": "lightgbm",
        "version": 1,
        "digest": "d",
        "feature_set": "returns@1",
        "kind": "probability",
        "score": 0.25,
        "as_of": datetime(2024, 3, 1, tzinfo=UTC),
    }
    return Answer(**fields | more)


def test_an_answer_is_given_as_it_was() -> None:
    recent = Recent()
    recent.keep("a", answer("a", predicted=True))
    body = recent.get("a")
    assert body is not None
    assert body == msgspec.json.encode(answer("a", predicted=True))
    assert recent.get("b") is None
    assert recent.status() == {"kept": 1, "most": 100_000, "found": 1}


@settings(max_examples=50, deadline=None)
@given(ids=st.lists(st.integers(0, 8)), most=st.integers(1, 5))
def test_the_newest_are_kept(ids: list[int], most: int) -> None:
    recent = Recent(most)
    for id in ids:
        recent.keep(str(id), answer(str(id)))
    found = {id for id in ids if recent.get(str(id)) is not None}
    assert len(found) == recent.status()["kept"] <= most
    assert not ids or ids[-1] in found
    if len(set(ids)) <= most:
        assert found == set(ids)
