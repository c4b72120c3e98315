"""Settings of who may ask: their defaults, which depend on the host, and what is refused."""

import pytest

from mlplatform.crosscutting.access import LOOPBACK, Access
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError


@pytest.mark.parametrize(
    ("host", "keys"),
    [
        ("127.0.0.1", False),
        ("127.0.0.5", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),
        ("::", True),
        ("10.0.0.7", True),
        ("models.example.org", True),
    ],
)
def test_keys_are_needed_unless_only_this_machine_can_ask(host: str, keys: bool) -> None:
    assert Settings.load({"MLPLATFORM_HOST": host}).access.keys is keys
    assert Settings.load({"MLPLATFORM_HOST": host, "MLPLATFORM_KEYS": "on"}).access.keys


@pytest.mark.parametrize(
    ("host", "hosts"),
    [
        ("127.0.0.1", (*LOOPBACK, "127.0.0.1")),
        ("Models.Example.org", (*LOOPBACK, "models.example.org")),
        ("fd00::1", (*LOOPBACK, "[fd00::1]")),
        ("0.0.0.0", ("*",)),
        ("::", ("*",)),
    ],
)
def test_hosts_by_default(host: str, hosts: tuple[str, ...]) -> None:
    assert Access.load({}, host).hosts == hosts


def test_everything_said() -> None:
    access = Access.load(
        {
            "MLPLATFORM_ALLOWED_HOSTS": "a.example.org, [::1]",
            "MLPLATFORM_CORS_ORIGINS": "https://shop.example.org,http://localhost:5173",
            "MLPLATFORM_RATE_LIMIT": "2.5",
            "MLPLATFORM_KEY": "mlp_x",
        },
        "127.0.0.1",
    )
    assert access.hosts == ("a.example.org", "[::1]")
    assert access.origins == ("https://shop.example.org", "http://localhost:5173")
    assert (access.rate, access.burst) == (2.5, 5)
    assert access.headers() == {"authorization": "Bearer mlp_x"}
    assert "mlp_x" not in repr(access)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLPLATFORM_KEYS", "off"),
        ("MLPLATFORM_ALLOWED_HOSTS", "a.example.org:8080"),
        ("MLPLATFORM_ALLOWED_HOSTS", "http://a"),
        ("MLPLATFORM_CORS_ORIGINS", "shop.example.org"),
        ("MLPLATFORM_CORS_ORIGINS", "https://shop.example.org/"),
        ("MLPLATFORM_CORS_ORIGINS", "null"),
        ("MLPLATFORM_RATE_LIMIT", "many"),
        ("MLPLATFORM_RATE_LIMIT", "-1"),
        ("MLPLATFORM_RATE_LIMIT", "nan"),
    ],
)
def test_mistakes(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name) as caught:
        Settings.load({name: value})
    assert caught.value.hint
