"""`POST /score/{use_case}?callback=<url>`: the answer is promised at once and pushed to the URL.

The score is computed before the promise, so a request that would be refused is refused here. It must not
know the web framework, nor send anything itself.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qsl, urlencode

import anyio.to_thread

from mlplatform.errors import RequestError
from mlplatform.online.delivery.recent import Answered, Recent
from mlplatform.online.delivery.webhooks import Webhooks
from mlplatform.online.replies import encode
from mlplatform.stages.scoring.score import Answer, Listing

_NAME = "callback"
_FIELDS = 8

Ask = Callable[[bytes], Awaitable[Answered]]
"""Gives the answer to a request; takes the rest of its query string."""


class Callbacks:
    """Promises answers, and has them pushed."""

    def __init__(self, webhooks: Webhooks, recent: Recent) -> None:
        self._webhooks, self._recent = webhooks, recent

    async def accept(self, use_case: str, query: bytes, ask: Ask) -> bytes | None:
        """The body of a 202 answer; None if the query string names no callback, and then nothing was asked.

        Parameters
        ----------
        query : of the request, as it came.
        ask : not called for a URL that may not be pushed to.

        Raises
        ------
        RequestError
            as `Webhooks.check`, and as `ask`; then nothing is pushed.
        """
        url, rest = callback_of(query)
        if url is None:
            return None
        self._webhooks.check(url)
        answer = await ask(rest)
        id = id_of(answer)
        push = partial(self._webhooks.push, url, id, encode(answer), use_case=use_case)
        await anyio.to_thread.run_sync(push)  # it writes a file
        self._recent.keep(id, answer)
        return encode(_promise(id, answer))


def callback_of(query: bytes) -> tuple[str | None, bytes]:
    """The callback that a query string names (None if it names none), and the rest of the query string.

    Raises
    ------
    RequestError
        400 if it names several, or is no query string.
    """
    if _NAME.encode() not in query:
        return None, query
    try:
        text = query.decode("ascii")
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
    except ValueError as error:
        raise RequestError(
            f"the query string cannot be read; allowed: at most {_FIELDS} fields, percent-encoded UTF-8."
        ) from error
    urls = [value for name, value in fields if name == _NAME]
    if len(urls) > 1:
        raise RequestError(f"got {len(urls)} callbacks; allowed: one.")
    rest = urlencode([(name, value) for name, value in fields if name != _NAME])
    return (urls[0], rest.encode()) if urls else (None, query)


def id_of(answer: Answered) -> str:
    """The prediction id; of several rows one made of theirs, in their order."""
    if isinstance(answer, Answer):
        return answer.prediction_id
    return blake2b(encode(_ids(answer)), digest_size=16).hexdigest()


def _ids(answer: Listing | list[Answer]) -> list[str]:
    rows = answer.places if isinstance(answer, Listing) else answer
    return [row.prediction_id for row in rows]


def _promise(id: str, answer: Answered) -> dict[str, Any]:
    promise: dict[str, Any] = {"prediction_id": id, "url": f"/scores/{id}"}
    if not isinstance(answer, Answer):
        promise["prediction_ids"] = _ids(answer)
    return promise
