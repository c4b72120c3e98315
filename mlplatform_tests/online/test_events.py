"""Bodies of requests: what is read out of them, byte for byte, and what is refused with which words."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform.crosscutting.bus.memory import MemoryBus
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT
from mlplatform.errors import RequestError
from mlplatform.online.events import DATA_CAP, event_id_of, message, read_events

GOOD = b'{"id": "a", "time": "2013-01-01T05:00:00-05:00", "data": {"x" : 1.0}}'
LINES = "application/x-ndjson"
AT = datetime(2013, 1, 1, 10, tzinfo=UTC)


def refused(body: bytes, content_type: str = "") -> RequestError:
    with pytest.raises(RequestError) as caught:
        read_events(body, content_type)
    return caught.value


@pytest.mark.parametrize(
    ("body", "content_type", "count"),
    [
        (GOOD, "application/json", 1),
        (GOOD, "", 1),
        (b" \n [" + GOOD + b"," + GOOD + b"]", "application/cloudevents-batch+json", 2),
        (GOOD + b"\n\n" + GOOD + b"\r\n", LINES, 2),
        (GOOD, f"{LINES}; charset=utf-8", 1),
    ],
)
def test_the_three_forms(body: bytes, content_type: str, count: int) -> None:
    events = read_events(body, content_type)
    assert [(e.id, e.time, e.key, e.data) for e in events] == [("a", AT, None, b'{"x" : 1.0}')] * count


def test_a_cloud_event_in_full() -> None:
    body = (
        b'{"specversion":"1.0","type":"t","source":"s","datacontenttype":"application/json",'
        b'"subject":"k","key":"other","id":"i","time":"2013-01-01T10:00:00Z","data":{"a":\n[1e2]}}'
    )
    (event,) = read_events(body)
    assert (event.key, event.data) == ("k", b'{"a":\n[1e2]}')


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "truncated"),
        (b"[]", "got no event"),
        (b"{", "truncated"),
        (b"5", "Expected `object`, got `int`"),
        (b"[" + GOOD + b', {"id": "b"}]', "missing required field `time` - at `$[1]`"),
        (GOOD.replace(b'"a"', b'""'), "length >= 1 - at `$.id`"),
        (GOOD.replace(b'"a"', b'"' + b"a" * 201 + b'"'), "length <= 200 - at `$.id`"),
        (GOOD.replace(b'"a"', b'"a\\u0000"'), "matching regex"),
        (GOOD.replace(b'"a"', b"7"), "Expected `str`, got `int` - at `$.id`"),
        (GOOD.replace(b"-05:00", b""), "timezone component - at `$.time`"),
        (GOOD.replace(b"2013-01-01T05", b"2013-13-01T05"), "Invalid RFC3339"),
        (GOOD.replace(b"2013-01-01T05:00:00-", b"9999-12-31T23:59:59-"), "time is out of range"),
        (GOOD.replace(b'{"x" : 1.0}', b"[1]"), "event 0 (id 'a'): data is no JSON object"),
        (GOOD.replace(b"1.0", b"NaN"), "malformed"),
        (GOOD.replace(b"1.0", b"1e999"), "Number out of range"),
        (GOOD.replace(b"1.0", b'"\xff"'), "not UTF-8"),
        (GOOD.replace(b"1.0", b"[" * 5000 + b"]" * 5000), "nested too deeply"),
    ],
)
def test_a_wrong_event_is_refused_with_its_reason(body: bytes, said: str) -> None:
    error = refused(body)
    assert error.status == 400
    assert said in str(error)
    assert len(str(error)) < 500


def test_a_wrong_line_is_named_by_its_number() -> None:
    assert str(refused(GOOD + b"\n\n{}\n", LINES)).startswith("line 3: ")


def test_what_is_too_much() -> None:
    assert refused(b"[" + b",".join([GOOD] * 1001) + b"]").status == 413
    assert refused(b"\n".join([GOOD] * 1001), LINES).status == 413
    assert refused(GOOD.replace(b"1.0", b'"' + b"x" * DATA_CAP + b'"')).status == 413
    assert len(read_events(b"\n".join([GOOD] * 1000), LINES)) == 1000


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.recursive(st.none() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])), st.lists),
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200),
)
def test_data_and_id_come_back_from_the_bus_as_they_were_sent(data: dict[str, object], id: str) -> None:
    sent = msgspec.json.format(msgspec.json.encode(data), indent=3)
    body = msgspec.json.encode({"id": id, "time": AT, "data": msgspec.Raw(sent)})
    (event,) = read_events(body)
    bus = MemoryBus()
    bus.publish(SOURCE_EVENT, message("u", "s", event))
    (received,) = bus.read(SOURCE_EVENT, 0, 10)
    assert bytes(received.envelope.data.document) == sent
    assert event_id_of(received.envelope) == id


def test_equal_ids_of_two_streams_are_two_events() -> None:
    (event,) = read_events(GOOD)
    bus = MemoryBus()
    assert [bus.publish(SOURCE_EVENT, message("u", stream, event)) for stream in "sst"] == [1, 1, 2]
