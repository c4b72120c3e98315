"""A download over HTTP: one file per partition, streamed to disk."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from mlplatform.errors import ConfigurationError, SourceAway, SourceError
from mlplatform.sources._contract import WHOLE, Delivery, Part, Source, format_of
from mlplatform.sources.files import PLACE

MOST_BYTES = 8 << 30


def open(
    folder: Path,
    *,
    url: str,
    format: str = "",
    headers: dict[str, str] | None = None,
    timeout: float = 60.0,
    most_bytes: int = MOST_BYTES,
) -> Source:
    """What a server gives at `url`; redirects are not followed.

    Parameters
    ----------
    url
        with `{partition}` where the day stands, e.g. `https://example.org/orders/{partition}.csv.gz`.
    format
        csv, jsonl or parquet, where the URL does not tell.
    headers
        sent along, an authorization for example.
    timeout
        seconds without an answer after which it is given up.
    most_bytes
        a longer answer is refused.

    Raises
    ------
    ConfigurationError
        if the URL is none, or the format is not known.
    """
    try:
        httpx.URL(url)
        place, shown = urlsplit(url), _shown(url)
    except (ValueError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            "source 'http' got a url that is none; allowed: http:// or https:// with a host.",
            hint="Set options.url of the data set.",
        ) from error
    if place.scheme not in ("http", "https") or not place.hostname:
        raise ConfigurationError(
            f"source 'http' got url {shown!r}; allowed: http:// or https:// with a host.",
            hint="Set options.url of the data set.",
        )
    for name, value in (headers or {}).items():
        if not (value.isascii() and value.isprintable()):
            raise ConfigurationError(
                f"source 'http' got a value of header {name!r} that no header can have; allowed: printable "
                "ASCII.",
                hint="Is there a line end in it?",
            )
    format_of(place.path, format)
    return _Download(url, format, headers or {}, timeout, most_bytes)


@dataclass(frozen=True)
class _Download:
    url: str = field(repr=False)
    format: str
    headers: dict[str, str] = field(repr=False)
    timeout: float
    most_bytes: int

    def deliveries(self, partitions: Sequence[str] | None) -> Iterator[Delivery]:
        if partitions is not None and PLACE not in self.url:
            raise ConfigurationError(
                f"source 'http' with url {_shown(self.url)!r} is asked for days; allowed: {PLACE} in it.",
                hint="Write it where the day stands, or set daily: false.",
            )
        # Not compressed for the transfer: what the server holds is what is kept.
        headers = {"accept-encoding": "identity", **self.headers}
        with (
            tempfile.TemporaryDirectory(prefix="mlplatform-download-") as spool,
            httpx.Client(timeout=self.timeout, headers=headers, follow_redirects=False) as client,
        ):
            for partition in [WHOLE] if partitions is None else partitions:
                url = self.url.replace(PLACE, partition)
                file = Path(spool) / "delivery"
                there = self._fetched(client, url, file)
                kind, gzipped = format_of(urlsplit(url).path, self.format)
                yield Delivery(partition, (Part(_shown(url), kind, file, gzipped),) if there else ())

    def _fetched(self, client: httpx.Client, url: str, file: Path) -> bool:
        """Stream the answer to `file`; False if the server has nothing there."""
        try:
            with client.stream("GET", url) as answer:
                if answer.status_code in (404, 410):
                    return False
                if answer.status_code != 200:
                    kind = SourceAway if _passes(answer.status_code) else SourceError
                    raise kind(
                        f"{_shown(url)} answers {answer.status_code}.", hint="Check the URL and its rights."
                    )
                self._save(answer, file, url)
                return True
        except httpx.HTTPError as error:
            raise SourceAway(
                f"{_shown(url)} cannot be fetched: {str(error) or type(error).__name__}.",
                hint="Is the server up? The run can be repeated; what was saved stays.",
            ) from error

    def _save(self, answer: httpx.Response, file: Path, url: str) -> None:
        length = 0
        with file.open("wb") as out:
            for chunk in (
                answer.iter_raw() if "content-encoding" not in answer.headers else answer.iter_bytes()
            ):
                length += len(chunk)
                if length > self.most_bytes:
                    raise SourceError(
                        f"{_shown(url)} is longer than {self.most_bytes} bytes.",
                        hint="Raise options.most_bytes, or ask for smaller files.",
                    )
                out.write(chunk)
        told = answer.headers.get("content-length")
        if told is not None and "content-encoding" not in answer.headers and int(told) != length:
            raise SourceAway(f"{_shown(url)} ended after {length} of {told} bytes.", hint="Run again.")


def _passes(status: int) -> bool:
    """Whether the server says that it cannot now: too early, too many, or an error of its own."""
    return status >= 500 or status in (408, 425, 429)


def _shown(url: str) -> str:
    """Without user, password and query, which may be secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
