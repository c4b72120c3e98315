"""The arithmetic of the audit: entries chained by SHA-256, and what is wrong with a chain.

Each entry's hash covers every one of its own bytes and the hash of the entry before it, so whoever changes,
removes, swaps or inserts one would have to make all later ones anew. It must not know where entries are kept
(stores/audit.py), nor a clock.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from mlplatform.errors import StoreError

START = "0" * 64
"""What the first entry follows on."""
_KIND = re.compile(r"[a-z][a-z0-9-]{0,39}")
_HASH = re.compile(r"[0-9a-f]{64}")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done, not yet in the chain.

    kind : what it is about: `champion`, `configuration`, `data`, `key` or a short name of another kind
    subject : what was changed, such as the name of a use case
    who, why : by whom, and the reason in a sentence (may be empty)
    at : when, with a time zone
    details : what was changed: values of JSON, by convention `before` and `after`
    id : names the event, and begins with no #: one that is recorded twice under one id is there once; empty:
        always a new one
    """

    kind: str
    subject: str
    who: str
    why: str
    at: datetime
    details: dict[str, Any] = msgspec.field(default_factory=dict)
    id: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the chain, as text: what is hashed is what is kept.

    `number` counts from 1 without gaps; `at` is UTC as ISO 8601 with microseconds; `details` is canonical
    JSON; `previous` and `hash` are 64 hexadecimal digits.
    """

    number: int
    id: str
    kind: str
    subject: str
    who: str
    why: str
    at: str
    details: str
    previous: str
    hash: str

    def told(self) -> dict[str, Any]:
        """The entry for programs, its details as values; of a damaged one the text there is."""
        texts = {name: _readable(value) for name, value in msgspec.structs.asdict(self).items()}
        try:
            return texts | {"details": msgspec.json.decode(self.details)}
        except (msgspec.DecodeError, UnicodeEncodeError):
            return texts


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong at the entry of this number."""

    number: int
    what: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification came to; `head` is the hash of the newest entry (of none: 64 zeros)."""

    entries: int
    head: str
    faults: tuple[Fault, ...]
    anchor: int | None = None
    """Number of the entry that the given anchor names; None if none was given or none has it."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def seal(event: Event, number: int, previous: str) -> Entry:
    """The event as entry `number` that follows on the hash `previous`.

    Raises
    ------
    StoreError
        if it has no such kind, no subject, no author or no time zone, or details that are no JSON.
    """
    _check(event)
    try:
        details = msgspec.json.encode(event.details, order="sorted").decode()
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"the details of {event.kind} {event.subject!r} are no JSON: {error}.",
            hint="Give texts, numbers, lists and dictionaries.",
        ) from error
    entry = Entry(
        number=number,
        id=event.id or f"#{number}",
        kind=event.kind,
        subject=event.subject,
        who=event.who,
        why=event.why,
        at=event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        details=details,
        previous=previous,
        hash="",
    )
    return msgspec.structs.replace(entry, hash=hash_of(entry))


def hash_of(entry: Entry) -> str:
    """SHA-256 over every field but `hash`, in order, each as `<length>:<bytes>,` (netstrings, UTF-8)."""
    digest = sha256()
    for name in Entry.__struct_fields__[:-1]:
        # Bytes that are no UTF-8 reach us as surrogates: a damaged entry is to be named, not to be an error.
        content = str(getattr(entry, name)).encode("utf-8", "surrogateescape")
        digest.update(b"%d:%s," % (len(content), content))
    return digest.hexdigest()


def verify(entries: Iterable[Entry], anchor: str = "") -> Verdict:
    """Look for entries that were changed, removed, swapped or inserted; they come in the order of numbers.

    A chain whose end is missing, or that was made anew from some entry on, is sound in itself: only an
    `anchor`, the hash of an entry that was noted elsewhere, tells.
    """
    faults: list[Fault] = []
    count, expected, head, anchored = 0, 1, START, None
    for entry in entries:
        said = _faults(entry, expected, head)
        faults += [Fault(number=entry.number, what=what) for what in said]
        anchored = entry.number if anchor == entry.hash else anchored
        count, expected, head = count + 1, entry.number + 1, entry.hash
    if anchor and anchored is None:
        lost = f"no entry has the hash {anchor}: the end of the chain is missing, or it was made anew"
        faults.append(Fault(number=expected, what=lost))
    return Verdict(entries=count, head=head, faults=tuple(faults), anchor=anchored)


def _faults(entry: Entry, expected: int, head: str) -> list[str]:
    found = []
    if entry.number != expected:
        gap = entry.number - expected
        lost = f"entry {expected} is missing" if gap == 1 else f"{gap} entries from {expected} on are missing"
        found.append(lost if gap > 0 else f"it stands where entry {expected} belongs")
    if hash_of(entry) != entry.hash:
        found.append("its content is not what its hash was made of")
    if entry.previous != head:
        found.append("it does not follow on the entry before it")
    return found


def _readable(value: Any) -> Any:
    """Text with a sign in the place of each byte that is no UTF-8."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def check_anchor(text: str) -> str:
    """The text, if it can be the hash of an entry; StoreError if not."""
    if text and not _HASH.fullmatch(text):
        raise StoreError(
            f"got the anchor {text[:80]!r}; allowed: 64 hexadecimal digits in lower case.",
            hint="`mlplatform audit verify` prints the hash of the newest entry.",
        )
    return text


def _check(event: Event) -> None:
    wrong = [name for name in ("subject", "who") if not getattr(event, name)]
    if wrong or not _KIND.fullmatch(event.kind):
        raise StoreError(
            f"got an audit event of kind {event.kind!r} with {wrong[0] if wrong else 'subject'} "
            f"{getattr(event, wrong[0]) if wrong else event.subject!r}; allowed: a kind of a-z, 0-9 and -, a "
            "subject, and who did it.",
            hint="An audit says who changed what.",
        )
    if event.at.tzinfo is None:
        raise StoreError(
            f"got an audit event at {event.at.isoformat()} without a time zone; UTC is wanted.",
            hint="Use datetime.now(UTC), or the clock that is injected.",
        )
