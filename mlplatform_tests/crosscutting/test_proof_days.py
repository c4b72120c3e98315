"""How long a result counts: a whole number of days."""

import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError


def test_ninety_days_unless_told() -> None:
    assert Settings.load({}).proof_days == 90
    assert Settings.load({"MLPLATFORM_PROOF_DAYS": "7"}).proof_days == 7


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "week", "40000", ""])
def test_what_is_no_number_of_days(text: str) -> None:
    with pytest.raises(ConfigurationError, match="allowed: a whole number of days from 1 to 36500"):
        Settings.load({"MLPLATFORM_PROOF_DAYS": text})
