"""The connection to a Valkey or Redis server, with its errors turned into ours. It must not know features."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from mlplatform.errors import ConfigurationError, StoreError
from mlplatform.stores.online import without_password

TIMEOUT_SECONDS = 5.0


class Link:
    """A client, connected at its first use and again after the server was away; threads may share it."""

    def __init__(self, url: str) -> None:
        self.url = without_password(url)
        self._client = _client(url)

    @contextmanager
    def client(self) -> Iterator[Any]:
        """The client; what it raises within the block becomes StoreError."""
        try:
            yield self._client
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise StoreError(
                f"the online store {self.url} does not answer: {str(error)[:200]}.",
                hint="Start the server, or correct its URL; memory:// needs none.",
            ) from error
        except redis.ResponseError as error:
            raise StoreError(
                f"the online store {self.url} refuses: {str(error)[:300]}",
                hint="WRONGTYPE: another program uses our keys, give it another database. OOM, READONLY: see "
                "the server's configuration.",
            ) from error
        except redis.RedisError as error:
            raise StoreError(
                f"the online store {self.url} failed: {type(error).__name__}: {str(error)[:200]}.",
                hint="See the server's log.",
            ) from error

    @contextmanager
    def pipeline(self, *, whole: bool) -> Iterator[Any]:
        """Commands that are sent together; with `whole` all take effect at one moment, or none does."""
        with self.client() as client, client.pipeline(transaction=whole) as pipe:
            yield pipe

    def score(self, key: bytes, member: bytes) -> int | None:
        """The whole-number score of a member; None if there is none."""
        with self.client() as client:
            found = client.zscore(key, member)
        return None if found is None else int(found)

    def raise_score(self, key: bytes, member: bytes, score: int) -> None:
        """Set a score that only ever grows."""
        with self.client() as client:
            client.zadd(key, {member: score}, gt=True)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _client(url: str) -> Any:
    """A client; nothing is sent yet. Repeating is safe, as everything we write may be written again."""
    plain = url.replace("valkey", "redis", 1) if url.startswith("valkey") else url
    try:
        return redis.Redis.from_url(
            plain,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
        )
    except ValueError as error:
        raise ConfigurationError(
            f"the online store's URL {without_password(url)!r} cannot be used: {error}.",
            hint="Write redis://host:port/database.",
        ) from error
