"""The keys that are good now, in memory: looked for in the database each second, in a thread.

A database that is away takes nothing away: what was known stays good. It must not know HTTP.
"""

import logging
import threading
from collections.abc import Callable
from typing import NamedTuple

from mlplatform.errors import MlplatformError
from mlplatform.stores.keys import KeyStore, digest_of

_LOG = logging.getLogger(__name__)
_BEARER = b"bearer "


class Holder(NamedTuple):
    """Whose key it is, and the bits of its scopes."""

    name: str
    scopes: int


class _Known(NamedTuple):
    """Replaced as a whole, so that a revoked key is in no part of it any more."""

    by_digest: dict[str, Holder]
    by_header: dict[bytes, Holder]
    """Values of `Authorization` that were good: hashing again would cost as much as everything else.

    Only good ones are kept, so there are as many as keys and ways to write `Bearer`. Python compares them
    only where a random hash of 64 bits agrees, so the time of a look-up tells nothing of a key.
    """


class KeyRing:
    """Who holds which key; `find` is called from one thread, `refresh` from another."""

    def __init__(self, open_store: Callable[[], KeyStore], seconds: float = 1.0) -> None:
        self.trouble = "The keys were not read yet."
        """Why the keys in the database are not known; empty if they are."""
        self._open, self._seconds = open_store, seconds
        self._store: KeyStore | None = None
        self._known: _Known | None = None
        self._stopped, self._read = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def ready(self) -> bool:
        """Whether the keys were read once."""
        return self._known is not None

    def find(self, authorization: bytes | None, key: bytes | None = None) -> Holder | None:
        """Whoever holds the key in the header `Authorization: Bearer …`, or else in `X-API-Key`."""
        known = self._known
        if known is None:
            return None
        if authorization is not None:
            holder = known.by_header.get(authorization)
            if holder is not None:
                return holder
            if authorization[: len(_BEARER)].lower() == _BEARER:
                holder = known.by_digest.get(digest_of(authorization[len(_BEARER) :].strip()))
                if holder is not None:
                    known.by_header[authorization] = holder
                return holder
        return known.by_digest.get(digest_of(key)) if key is not None else None

    def refresh(self) -> None:
        """Look once."""
        try:
            self._store = self._store or self._open()
            found = {key.digest: Holder(key.name, key.scopes.value) for key in self._store.in_use()}
        except MlplatformError as error:
            if self.trouble != str(error):
                _LOG.warning("the keys cannot be read, those known stay good: %s", error)
            self.trouble = str(error)
            return
        if self._known is None or self._known.by_digest != found:
            self._known = _Known(found, {})
        self.trouble = ""

    def start(self) -> None:
        """Look again and again in a thread, until `stop`."""
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, name="keys", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until it has looked once; whether it has."""
        return self._read.wait(seconds)

    def stop(self) -> None:
        """End the thread; one that waits for its database ends with the process."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
        if self._store is not None:
            self._store.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.refresh()
            self._read.set()
            self._stopped.wait(self._seconds)
