"""Questions that name an entity instead of telling its facts: `{"entity": {"carrier": "UA", …}}`.

The facts of the newest days' questions are in memory by their key; facts beside `entity` take precedence over
those known. It must not compute features nor score.
"""

from typing import Any

import msgspec

from mlplatform.errors import RequestError
from mlplatform.online import strict
from mlplatform.online.bundle import Bundle
from mlplatform.online.facts import Facts, not_json
from mlplatform.online.replies import shown

ENTITY = "entity"
_NAMED = b'"entity"'

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def facts_of(bundle: Bundle, body: bytes) -> Facts:
    """The facts in a JSON object, or those known of the entity it names.

    Raises
    ------
    RequestError
        400 for what is no such object; 404 for an entity that is not known.
    """
    if _NAMED not in body or ENTITY in bundle.facts.types:
        return bundle.facts.json(body)
    return _known(bundle, body)


def _known(bundle: Bundle, body: bytes) -> Facts:
    strict.check(body)
    told, names = _object(body), bundle.fitted.feature_set.spine.key
    if ENTITY not in told:
        return bundle.facts.json(body)  # the word was a value
    key = told.pop(ENTITY)
    if not isinstance(key, dict) or sorted(key) != sorted(names):
        got = ", ".join(key) if isinstance(key, dict) else "no object"
        raise RequestError(
            f"entity: got {shown(got)}; allowed: an object of {', '.join(names)}.",
            hint="Name the key of the question.",
        )
    of_key = {name: kind for name, kind in bundle.facts.types.items() if name in names}
    values = {
        name: bundle.facts.column(name, [key[name]])[0] if name in of_key else key[name] for name in names
    }
    entities = bundle.memory.entities
    known = entities.get([values[name] for name in names]) if entities else None
    if known is None:
        raise RequestError(
            f"entity: got {shown(key)}, which is not among the questions of the newest days.",
            status=404,
            hint="Send its facts.",
        )
    more = {name: bundle.facts.column(name, [value])[0] for name, value in told.items() if name in known}
    if strangers := sorted(set(told) - set(known)):
        raise RequestError(f"got a fact {shown(strangers[0])}; allowed: {', '.join(bundle.facts.names)}.")
    return {name: (known | more).get(name) for name in bundle.facts.names}


def _object(body: bytes) -> dict[str, Any]:
    try:
        return _decode(body)
    except msgspec.ValidationError as error:
        raise RequestError(f"the facts: {str(error)[:200]}.", hint="Send one JSON object.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from error
