"""Signatures of pushed messages, as by the Standard Webhooks specification (version v1, HMAC-SHA256).

For senders and receivers; a receiver needs this file and the standard library only, or any library of that
specification. It must not send anything.
"""

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Mapping

from mlplatform.errors import ConfigurationError, RequestError

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE = 300
"""Seconds by which a message's time may differ from the receiver's clock."""
_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64
_MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,200}", re.ASCII)
_MAKE_ONE = 'Make one: python -c "import base64, os; print(base64.b64encode(os.urandom(32)).decode())"'


class Secret:
    """The key that sender and receiver share; `text` is `whsec_` and base64 of 24 to 64 bytes.

    Raises
    ------
    ConfigurationError
        if the text is no such secret; it is not repeated.
    """

    def __init__(self, text: str) -> None:
        try:
            self._key = base64.b64decode(text.strip().removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ConfigurationError("The webhook secret is not base64.", hint=_MAKE_ONE) from error
        if not _SHORTEST <= len(self._key) <= _LONGEST:
            raise ConfigurationError(
                f"The webhook secret has {len(self._key)} bytes; allowed: {_SHORTEST} to {_LONGEST}.",
                hint=_MAKE_ONE,
            )

    def signature(self, id: str, timestamp: int, body: bytes) -> str:
        """`v1,<base64>` of one message; `timestamp` in seconds since 1970."""
        signed = b"%b.%d.%b" % (id.encode(), timestamp, body)
        return "v1," + base64.b64encode(hmac.digest(self._key, signed, hashlib.sha256)).decode()

    def headers(self, id: str, body: bytes, now: float | None = None) -> dict[str, str]:
        """The three headers of a message that is sent now."""
        timestamp = int(time.time() if now is None else now)
        return {ID: id, TIMESTAMP: str(timestamp), SIGNATURE: self.signature(id, timestamp, body)}


def verify(
    secret: str | Secret,
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
) -> str:
    """The id of a genuine message; for receivers, who should keep ids and ignore one that comes again.

    Parameters
    ----------
    headers : of the request, in any case; `body` is its bytes, before anything parses them.
    tolerance : seconds between the message's time and now, either way.

    Raises
    ------
    RequestError
        401 if a header is missing, the message is too old or too new, or no signature is ours.
    """
    given = {name.lower(): value for name, value in headers.items()}
    id, timestamp = given.get(ID, ""), given.get(TIMESTAMP, "")
    if not id or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 15):
        raise RequestError(f"the headers {ID} and {TIMESTAMP} are missing or malformed.", status=401)
    if abs((time.time() if now is None else now) - int(timestamp)) > tolerance:
        raise RequestError(f"the message is more than {tolerance:g} s from the receiver's time.", status=401)
    key = secret if isinstance(secret, Secret) else Secret(secret)
    wanted = key.signature(id, int(timestamp), body).encode()
    offered = given.get(SIGNATURE, "").encode().split()
    if not any(hmac.compare_digest(wanted, each) for each in offered):
        raise RequestError("no signature of the message is by this secret.", status=401)
    return id


def check_id(id: str) -> str:
    """The id, if it can be a message's; else RequestError: a dot would let two messages be signed alike."""
    if not _MESSAGE_ID.fullmatch(id):
        raise RequestError(f"got message id {id[:100]!a}; allowed: 1 to 200 letters, digits, _ and -.")
    return id
