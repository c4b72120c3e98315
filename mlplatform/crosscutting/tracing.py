"""What causes what: the W3C trace context of the work in hand, which goes to its log lines and messages.

The work in hand is a request, a message or a run. That of a request is looked for only when somebody asks, so
a request that logs nothing and sends nothing pays for one assignment. It must not log or send anything.
Source: www.w3.org/TR/trace-context, version 00.
"""

import re
import secrets
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256
from typing import Any
from uuid import UUID

HEADER = "traceparent"
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?", re.ASCII)
_LONGEST = 200
_PARENT, _FIELDS = "mlplatform.traceparent", "mlplatform.fields"
_SCORED = re.compile(r"/(?:score|v2/models)/([a-z][a-z0-9_]{0,62})(?:/|\Z)", re.ASCII)

_work: ContextVar[MutableMapping[str, Any] | None] = ContextVar("mlplatform_work", default=None)
begin = _work.set
"""Takes the ASGI scope of a request: what is done from here on is done for it."""


def asked(traceparent: str | None) -> None:
    """What is done from here on is done for a request that came with this header, over whatever transport."""
    _work.set({"headers": [(HEADER.encode(), traceparent.encode())] if traceparent else []})


def put(scope: MutableMapping[str, Any], traceparent: str) -> None:
    """What is done for the request is done for this span, which is within its caller's."""
    scope[_PARENT] = traceparent


def is_valid(text: str) -> bool:
    """Whether a traceparent is one by the specification."""
    found = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return False
    version, trace, parent, more = found.groups()
    known = version != "ff" and not (version == "00" and more)
    return known and trace.strip("0") != "" and parent.strip("0") != ""


def new() -> str:
    """A traceparent of its own: nobody asked for the work that we know of."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def of_run(run_id: str) -> str:
    """The traceparent of a run, always the same one; its trace is the run's id where that is a UUID."""
    digest = sha256(run_id.encode()).hexdigest()
    try:
        trace = UUID(run_id).hex
    except ValueError:
        trace = digest[16:48]
    return f"00-{trace if trace.strip('0') else digest[16:48]}-{digest[:16]}-01"


def known() -> str | None:
    """The traceparent of the work in hand; None if nothing is. A wrong one is replaced by a new one."""
    work = _work.get()
    if work is None:
        return None
    found = work.get(_PARENT)
    if found is None:
        found = work[_PARENT] = given(work) or new()
    return str(found)


def fields() -> Mapping[str, str]:
    """What log lines tell of the work in hand: `traceparent`, `use_case` and others where they are known."""
    work = _work.get()
    if work is None:
        return {}
    told: dict[str, str] = {}
    if scored := _SCORED.match(work.get("path", "")):
        told["use_case"] = scored[1]
    told |= work.get(_FIELDS, {})
    if "headers" in work or _PARENT in work:
        told[HEADER] = known() or ""
    return told


@contextmanager
def within(traceparent: str | None = None, **told: str) -> Iterator[None]:
    """Do the work of the block for whoever sent this traceparent; log lines tell the other values too.

    Without a traceparent, or with a wrong one, that of the work in hand stays, if there is any.
    """
    work: dict[str, Any] = {_FIELDS: {**fields(), **told}}
    work[_FIELDS].pop(HEADER, None)
    parent = traceparent if traceparent and is_valid(traceparent) else known()
    if parent:
        work[_PARENT] = parent
    token = _work.set(work)
    try:
        yield
    finally:
        _work.reset(token)


def given(scope: Mapping[str, Any]) -> str | None:
    """The one that a request (its ASGI scope) came with, if it is right."""
    given = [value for name, value in scope.get("headers", ()) if name == HEADER.encode()]
    text = given[0].decode("latin-1").strip() if len(given) == 1 else ""
    return text if is_valid(text) else None
