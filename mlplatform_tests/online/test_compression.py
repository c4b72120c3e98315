"""Compressed bodies: unpacked as they were, up to a cap, and refused when damaged."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform.errors import RequestError
from mlplatform.online.compression import unpacked

CAP = 10_000


@given(st.binary(max_size=CAP))
def test_a_body_comes_back_as_it_was(body: bytes) -> None:
    assert unpacked(gzip.compress(body, mtime=0), b"gzip", CAP) == body
    assert unpacked(zlib.compress(body), b" Deflate ", CAP) == body
    assert unpacked(body, b"identity", CAP) == body


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_cut_body_is_refused(body: bytes, data: st.DataObject) -> None:
    packed = gzip.compress(body, mtime=0)
    with pytest.raises(RequestError) as caught:
        unpacked(packed[: data.draw(st.integers(0, len(packed) - 1))], b"gzip", CAP)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(b"0" * (CAP + 1), mtime=0), b"gzip", 413),
        (gzip.compress(b"0" * 100 * CAP, mtime=0), b"gzip", 413),
        (gzip.compress(b"{}", mtime=0) + b"more", b"gzip", 400),
        (zlib.compress(b"{}"), b"gzip", 400),
        (b"{}", b"gzip", 400),
        (b"", b"deflate", 400),
        (b"{}", b"br", 415),
        (b"{}", b"\xff" * 500, 415),
        (b"{}", b"gzip, gzip", 415),
    ],
)
def test_what_cannot_be_unpacked(body: bytes, encoding: bytes, status: int) -> None:
    with pytest.raises(RequestError) as caught:
        unpacked(body, encoding, CAP)
    assert caught.value.status == status
    assert len(str(caught.value)) < 200
