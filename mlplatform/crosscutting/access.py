"""Who may ask the services over HTTP: keys, hosts, origins, rates, as settings of a deployment.

It must not judge a request; `online/gate.py` does.
"""

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mlplatform.errors import ConfigurationError

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
ANY = "*"


@dataclass(frozen=True)
class Access:
    """Values of one deployment; the defaults are those of a service on a loopback address."""

    keys: bool = False
    """Whether a request needs a key (MLPLATFORM_KEYS=auto|on; auto: unless the host is a loopback one)."""
    hosts: tuple[str, ...] = LOOPBACK
    """Names under which the services may be asked, without ports (MLPLATFORM_ALLOWED_HOSTS); `*` is any."""
    origins: tuple[str, ...] = ()
    """Origins whose pages may ask from a browser (MLPLATFORM_CORS_ORIGINS); `*` is any."""
    rate: float = 0.0
    """Requests a second of one key, or of an address without a key (MLPLATFORM_RATE_LIMIT); 0: no limit."""
    burst: int = 0
    """Requests that may come at once (MLPLATFORM_RATE_BURST); by default those of two seconds."""
    key: str = field(default="", repr=False)
    """The key that our own commands and assets send (MLPLATFORM_KEY)."""

    @classmethod
    def load(cls, env: Mapping[str, str], host: str) -> "Access":
        """Read them from the environment; `host` is what the services listen on.

        Raises
        ------
        ConfigurationError
            if one is not as described above.
        """
        rate = _number(env, "MLPLATFORM_RATE_LIMIT")
        burst = int(_number(env, "MLPLATFORM_RATE_BURST")) or math.ceil(2 * rate)
        return cls(
            keys=_keys(env.get("MLPLATFORM_KEYS", "auto"), host),
            hosts=_hosts(env.get("MLPLATFORM_ALLOWED_HOSTS", ""), host),
            origins=tuple(_origin(each) for each in _words(env.get("MLPLATFORM_CORS_ORIGINS", ""))),
            rate=rate,
            burst=burst,
            key=env.get("MLPLATFORM_KEY", ""),
        )

    def headers(self) -> dict[str, str]:
        """What our own clients send to be let in."""
        return {"authorization": f"Bearer {self.key}"} if self.key else {}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _keys(text: str, host: str) -> bool:
    if text not in ("auto", "on"):
        raise ConfigurationError(
            f"MLPLATFORM_KEYS is {text!r}; allowed: auto, on.",
            hint="A service without keys listens on a loopback address: MLPLATFORM_HOST=127.0.0.1.",
        )
    return text == "on" or not is_loopback(host)


def _hosts(text: str, host: str) -> tuple[str, ...]:
    """Names that are allowed, in lower case.

    Who listens on every address has names that nothing here knows. Any is let in then: a page that had its
    own name resolve to the service's address would still need a key.
    """
    words = _words(text.lower())
    if words:
        if wrong := [word for word in words if "/" in word or (":" in word and not word.startswith("["))]:
            raise ConfigurationError(
                f"MLPLATFORM_ALLOWED_HOSTS has {wrong[0]!r}; a name has no port, and IPv6 is in brackets.",
                hint="Write names with commas between: models.example.org,[::1]",
            )
        return words
    name = host.lower()
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return (*LOOPBACK, name)
    if address.is_unspecified:
        return (ANY,)
    return (*LOOPBACK, f"[{address}]" if address.version == 6 else str(address))


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if text != ANY and (parts.scheme not in ("http", "https") or text != f"{parts.scheme}://{parts.netloc}"):
        raise ConfigurationError(
            f"MLPLATFORM_CORS_ORIGINS has {text!r}; an origin is scheme://host[:port], without a path.",
            hint="Write origins with commas between: https://shop.example.org,http://localhost:5173",
        )
    return text


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for each in text.split(",") if (word := each.strip()))


def _number(env: Mapping[str, str], name: str) -> float:
    text = env.get(name, "") or "0"
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1e6:
        raise ConfigurationError(
            f"{name} is {text!r}; allowed: a number from 0 to 1000000.", hint="0, or unset, is no limit."
        )
    return number
