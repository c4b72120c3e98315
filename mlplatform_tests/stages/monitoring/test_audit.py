"""The chain of the audit: any byte changed, any entry removed, swapped or inserted is found, and named."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mlplatform.errors import StoreError
from mlplatform.stages.monitoring.audit import START, Entry, Event, check_anchor, hash_of, seal, verify

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EVENT = Event(
    kind="champion",
    subject="flights",
    who="ann@host",
    why="it is better",
    at=NOON,
    details={"before": None, "after": {"version": 2, "share": 0.05}},
)
TEXTS = [name for name in Entry.__struct_fields__ if name != "number"]


def chain(count: int) -> list[Entry]:
    entries: list[Entry] = []
    for number in range(1, count + 1):
        previous = entries[-1].hash if entries else START
        entries.append(seal(replace(EVENT, why=f"reason {number} – ü"), number, previous))
    return entries


def numbers(entries: list[Entry], anchor: str = "") -> list[int]:
    """Of the entries at which something is wrong."""
    return [fault.number for fault in verify(entries, anchor).faults]


def test_a_whole_chain_is_sound_and_an_empty_one_too() -> None:
    entries = chain(5)
    verdict = verify(entries)
    assert verdict.sound
    assert (verdict.entries, verdict.head) == (5, entries[-1].hash)
    assert (verify([]).sound, verify([]).head) == (True, START)


@pytest.mark.parametrize("name", TEXTS)
def test_every_byte_of_every_field_counts(name: str) -> None:
    entries = chain(3)
    content = getattr(entries[1], name).encode()
    for place in range(len(content)):
        for bit in (1, 0x80):
            changed = bytearray(content)
            changed[place] ^= bit
            text = bytes(changed).decode("utf-8", "surrogateescape")
            found = numbers([entries[0], replace(entries[1], **{name: text}), entries[2]])
            assert 2 in found, (name, place)
            assert 1 not in found


@given(
    number=st.integers(0, 4),
    name=st.sampled_from(TEXTS),
    change=st.tuples(st.integers(0, 400), st.text(max_size=3)),
)
def test_any_other_text_is_found(number: int, name: str, change: tuple[int, str]) -> None:
    entries, (place, text) = chain(5), change
    before: str = getattr(entries[number], name)
    after = before[:place] + text + before[place + 1 :]
    entries[number] = replace(entries[number], **{name: after})
    assert (number + 1 in numbers(entries)) == (after != before)


def test_bytes_moved_from_one_field_to_the_next_are_found() -> None:
    entries = chain(1)
    moved = replace(entries[0], who="ann@hos", why="t" + entries[0].why)
    assert hash_of(moved) != hash_of(entries[0])


@pytest.mark.parametrize("gone", [0, 1, 3])
def test_a_removed_entry_is_named(gone: int) -> None:
    entries = chain(5)
    del entries[gone]
    verdict = verify(entries)
    assert verdict.faults[0].number == gone + 2  # the one that follows on nothing now
    assert f"entry {gone + 1} is missing" in verdict.faults[0].what


def test_several_that_are_gone() -> None:
    assert "3 entries from 2 on are missing" in verify([chain(6)[0], *chain(6)[4:]]).faults[0].what


def test_swapped_and_inserted_entries_are_named() -> None:
    entries = chain(5)
    entries[1], entries[3] = entries[3], entries[1]
    assert numbers(entries)[0] == 4
    entries = chain(5)
    swapped = [entries[0], replace(entries[2], number=2), replace(entries[1], number=3), *entries[3:]]
    assert {2, 3} <= set(numbers(swapped))
    made_up = seal(EVENT, 3, entries[1].hash)
    assert numbers([*entries[:2], made_up, *entries[2:]])[0] == 3
    renumbered = [replace(entry, number=entry.number + 1) for entry in entries[2:]]
    assert set(numbers([*entries[:2], made_up, *renumbered])) == {4, 5, 6}


def test_a_cut_off_end_shows_against_a_hash_that_was_noted() -> None:
    entries = chain(5)
    head = entries[-1].hash
    assert verify(entries, head).anchor == 5
    assert verify(chain(9), head).sound, "the chain has grown since"
    cut = verify(entries[:3], head)
    assert not cut.sound
    assert cut.faults[0].number == 4
    assert "end of the chain is missing" in cut.faults[0].what
    assert verify(entries[:3]).sound, "in itself it is sound"


def test_a_chain_made_anew_shows_against_a_hash_that_was_noted() -> None:
    entries = chain(5)
    forged = entries[:2]
    for number in (3, 4, 5):
        forged.append(seal(replace(EVENT, who="eve"), number, forged[-1].hash))
    assert verify(forged).sound
    assert not verify(forged, entries[-1].hash).sound
    assert not verify(forged, entries[2].hash).sound
    assert verify(forged, entries[1].hash).sound, "what was noted before is still there"


def test_the_same_moment_in_another_zone_and_another_order_of_keys_is_the_same_entry() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=-5)))
    turned = {"after": {"share": 0.05, "version": 2}, "before": None}
    assert seal(replace(EVENT, at=elsewhere, details=turned), 1, START) == seal(EVENT, 1, START)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kind": "Champion"}, "kind 'Champion'"),
        ({"subject": ""}, "with subject ''"),
        ({"who": ""}, "with who ''"),
        ({"at": datetime(2026, 1, 1)}, "without a time zone"),
        ({"details": {"x": object()}}, "are no JSON"),
    ],
)
def test_what_is_no_event(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(StoreError, match=said):
        seal(replace(EVENT, **wrong), 1, START)


@pytest.mark.parametrize("text", ["abc", "A" * 64, "0" * 63])
def test_what_is_no_anchor(text: str) -> None:
    with pytest.raises(StoreError, match="64 hexadecimal digits"):
        check_anchor(text)
    assert check_anchor("") == ""


def test_a_damaged_entry_can_still_be_told() -> None:
    entry = replace(chain(1)[0], details='{"x": \udcff', why="\udcfe")
    assert entry.told()["why"] == "�"
    assert entry.told()["details"] == '{"x": �'
