"""The Online Feature Store: rows go in as they become known, vectors come out as of any time within reach.

`OnlineStore` is the port, `open_online_store(url, …)` gives one: in this process, or a Valkey or Redis server
that many processes share. Whatever is behind it, a vector equals the batch executor's to the bit. It must not
know where rows come from, and imports no server's client before a URL asks for it.

Times are microseconds since 1970 (UTC, int); values are plain Python, missing is None.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from mlplatform.errors import ConfigurationError
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.online import OnlineFeatures

Facts = Mapping[str, Any]

SERVERS = ("redis", "rediss", "valkey", "valkeys", "unix")
"""Schemes of a server; `unix:///path` is its socket, those that end in an s use TLS."""


class OnlineStore(Protocol):
    """Rows of the sources of one feature set, and the vectors they give.

    The same row told again is the same row, so it may be told by any number of writers, in any order. Every
    method may raise StoreError if a server behind it does not answer or holds what is not ours.
    """

    @property
    def feature_set(self) -> FeatureSet:
        """What it answers."""

    @property
    def newest(self) -> int | None:
        """When the newest row became known (µs); None while there is none."""

    def event(self, source: str, row: Facts) -> None:
        """Take one row of a source; without its clock it is no event. FeatureError if it is refused."""

    def events(self, rows: Iterable[tuple[str, Facts]]) -> int:
        """Take many, each with its source's name, faster than one by one; returns how many there were.

        If one is refused (FeatureError), some of those before it may have been taken: tell them again.
        """

    def load_static(self, table: str, rows: Iterable[Facts]) -> None:
        """Replace the rows of a static table. FeatureError if several have the same key."""

    def advance(self, now_us: int) -> None:
        """Say what time it is: what no question from the grace before now on can reach may be dropped."""

    def as_of(self, facts: Facts) -> int:
        """The time of the question these facts ask. FeatureError if a fact it needs is missing."""

    def vector_at(self, asked: int, facts: Facts) -> list[Any]:
        """`vector` for facts whose time (`as_of`) is known already."""

    def vector(self, facts: Facts) -> list[Any]:
        """The features for these facts, in the order of the feature set.

        FeatureError if a fact is not given, or the question is about a time whose rows were dropped.
        """

    def position(self, stream: str) -> int | None:
        """Up to which sequence of a stream every event was taken; None if that was never said."""

    def set_position(self, stream: str, sequence: int) -> None:
        """Say up to where a stream was taken; an earlier sequence than was said before changes nothing."""

    def close(self) -> None:
        """Give connections back."""


class MemoryStore:
    """The store in this process: `OnlineFeatures`, and how far it is."""

    def __init__(self, feature_set: FeatureSet, *, grace: str = "1d") -> None:
        self.feature_set = feature_set
        self.features = OnlineFeatures(feature_set, grace=grace)
        self.newest: int | None = None
        self._positions: dict[str, int] = {}
        self._clocks = {source.name: (source.at, microseconds(source.lag)) for source in feature_set.sources}
        self.load_static = self.features.load_static
        self.advance = self.features.advance
        self.as_of = self.features.as_of
        self.vector = self.features.vector
        self.vector_at = self.features.vector_at

    def event(self, source: str, row: Facts) -> None:
        """Take one row of a source."""
        self.features.event(source, row)
        at, lag = self._clocks[source]
        if row[at] is not None:
            self.newest = max(self.newest or row[at] + lag, row[at] + lag)

    def events(self, rows: Iterable[tuple[str, Facts]]) -> int:
        """Take many rows."""
        count = 0
        for source, row in rows:
            self.event(source, row)
            count += 1
        return count

    def position(self, stream: str) -> int | None:
        """Up to which sequence of a stream every event was taken."""
        return self._positions.get(stream)

    def set_position(self, stream: str, sequence: int) -> None:
        """Say up to where a stream was taken."""
        self._positions[stream] = max(sequence, self._positions.get(stream, sequence))

    def close(self) -> None:
        """Nothing is held."""


def open_online_store(url: str, feature_set: FeatureSet, namespace: str, *, grace: str = "1d") -> OnlineStore:
    """The store of a URL: `memory://` (new, in this process), `redis://host:port/db`, `unix:///path`.

    Parameters
    ----------
    namespace
        keeps the rows of use cases apart that share a server: the use case's name.
    grace
        how much older than the time `advance` told a question may be.

    Raises
    ------
    ConfigurationError
        if the URL has another scheme, or the client is not installed. The server is not asked yet.
    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        return MemoryStore(feature_set, grace=grace)
    if scheme in SERVERS:
        return _valkey(url, feature_set, namespace, grace)
    raise ConfigurationError(
        f"the online store's URL is {without_password(url)!r}; its scheme must be memory, "
        f"{', '.join(SERVERS)}.",
        hint="Give redis://127.0.0.1:6379/0, or memory:// for a store in process.",
    )


def shared(url: str) -> bool:
    """Whether the store of this URL is one that several processes share."""
    return urlsplit(url).scheme != "memory"


def without_password(url: str) -> str:
    """The URL for people and logs: user, password and options left out."""
    parts = urlsplit(url)
    if not (parts.netloc or parts.path):
        return url  # of `memory://` urlunsplit would leave `memory:`
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _valkey(url: str, feature_set: FeatureSet, namespace: str, grace: str) -> OnlineStore:
    try:
        from mlplatform.stores.online_valkey import ValkeyStore
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the online store's URL is {without_password(url)!r}, but {error.name} is not installed.",
            hint="Install mlplatform[valkey].",
        ) from error
    return ValkeyStore(url, feature_set, namespace, grace=grace)
