"""What the OpenAPI documents of all services share: refusals in our form, and which key a route needs.

It must not route or answer anything, nor know a service.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from mlplatform.online.scopes import OPEN, needed
from mlplatform.stores.keys import WORDS

Schema = dict[str, Any]

_SECURITY: Schema = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`mlplatform keys add NAME` makes a key."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
}
_ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "What was got, what is allowed, what to do."}},
}
_READY: Schema = {"type": "object", "required": ["ready"], "properties": {"ready": {"type": "boolean"}}}
_EVERYWHERE = {
    "400": "The request is wrong.",
    "414": "The address is too long.",
    "429": "Too many requests; ask again after `Retry-After` seconds.",
    "431": "The header is too long.",
    "500": "An internal error; the server's log has it.",
}
_WITH_KEYS = {
    "401": "No key was sent, or one that is not known or was revoked.",
    "403": "The key's scope is not enough, or a page of another origin asks.",
    "503": "The service cannot answer now; ask again after `Retry-After` seconds.",
}
_WORDS = {scope.value: word for word, scope in WORDS.items()}


def documented(app: FastAPI, *, keys: bool, document: Schema | None = None) -> Schema:
    """The OpenAPI document of an app, or `document` made of it, completed; `keys`: are they needed."""
    made = document or get_openapi(title=app.title, version=app.version, routes=app.routes)
    paths = {
        path: {method: _operation(path, method, told, keys) for method, told in methods.items()}
        for path, methods in made["paths"].items()
    }
    components = made.get("components", {})
    unused = ("HTTPValidationError", "ValidationError")
    schemas = {name: told for name, told in components.get("schemas", {}).items() if name not in unused}
    components = {**components, "schemas": {**schemas, "Error": _ERROR, "NotReady": _READY}}
    if keys:
        components["securitySchemes"] = _SECURITY
    return {**made, "paths": paths, "components": components}


def _operation(path: str, method: str, told: Schema, keys: bool) -> Schema:
    need = needed(path, method.upper())
    asked = keys and need != OPEN
    # FastAPI's own 422 is never answered: `refusals.py` says 400.
    given = {
        status: answer
        for status, answer in told.get("responses", {}).items()
        if "HTTPValidationError" not in str(answer)
    }
    for status, text in (_EVERYWHERE | (_WITH_KEYS if asked else {})).items():
        given.setdefault(status, {"description": text})
    if "{" in path or path.startswith("/v2/models/"):
        given.setdefault("404", {"description": "There is no such thing."})
    if path.endswith("/ready"):
        given["503"] = _no(given.get("503", {"description": "It is not ready."}), "NotReady")
    answers = {
        status: _no(answer, "Error") if status[0] in "45" else answer
        for status, answer in sorted(given.items())
    }
    if not asked:
        return {**told, "responses": answers}
    scope = f"The key needs the scope `{_WORDS[need]}`." if need else "Any key is good for this."
    description = f"{told.get('description', '')}\n\n{scope}".strip()
    return {
        **told,
        "responses": answers,
        "description": description,
        "security": [{name: []} for name in _SECURITY],
    }


def _no(answer: Schema, schema: str) -> Schema:
    """A refusal with its schema, if it has none yet."""
    if "content" in answer:
        return answer
    return {**answer, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}
