"""Asking for batch scores: what every face (HTTP, topic, command line) checks before a request is queued.

It must not score, nor import what does.
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec

from mlplatform.crosscutting.clock import utc_now
from mlplatform.errors import RequestError
from mlplatform.stages.deployment.release import Release
from mlplatform.stores.batch_requests import BatchRequest, BatchRequests
from mlplatform.stores.champions import ChampionStore

MOST_DAYS = 3_700
_KEY, _URL = 200, 2_000
_USE_CASE = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a caller asks for."""

    use_case: str
    first: str
    last: str
    """Days (YYYY-MM-DD), both included."""
    version: int | None = None
    """Number of a release; None: the champion."""
    callback: str | None = None
    """http(s) URL that is told of the end."""
    key: str | None = None
    """Of the caller's choice: asked twice with one key, it is one request."""


def ask(
    requests: BatchRequests,
    champions: ChampionStore,
    asked: Asked,
    *,
    clock: Callable[[], datetime] = utc_now,
) -> BatchRequest:
    """Queue the request; the earlier one where its key was given before.

    Raises
    ------
    RequestError
        404 if there is no such use case or version, 422 for days, a URL or a key that cannot be, 409 for a
        key of another request.
    """
    _check(asked)
    release = _release(champions, asked)
    return requests.add(
        BatchRequest(
            id=uuid4().hex,
            key=asked.key,
            use_case=asked.use_case,
            first=asked.first,
            last=asked.last,
            version=release.version,
            model=release.model,
            callback=asked.callback,
            asked_at=clock(),
        )
    )


def release_of(champions: ChampionStore, use_case: str, version: int) -> Release:
    """The release of that number; RequestError 404 if there is none."""
    history = champions.history(use_case)
    for release in history:
        if release.version == version:
            return release
    raise RequestError(
        f"{use_case[:100]!r} has no version {version}; it has {len(history)}.",
        status=404,
        hint="`mlplatform champion` lists the versions.",
    )


def _release(champions: ChampionStore, asked: Asked) -> Release:
    known = _USE_CASE.fullmatch(asked.use_case) is not None
    champion = champions.champion(asked.use_case) if known else None
    if champion is None:
        raise RequestError(
            f"no use case {asked.use_case[:100]!r} has a champion.",
            status=404,
            hint="Train one: mlplatform run.",
        )
    return champion if asked.version is None else release_of(champions, asked.use_case, asked.version)


def _check(asked: Asked) -> None:
    first, last = _day("first", asked.first), _day("last", asked.last)
    if not 0 <= (last - first).days < MOST_DAYS:
        raise _refused(
            f"got first {asked.first} and last {asked.last}; allowed: last not before first, and at most "
            f"{MOST_DAYS} days."
        )
    if asked.callback is not None:
        _check_url(asked.callback)
    if asked.key is not None and not (1 <= len(asked.key) <= _KEY and asked.key.isprintable()):
        raise _refused(f"got key {asked.key[:100]!r}; allowed: 1 to {_KEY} printable characters.")


def _day(name: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise _refused(f"got {name} {text[:100]!r}; allowed: a day as YYYY-MM-DD.") from error
    if str(day) != text:
        raise _refused(f"got {name} {text[:100]!r}; allowed: a day as YYYY-MM-DD.")
    return day


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and len(url) <= _URL
        good = good and url.isprintable()
    except ValueError:
        good = False
    if not good:
        raise _refused(
            f"got callback {url[:100]!r}; allowed: an http or https URL of at most {_URL} characters."
        )


def _refused(text: str) -> RequestError:
    return RequestError(text, status=422)
