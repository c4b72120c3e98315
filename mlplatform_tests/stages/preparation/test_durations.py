"""Durations: what is read, and what is refused."""

import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.stages.preparation.durations import microseconds


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("0m", 0), ("1s", 1), ("90m", 5_400), ("6h", 21_600), ("28d", 2_419_200), ("2w", 1_209_600)],
)
def test_a_number_and_a_unit(duration: str, seconds: int) -> None:
    assert microseconds(duration) == seconds * 1_000_000


@pytest.mark.parametrize(
    "wrong", ["", "6", "h", "6 h", "6H", "-1h", "1.5h", "1h30m", "6h\n", "٣h", "1234567s"]
)
def test_anything_else_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        microseconds(wrong)
    assert str(caught.value).startswith(f"got duration {wrong!r}; allowed: a whole number and a unit")
    assert "28d" in caught.value.hint
