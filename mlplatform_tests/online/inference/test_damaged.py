"""Binary bodies that are damaged or say what is not so: the caller's fault each time, and never ours."""

import json
import struct
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform_tests.online.inference.encoded import Column, request
from mlplatform_tests.online.world import FEATURES

WIDTH = len(FEATURES.names)
Ask = Callable[..., httpx.Response]


def a_request() -> tuple[bytes, dict[str, str]]:
    """Bytes of three datatypes and a tensor in JSON."""
    columns = {
        "placed": Column("BYTES", (2,), ["2024-03-05T12:00:00Z", "2024-03-05T12:05:00Z"]),
        "amount": Column("INT32", (2,), [5, -7]),
        "weight": Column("FP64", (2, 1), [0.1, None]),
        "shop": Column("BYTES", (2,), ["a", None]),
    }
    return request(columns, ["placed", "amount", "weight"])


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_a_damaged_body_is_the_callers_fault(infer: Ask, data: st.DataObject) -> None:
    body, headers = a_request()
    length = int(headers["Inference-Header-Content-Length"])
    match data.draw(st.sampled_from(["cut", "flip", "insert", "length"])):
        case "cut":
            body = body[: data.draw(st.integers(0, len(body) - 1))]
        case "flip":
            at = data.draw(st.integers(0, len(body) - 1))
            body = body[:at] + data.draw(st.binary(min_size=1, max_size=8)) + body[at + 1 :]
        case "insert":
            at = data.draw(st.integers(0, len(body)))
            body = body[:at] + data.draw(st.binary(min_size=1, max_size=8)) + body[at:]
        case _:
            length = data.draw(st.integers(-5, len(body) + 5).filter(lambda drawn: drawn != length))
    response = infer(body, {"Inference-Header-Content-Length": str(length)})
    # A flipped byte may make another request that is as good.
    assert response.status_code == 200 or 400 <= response.status_code < 500
    if response.status_code != 200:
        assert list(response.json()) == ["error"]


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_every_cut_body_is_refused(infer: Ask, at: int) -> None:
    body, headers = a_request()
    response = infer(body[: at % len(body)], headers)
    assert response.status_code == 400
    assert list(response.json()) == ["error"]


def tensor(raw: bytes, size: int | None = None, **changed: Any) -> tuple[bytes, dict[str, str]]:
    """A request of one row of features with these bytes behind it."""
    told = {"name": "features", "shape": [1, WIDTH], "datatype": "FP64"} | changed
    told.setdefault("parameters", {"binary_data_size": len(raw) if size is None else size})
    header = json.dumps({"inputs": [told]}).encode()
    return header + raw, {"Inference-Header-Content-Length": str(len(header))}


ROW = np.arange(WIDTH, dtype=np.float64).tobytes()


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (tensor(ROW, size=-1), "Expected `int` >= 0"),
        (
            tensor(ROW, size=len(ROW) + 1),
            f"got binary_data_size {len(ROW) + 1}; bytes left behind the JSON: 136",
        ),
        (tensor(ROW, size=2**70), "not an infer request"),
        (tensor(ROW, size=8), f"got binary_data_size 8; [1, {WIDTH}] of FP64 are 136 bytes"),
        (tensor(ROW + b"x", size=len(ROW)), "got 1 bytes behind the last binary tensor"),
        (tensor(ROW, data=[1.0]), "has both data and binary_data_size"),
        (tensor(b"", parameters={}), "input 'features' has no data"),
        (tensor(ROW, parameters={"shared_memory_region": "r"}), "shared memory is not supported"),
        (tensor(ROW, parameters={"binary_data_size": "136"}), "Expected `int | null`, got `str`"),
        (tensor(ROW, shape=[-1, -WIDTH]), "allowed: 1 to 1000 rows"),
        (tensor(ROW, shape=[2**62, 2**62]), "are 170141183460469231731687303715884105728 bytes"),
        (tensor(ROW, shape=[]), "got binary_data_size 136"),
        (tensor(ROW, shape=[9] * 50_000), "got 50000 dimensions; allowed: 8"),
        (tensor(ROW, shape=[10**4000, 10**4000]), "not an infer request"),
        (tensor(ROW, shape=[WIDTH]), f"allowed: [rows, {WIDTH}]"),
        (tensor(ROW, datatype="BF16"), "got datatype 'BF16'; allowed as bytes: BYTES, FP64"),
        (tensor(ROW, datatype="INT64"), "got datatype 'INT64'; allowed: FP64"),
        (tensor(np.full(WIDTH, -np.inf).tobytes()), "got an infinite value"),
        (tensor(b"\x02", name="express", shape=[1], datatype="BOOL"), "got 2 as a BOOL"),
        (
            tensor(b"\xff\xff\xff\xff", name="placed", shape=[1], datatype="BYTES"),
            "got 1 texts in 4294967299",
        ),
        (tensor(b"\x01\x00\x00", name="placed", shape=[1], datatype="BYTES"), "text 0 is no UTF-8 after its"),
        (tensor(b"\x01\x00\x00\x00\xff", name="placed", shape=[1], datatype="BYTES"), "text 0 is no UTF-8"),
        (tensor(struct.pack("<II", 0, 0), name="placed", shape=[1], datatype="BYTES"), "got 2 texts"),
        (tensor(b"\x01\x00\x00\x00\x00", name="shop", shape=[1], datatype="BYTES"), "'placed' is missing"),
        (tensor(struct.pack("<d", np.inf), name="weight", shape=[1]), "'placed' is missing"),
    ],
)
def test_what_is_wrong_is_named(infer: Ask, sent: tuple[bytes, dict[str, str]], told: str) -> None:
    response = infer(*sent)
    assert response.status_code == 400
    assert told in response.json()["error"]


@pytest.mark.parametrize("length", ["", "x", "-1", "0", "1e3", "9" * 5000, "10000", "1.0", "+5", " 5 5"])
def test_a_wrong_length_of_the_json(infer: Ask, length: str) -> None:
    response = infer(tensor(ROW)[0], {"Inference-Header-Content-Length": length})
    assert response.status_code == 400
    assert "JSON" in response.json()["error"]
    assert len(response.content) < 400


def test_binary_parameters_without_bytes(infer: Ask) -> None:
    body, headers = tensor(ROW)
    header = body[: int(headers["Inference-Header-Content-Length"])]
    assert "bytes left behind the JSON: 0" in infer(header).json()["error"]
    assert "the body is not JSON" in infer(body).json()["error"]


def test_a_key_that_is_there_twice(infer: Ask) -> None:
    for twice in ('"shape":[1,17],"shape"', '"parameters":{},"parameters"', '"name":"x","name"'):
        body, _ = tensor(ROW)
        header = body[: -len(ROW)].replace(b'"' + twice.rpartition(',"')[2].encode(), twice.encode(), 1)
        response = infer(header + ROW, {"Inference-Header-Content-Length": str(len(header))})
        assert response.status_code == 400
        assert "twice" in response.json()["error"]
