"""What a person means by a version, a digest or a model's name."""

from datetime import UTC, datetime

import pytest

from mlplatform.errors import NotFound
from mlplatform.offline.chosen import chosen
from mlplatform.offline.packaging import Made
from mlplatform.stages.deployment.release import Release

OLD = Made("tree", "a" * 63 + "1", "2025-03-01")
NEW = Made("tree", "a" * 63 + "2", "2025-04-01")
LINE = Made("line", "1234567" + "b" * 57, "2025-04-01")
CANDIDATES = [OLD, LINE, NEW]
RELEASE = Release(
    use_case="parcels",
    digest=OLD.digest,
    model="tree",
    feature_set_id="set",
    figures={},
    as_of=OLD.as_of,
    released_at=datetime(2025, 5, 1, tzinfo=UTC),
    released_by="test",
    why="it won",
    version=7,
)


@pytest.mark.parametrize(
    ("which", "meant"),
    [
        ("7", RELEASE),
        ("tree", NEW),
        ("line", LINE),
        (OLD.digest, OLD),
        ("1234567", LINE),
    ],
)
def test_what_is_meant(which: str, meant: Release | Made) -> None:
    assert chosen(which, [RELEASE], CANDIDATES) == meant


@pytest.mark.parametrize("which", ["8", "nobody", "", "aaaaaaa", "123456", "abcdef0"])
def test_what_means_nothing_or_several(which: str) -> None:
    with pytest.raises(NotFound, match=r"allowed: a version \(7\), a model \(tree, line\)"):
        chosen(which, [RELEASE], CANDIDATES)
