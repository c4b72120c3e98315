"""A key twice in one object is refused, whatever the text around it looks like; everything else is not."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.errors import RequestError
from mlplatform.features import FeatureSet, Row, Spine, col
from mlplatform.online.facts import FactsReader

SPINE = Spine(
    table="orders",
    key=("id",),
    facts={"id": "int", "shop": "string", "ä": "string", "weight": "float", "at": "time", "ok": "bool"},
    as_of=col("at").minus("1m"),
)
READER = FactsReader(FeatureSet("shop", SPINE, (Row("w", col("weight") * 1),)).spine)
AT = "2024-03-05T12:00:00Z"
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6
) | st.sampled_from(["null", '"', "\\", '":', 'x"id":1', "\\u0000"])
VALUES = {
    "id": st.none() | st.integers(-(2**63), 2**63 - 1),
    "shop": st.none() | TEXT,
    "ä": st.none() | TEXT,
    "weight": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    "at": st.just(AT),
    "ok": st.none() | st.booleans(),
}
ITEM = st.sampled_from(sorted(VALUES)).flatmap(lambda name: st.tuples(st.just(name), VALUES[name]))


def spelled(name: str, *, escaped: bool) -> str:
    """A key as it may be written: with characters of its own, or as escapes."""
    return '"' + "".join(f"\\u{ord(c):04x}" for c in name) + '"' if escaped else json.dumps(name)


@settings(max_examples=50, deadline=None)
@given(st.lists(ITEM, max_size=7), st.booleans(), st.booleans(), st.sampled_from(["", " ", "\n\t"]))
def test_exactly_the_doubled_keys_are_refused(
    items: list[tuple[str, Any]], escaped: bool, ascii_only: bool, space: str
) -> None:
    pairs = [*items, ("at", AT)]
    written = [
        f"{spelled(name, escaped=escaped)}{space}:{space}{json.dumps(value, ensure_ascii=ascii_only)}"
        for name, value in pairs
    ]
    body = f"{space}{{{f',{space}'.join(written)}}}".encode()
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        with pytest.raises(RequestError, match="twice; allowed: once"):
            READER.json(body)
    else:
        given = dict(pairs)
        read = READER.json(body)
        for name in VALUES.keys() - {"at"}:
            assert read[name] == given.get(name)


@pytest.mark.parametrize(
    "body",
    [
        b'{"at":"2024-03-05T12:00:00Z","id":1,"id":1}',
        b'{"at":"2024-03-05T12:00:00Z","id":1,"\\u0069d":1}',
        b'{"at":"2024-03-05T12:00:00Z","at":"2024-03-05T12:00:00Z"}',
        b'{"at":"2024-03-05T12:00:00Z","id":null,"id":5}',
        b'{"at":"2024-03-05T12:00:00Z","\\u00e4":"null","id":1,"id":2}',
    ],
)
def test_doubled_keys(body: bytes) -> None:
    with pytest.raises(RequestError, match="twice; allowed: once"):
        READER.json(body)


@pytest.mark.parametrize("text", ["\0", "a\0b"])
def test_text_with_a_nul_is_refused_on_every_way(text: str) -> None:
    told = r"fact ä: got text with a NUL\."
    with pytest.raises(RequestError, match=told):
        READER.json(json.dumps({"at": AT, "ä": text}).encode())
    with pytest.raises(RequestError, match=told):
        READER.convert({"at": AT, "ä": text})
    with pytest.raises(RequestError, match=told):
        READER.column("ä", ["fine", None, text])


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), 10**400])
def test_numbers_are_finite_on_every_way(number: float) -> None:
    for read in (
        lambda: READER.convert({"at": AT, "weight": number}),
        lambda: READER.column("weight", [1.0, number]),
    ):
        with pytest.raises(RequestError, match="weight") as caught:
            read()
        assert caught.value.hint == "Write a finite number."
