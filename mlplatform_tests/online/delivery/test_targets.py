"""Where may be pushed to: the allowed prefixes and nothing beside them."""

import pytest

from mlplatform.errors import ConfigurationError, RequestError
from mlplatform.online.delivery.targets import Targets

ALLOWED = Targets("https://hooks.example.com/scores, http://127.0.0.1:9000,https://other.example.com:8443/a/")


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/scores",
        "https://hooks.example.com/scores/",
        "https://hooks.example.com/scores/a/b?x=1&y=%2F",
        "https://hooks.example.com:443/scores",
        "HTTPS://Hooks.Example.Com/scores/a",
        "https://hooks.example.com./scores",
        "http://127.0.0.1:9000",
        "http://127.0.0.1:9000/",
        "http://127.0.0.1:9000/anything/at.all",
        "https://other.example.com:8443/a/b",
    ],
)
def test_allowed(url: str) -> None:
    assert ALLOWED.check(url).origin in {
        "https://hooks.example.com:443",
        "http://127.0.0.1:9000",
        "https://other.example.com:8443",
    }


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/scoresx",
        "https://hooks.example.com/",
        "https://hooks.example.com/Scores",
        "http://hooks.example.com/scores",
        "https://hooks.example.com:444/scores",
        "https://hooks.example.com.evil.com/scores",
        "https://evil.com/https://hooks.example.com/scores",
        "https://hooks.example.comevil/scores",
        "http://127.0.0.1/",
        "http://127.0.0.1:9001/",
        "http://localhost:9000/",
        "http://127.1:9000/",
        "http://2130706433:9000/",
        "http://[::1]:9000/",
        "https://other.example.com:8443/a",
    ],
)
def test_not_among_the_allowed(url: str) -> None:
    with pytest.raises(RequestError, match="not among the allowed targets") as caught:
        ALLOWED.check(url)
    assert caught.value.status == 403
    assert "MLPLATFORM_WEBHOOK_TARGETS" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "/scores",
        "ftp://127.0.0.1:9000/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http:127.0.0.1:9000",
        "http:///127.0.0.1:9000/",
        "http://127.0.0.1:99999/",
        "https://user@hooks.example.com/scores",
        "https://hooks.example.com@evil.com/scores",
        "https://a:b@hooks.example.com/scores",
        "http://127.0.0.1:9000\\@evil.com/",
        "http://127.0.0.1:9000/ x",
        "http://127.0.0.1:9000/\r\nx-header: y",
        "http://127.0.0.1:9000/\x00",
        "http://127.0.0.1:9000/ü",
        "http://127.0.0.1:9000/#x",
        "https://hooks.example.com/scores/../admin",
        "https://hooks.example.com/scores/..",
        "https://hooks.example.com/scores/./x",
        "https://hooks.example.com/scores/%2e%2E/admin",
        "https://hooks.example.com/scores/.%2e/admin",
        "https://hooks.example.com/scores/..;/admin",
        "https://hooks.example.com/scores%2f..%2fadmin",
        "https://hooks.example.com/scores/..%5cadmin",
        "http://127.0.0.1:9000/" + "x" * 2000,
    ],
)
def test_malformed(url: str) -> None:
    with pytest.raises(RequestError, match="got callback") as caught:
        ALLOWED.check(url)
    assert caught.value.status == 400
    assert len(str(caught.value)) < 300


def test_nothing_is_allowed_without_the_setting() -> None:
    for text in ("", " , "):
        assert not Targets(text)
        with pytest.raises(RequestError, match="pushing scores is off") as caught:
            Targets(text).check("http://127.0.0.1:9000/")
        assert caught.value.status == 403
        assert "MLPLATFORM_WEBHOOK_TARGETS" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["*", "example.com", "http://a b", "https://a@b", "http://a/?x=1", "ftp://a"]
)
def test_settings_that_are_wrong_are_told_of_at_the_start(text: str) -> None:
    with pytest.raises(ConfigurationError, match="MLPLATFORM_WEBHOOK_TARGETS has") as caught:
        Targets(f"http://127.0.0.1:9000,{text}")
    assert "Such as" in caught.value.hint
