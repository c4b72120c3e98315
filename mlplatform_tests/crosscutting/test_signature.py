"""Signatures: the specification's own example, what a receiver refuses, and nothing else passes."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.crosscutting.signature import ID, SIGNATURE, TIMESTAMP, Secret, check_id, verify
from mlplatform.errors import ConfigurationError, RequestError

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
NOW = 1614265330
HEADERS = {
    "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "Webhook-Timestamp": str(NOW),
    "Webhook-Signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def test_the_example_that_every_library_of_the_specification_is_tested_with() -> None:
    made = Secret(KEY).headers("msg_p5jXN8AQM9LWM0D4loKWxJek", BODY, NOW)
    assert made == {name.lower(): value for name, value in HEADERS.items()}
    assert verify(KEY, HEADERS, BODY, now=NOW) == "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_a_signature_is_what_the_specification_says() -> None:
    key = b"k" * 32
    text = "whsec_" + base64.b64encode(key).decode()
    wanted = hmac.new(key, b"an-id.5.body", hashlib.sha256).digest()
    assert Secret(text).signature("an-id", 5, b"body") == "v1," + base64.b64encode(wanted).decode()
    assert Secret(text.removeprefix("whsec_")).signature("an-id", 5, b"body") == Secret(text).signature(
        "an-id", 5, b"body"
    )


@settings(max_examples=25, deadline=None)
@given(id=st.from_regex(r"\A[A-Za-z0-9_-]{1,40}\Z"), body=st.binary(), at=st.integers(0, 2**40))
def test_what_is_signed_is_verified_and_one_changed_bit_is_not(id: str, body: bytes, at: int) -> None:
    headers = Secret(KEY).headers(id, body, at)
    assert verify(KEY, headers, body, now=at) == id
    with pytest.raises(RequestError, match="no signature"):
        verify(KEY, headers, body + b"x", now=at)
    with pytest.raises(RequestError, match="no signature"):
        verify(KEY, headers | {ID: id + "x"}, body, now=at)
    with pytest.raises(RequestError, match="no signature"):
        verify(KEY, headers | {TIMESTAMP: str(at + 1)}, body, now=at)
    with pytest.raises(RequestError, match="no signature"):
        verify("whsec_" + base64.b64encode(b"o" * 32).decode(), headers, body, now=at)


def test_one_of_several_signatures_is_enough() -> None:
    several = {**HEADERS, "Webhook-Signature": f"v1,abc= v2,x {HEADERS['Webhook-Signature']}"}
    assert verify(KEY, several, BODY, now=NOW)
    for wrong in ("", "v1", "v1,", "ü", HEADERS["Webhook-Signature"].replace("v1", "v2")):
        with pytest.raises(RequestError) as caught:
            verify(KEY, {**HEADERS, "Webhook-Signature": wrong}, BODY, now=NOW)
        assert caught.value.status == 401


def test_old_and_future_messages_are_refused() -> None:
    for now in (NOW - 300, NOW + 300):
        assert verify(KEY, HEADERS, BODY, now=now)
    for now in (NOW - 301, NOW + 301):
        with pytest.raises(RequestError, match="more than 300 s"):
            verify(KEY, HEADERS, BODY, now=now)
    with pytest.raises(RequestError, match="more than 300 s"):
        verify(KEY, HEADERS, BODY)


@pytest.mark.parametrize("stamp", ["", "x", "-1", "1.5", "٣", "9" * 16])
def test_headers_that_are_missing_or_malformed(stamp: str) -> None:
    with pytest.raises(RequestError, match="missing or malformed"):
        verify(KEY, {**HEADERS, "Webhook-Timestamp": stamp}, BODY, now=NOW)
    with pytest.raises(RequestError, match="missing or malformed"):
        verify(KEY, {SIGNATURE: "v1,x"}, BODY, now=NOW)


@pytest.mark.parametrize("text", ["whsec_", "short", "whsec_not base64!", "whsec_" + "QUJD" * 30])
def test_secrets_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Secret(text)
    assert "python -c" in caught.value.hint
    assert text not in str(caught.value)


@pytest.mark.parametrize("id", ["", "a.b", "a b", "ü", "a\r\nb", "x" * 201])
def test_ids_that_cannot_be(id: str) -> None:
    with pytest.raises(RequestError, match="got message id"):
        check_id(id)
