"""Hostile request bodies out of good ones: a table of kinds, each drawn with a seeded generator."""

import gzip
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

SECRET = "hunter2-value-that-nobody-is-told"
"""A value in every good body; a refusal names what is wrong, and never gives a value back."""

VALUES: tuple[bytes, ...] = (
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b"-1e999",
    b"1e-999",
    b"-0",
    b"0" * 400,
    b"9" * 400,
    b"9" * 5_000,
    b"-" + b"9" * 5_000,
    b"9" * 5_000 + b".5",
    b"0." + b"9" * 5_000,
    b"1" + b"0" * 308,
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551616",
    b"01",
    b"+1",
    b".5",
    b"0x10",
    b"null",
    b"true",
    b"undefined",
    b"{}",
    b"[]",
    b"[[]]",
    b'""',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\\ud83d"',
    b'"a\\ud83dz"',
    b'"\\u0000"',
    b'"\\x41"',
    b'"\xff\xfe"',
    b'"\xed\xa0\x80"',
    b'"\xc0\x80"',
    b'"\xf5\x80\x80\x80"',
    b'"\x00"',
    b'"\n"',
    b'"' + b"x" * 70_000 + b'"',
    b'"' + "\U0001f600".encode() * 3_000 + b'"',
    b'"0001-01-01T00:00:00Z"',
    b'"0001-01-01T00:00:00+14:00"',
    b'"9999-12-31T23:59:59.999999-14:00"',
    b'"2024-02-30T00:00:00Z"',
    b'"2024-03-05T12:00:60Z"',
    b'"2024-03-05T12:00:00"',
    b"[" * 2_000,
    b"[" * 2_000 + b"]" * 2_000,
    b'{"a":' * 2_000,
    b'{"a":' * 900 + b"1" + b"}" * 900,
    b"[" + b"1," * 20_000 + b"1]",
    b"[null,NaN]",
    b'{"__class__":"os.system"}',
    b"'single'",
    b"/* comment */ 1",
)

Kind = Callable[[Random, bytes], bytes]


def value(random: Random, body: bytes) -> bytes:
    """A value replaced by one of the table."""
    found = json.loads(body)
    places = list(_places(found))
    holder, key = random.choice(places)
    holder[key] = "@@@"
    return json.dumps(found).encode().replace(b'"@@@"', random.choice(VALUES))


def doubled(random: Random, body: bytes) -> bytes:
    """A key twice in one object, perhaps spelled in another way."""
    found = json.loads(body)
    holder, key = random.choice([place for place in _places(found) if isinstance(place[1], str)])
    name = json.dumps(key)
    if random.random() < 0.5:
        name = f'"\\u{ord(key[0]):04x}{key[1:]}"'
    again = f"{name}{random.choice(['', ' '])}:{json.dumps(holder[key])}"
    holder["@@@"] = 0
    return json.dumps(found).replace('"@@@": 0', again).encode()


def unknown(random: Random, body: bytes) -> bytes:
    """A key that nobody knows, of any length and with any characters."""
    found = json.loads(body)
    holder, _ = random.choice([place for place in _places(found) if isinstance(place[1], str)])
    holder[random.choice(["x" * 10_000, "\0", "ä" * 300, "__proto__", "", "\u202e", '"', "\\"])] = 1
    return json.dumps(found, ensure_ascii=random.random() < 0.5).encode()


def cut(random: Random, body: bytes) -> bytes:
    """The end is missing."""
    return body[: random.randrange(len(body))]


def flipped(random: Random, body: bytes) -> bytes:
    """Some bytes are others."""
    made = bytearray(body)
    for _ in range(random.randint(1, 4)):
        made[random.randrange(len(made))] = random.randrange(256)
    return bytes(made)


def inserted(random: Random, body: bytes) -> bytes:
    """Bytes that do not belong there."""
    at = random.randrange(len(body) + 1)
    return (
        body[:at]
        + random.choice([b"\x00", b"\xff", b"\xef\xbb\xbf", b'"', b"\\", b"{", b",", b"\n"])
        + body[at:]
    )


def wrapped(random: Random, body: bytes) -> bytes:
    """The whole in something else."""
    before, after = random.choice(
        [
            (b"\xef\xbb\xbf", b""),
            (b"\x00", b""),
            (b"", b"\x00"),
            (b"", b"{}"),
            (b"[", b"]"),
            (b"[" * 500, b"]" * 500),
            (b"[" * 50_000, b""),
            (b'{"a":' * 50_000, b""),
            (b'"', b'"'),
            (b"callback(", b")"),
            (b"--x\r\nContent-Disposition: form-data\r\n\r\n", b"\r\n--x--"),
            (b"a=", b"&b=1"),
            (b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;", b"</a>"),
        ]
    )
    return before + body + after


def recoded(random: Random, body: bytes) -> bytes:
    """Another encoding."""
    text = body.decode()
    return random.choice(
        [
            text.encode("utf-16"),
            text.encode("utf-16-le"),
            text.encode("utf-32"),
            gzip.compress(body),
            body[::-1],
        ]
    )


def listed(random: Random, body: bytes) -> bytes:
    """Many times the same, up to more than any route takes."""
    times = random.choice([0, 2, 1_001, 1_001, 3_000])
    return b"[" + b",".join([body] * times) + b"]"


def noise(random: Random, body: bytes) -> bytes:
    """No body at all, or bytes without sense."""
    return random.choice([b"", b" ", b"\r\n", random.randbytes(random.randrange(1, 200)), b"\x00" * 100])


KINDS: tuple[tuple[Kind, int], ...] = (
    (value, 10),
    (doubled, 2),
    (unknown, 2),
    (cut, 2),
    (flipped, 4),
    (inserted, 2),
    (wrapped, 2),
    (recoded, 1),
    (listed, 1),
    (noise, 1),
)
"""Kinds of hostile bodies, and how often each is drawn."""
TYPES = (
    "application/json",
    "application/json; charset=utf-16",
    "text/plain",
    "application/x-ndjson",
    "application/cloudevents-batch+json",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "",
)


def bodies(good: bytes, count: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """`count` hostile bodies: name of the kind, content type, bytes."""
    random = Random(seed)
    kinds, weights = zip(*KINDS, strict=True)
    for kind in random.choices(kinds, weights, k=count):
        content_type = TYPES[0] if random.random() < 0.7 else random.choice(TYPES)
        yield kind.__name__, content_type, kind(random, good)


def _places(found: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a value: the object or array, and the key or index in it."""
    pairs = found.items() if isinstance(found, dict) else enumerate(found)
    for key, each in list(pairs):
        yield found, key
        if isinstance(each, dict | list):
            yield from _places(each)
