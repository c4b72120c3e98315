"""The binary tensor extension gives the same answers as JSON, to the bit, and so do all forms of JSON."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform_tests.online.inference.encoded import Column, outputs, request
from mlplatform_tests.online.world import FEATURES, Trained

WIDTH = len(FEATURES.names)
Ask = Callable[..., httpx.Response]
INTEGERS = ["INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8"]

floats = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=8)
times = st.integers(0, 5).map(lambda hour: f"2024-03-05T{hour:02}:10:00Z")


def whole(datatype: str) -> st.SearchStrategy[int]:
    """Whole numbers of a datatype, as far as a fact takes them."""
    bits = int(datatype.lstrip("UINT"))
    low, high = (0, 2**bits - 1) if datatype.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return st.integers(low, min(high, 2**63 - 1))


def narrow(datatype: str) -> st.SearchStrategy[float]:
    """Numbers that a float datatype can say exactly."""
    bits = int(datatype[2:])
    return st.floats(allow_nan=False, allow_infinity=False, width=bits)  # type: ignore[arg-type]


@st.composite
def features(draw: st.DrawFn) -> dict[str, Column]:
    """Rows of ready-made features."""
    datatype, rows = draw(st.sampled_from(["FP64", "FP32", "FP16"])), draw(st.sampled_from([1, 2, 9, 40]))
    some = draw(st.lists(st.none() | narrow(datatype), min_size=1, max_size=WIDTH))
    values = (some * (rows * WIDTH))[: rows * WIDTH]
    return {"features": Column(datatype, (rows, WIDTH), values)}


@st.composite
def facts(draw: st.DrawFn) -> dict[str, Column]:
    """One tensor per fact, of any datatype that it may have."""
    rows = draw(st.integers(1, 3))
    integer, number = (
        draw(st.sampled_from(INTEGERS)),
        draw(st.sampled_from([*INTEGERS, "FP64", "FP32", "FP16"])),
    )
    of: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
        "placed": ("BYTES", times),
        "shop": ("BYTES", texts),
        "amount": (integer, whole(integer)),
        "weight": (number, narrow(number) if number.startswith("FP") else whole(number)),
        "express": ("BOOL", st.booleans()),
    }
    shape = (rows, 1) if draw(st.booleans()) else (rows,)
    columns = {}
    for name, (datatype, values) in of.items():
        given = values if name == "placed" else st.none() | values
        columns[name] = Column(datatype, shape, draw(st.lists(given, min_size=rows, max_size=rows)))
    return columns


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_json_and_bytes_get_the_same_answers_to_the_bit(infer: Ask, data: st.DataObject) -> None:
    columns = data.draw(features() | facts())
    can = [name for name, column in columns.items() if column.has_bytes]
    binary = data.draw(st.sets(st.sampled_from(can))) if can else set()
    output = data.draw(st.booleans())
    body, _ = request(columns)
    plain = infer(body)
    written, headers = request(columns, binary, parameters={"binary_data_output": output})
    answer = infer(written, headers)
    assert answer.status_code == plain.status_code, (answer.text, plain.text)
    if plain.status_code == 200:
        length = answer.headers.get("inference-header-content-length")
        assert (length is not None) is output
        assert outputs(answer.content, length) == outputs(plain.content, None)
    else:
        # What cannot be computed cannot be computed either way.
        assert plain.status_code == 400
        assert answer.json() == plain.json()


def test_missing_is_nan_and_zero_is_not(infer: Ask, trained: Trained) -> None:
    rows = trained.matrix[:30]
    assert np.isnan(rows).any()
    told = {"name": "features", "shape": list(rows.shape), "datatype": "FP64"}
    told["parameters"] = {"binary_data_size": rows.nbytes}
    header = json.dumps({"inputs": [told], "outputs": [{"name": "probability"}]}).encode()
    answer = infer(header + rows.tobytes(), {"Inference-Header-Content-Length": str(len(header))})
    (got,) = answer.json()["outputs"]
    assert got["data"] == trained.scores[:30].tolist()


def test_the_last_word_on_an_output_counts(infer: Ask) -> None:
    wanted = [
        {"name": "prediction_id", "parameters": {"binary_data": False}},
        {"name": "probability"},
        {"name": "class", "parameters": {"binary_data": True, "unknown": "left aside"}},
    ]
    columns = {"features": Column("FP64", (1, WIDTH), [None] * WIDTH)}
    for all_binary, named in ((True, {"probability", "class"}), (False, {"class"})):
        body, headers = request(
            columns, ["features"], outputs=wanted, parameters={"binary_data_output": all_binary, "more": 1}
        )
        answer = infer(body, headers)
        assert answer.headers["content-type"] == "application/octet-stream"
        length = int(answer.headers["inference-header-content-length"])
        told = json.loads(answer.content[:length])["outputs"]
        assert [each["name"] for each in told] == ["prediction_id", "probability", "class"]
        assert {each["name"] for each in told if "data" not in each} == named
        assert outputs(answer.content, str(length)) == outputs(infer(request(columns)[0]).content, None)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_numbers_flat_nested_or_whole_are_one_request(infer: Ask, data: st.DataObject) -> None:
    """The quick ways to read features give what the slow one does."""
    values = data.draw(
        st.lists(st.none() | floats | st.integers(-(2**70), 2**70), min_size=2 * WIDTH, max_size=2 * WIDTH)
    )
    told = {"name": "features", "shape": [2, WIDTH], "datatype": "FP64"}
    floated = [None if value is None else float(value) for value in values]
    forms: list[Any] = [values, [values[:WIDTH], values[WIDTH:]], floated]
    bodies = [json.dumps({"inputs": [told | {"data": form}]}).encode() for form in forms]
    # A name that is not seen at once has the body read as any other.
    slowly = [body.replace(b'"features"', rb'"\u0066eatures"') for body in bodies]
    answers = [infer(body) for body in (*bodies, *slowly)]
    assert [answer.status_code for answer in answers] == [200] * 6
    expected = outputs(answers[0].content, None)
    assert all(outputs(answer.content, None) == expected for answer in answers)
