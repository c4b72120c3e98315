"""Where the service may push to: a list of URL prefixes, which whoever runs the service gives.

A caller names a URL, and the service goes there from inside its network; so scheme, host and port have to be
those of a prefix exactly. It must not send anything, and reads a URL with the library that will send.
"""

import re
from dataclasses import dataclass

import httpx

from mlplatform.errors import ConfigurationError, RequestError
from mlplatform.online.replies import shown

LONGEST_URL = 2000
SETTING = "MLPLATFORM_WEBHOOK_TARGETS"
_PLAIN = re.compile(r"[!-~]+", re.ASCII)
_DOTS = re.compile(r"(^|/)(\.|%2e){1,2}(/|;|%3b|$)", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
_EXAMPLE = f"Such as {SETTING}=https://hooks.example.com/scores,http://127.0.0.1:9000"


@dataclass(frozen=True)
class Target:
    """A URL that may be pushed to."""

    url: httpx.URL
    origin: str
    """Scheme, host and port."""


@dataclass(frozen=True)
class _Prefix:
    origin: str
    path: str

    def covers(self, origin: str, path: str) -> bool:
        """`/a` covers /a and /a/b, and not /ab."""
        if origin != self.origin:
            return False
        return path == self.path or path.startswith(self.path.rstrip("/") + "/")


class Targets:
    """The allowed prefixes; none: pushing is off.

    Raises
    ------
    ConfigurationError
        if one is no http or https URL of a host, with a path at most.
    """

    def __init__(self, text: str = "") -> None:
        self._prefixes = tuple(_prefix(each) for each in map(str.strip, text.split(",")) if each)

    def __bool__(self) -> bool:
        return bool(self._prefixes)

    def check(self, url: str) -> Target:
        """The target that a caller named.

        Raises
        ------
        RequestError
            400 if it is no URL that could be pushed to, 403 if it is not among the allowed ones.
        """
        try:
            parsed = _read(url)
        except ValueError as error:
            raise RequestError(
                f"got callback {shown(url)}: {error}.", hint="Give an http or https URL, percent-encoded."
            ) from error
        if not self._prefixes:
            raise RequestError(
                "pushing scores is off.", status=403, hint=f"Whoever runs the service sets {SETTING}."
            )
        origin = _origin(parsed)
        if not any(prefix.covers(origin, parsed.path) for prefix in self._prefixes):
            raise RequestError(
                f"got callback {shown(url)}, which is not among the allowed targets.",
                status=403,
                hint=f"Whoever runs the service adds its scheme, host, port and path to {SETTING}.",
            )
        return Target(parsed, origin)


def _read(text: str) -> httpx.URL:
    """A URL without surprises; ValueError says what is wrong with it."""
    if len(text) > LONGEST_URL:
        raise ValueError(f"it has {len(text)} characters, allowed: {LONGEST_URL}")
    if not _PLAIN.fullmatch(text) or "\\" in text:
        raise ValueError("it has spaces, backslashes or other than ASCII characters")
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from error
    if url.scheme not in _PORTS or not url.host:
        raise ValueError("it is no http or https URL with a host")
    if not 1 <= (url.port or _PORTS[url.scheme]) <= 65535:
        raise ValueError("its port is none from 1 to 65535")
    if url.userinfo or "@" in text.split("/", 3)[2] or url.fragment or "#" in text:
        raise ValueError("it has a user name or a fragment")
    raw_path = text.split("/", 3)[3].split("?", 1)[0] if text.count("/") > 2 else ""
    if _DOTS.search(raw_path) or "%2f" in raw_path.lower() or "%5c" in raw_path.lower():
        raise ValueError("its path has dots or encoded slashes")
    return url


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.host.rstrip('.')}:{url.port or _PORTS[url.scheme]}"


def _prefix(text: str) -> _Prefix:
    try:
        url = _read(text)
    except ValueError as error:
        raise ConfigurationError(f"{SETTING} has {shown(text)}: {error}.", hint=_EXAMPLE) from error
    if url.query:
        raise ConfigurationError(f"{SETTING} has {shown(text)}; a prefix has no query.", hint=_EXAMPLE)
    return _Prefix(_origin(url), url.path)
