"""How the FastAPI part of every service says no: `{"error": …}`, less than 2 kB, nothing of a body in it.

FastAPI's own answer to a wrong request has the whole request in it, and cannot be written at all if that has
a NaN. It must not know what was asked.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mlplatform.errors import RequestError
from mlplatform.online.replies import ECHO, sentence, shown

INTERNAL = "an internal error; the server's log has it"
_MOST = 3
"""Wrong values that are named."""


def add_refusals(app: FastAPI) -> None:
    """Have `app` answer every error in our form."""
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _wrong_values)
    app.add_exception_handler(Exception, _failed)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestError)
    return _answer(error.status, sentence(error))


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    text = f"{str(error.detail)[:ECHO]}. The routes are described at /docs."
    return _answer(error.status_code, text, error.headers)


async def _wrong_values(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors: Sequence[Any] = error.errors()
    named = "; ".join(_named(each) for each in errors[:_MOST])
    more = f" (and {len(errors) - _MOST} more)" if len(errors) > _MOST else ""
    return _answer(400, f"{named}{more}. What is allowed is described at /docs.")


async def _failed(_: Request, error: Exception) -> JSONResponse:
    return _answer(500, INTERNAL)  # Starlette raises the error again, for the log


def _named(error: Mapping[str, Any]) -> str:
    where = " ".join(shown(str(part), 40).strip("'\"") for part in error.get("loc", ()))
    return f"{where}: {str(error.get('msg', 'is wrong'))[: 2 * ECHO]}"


def _answer(status: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    more = dict(headers or {})
    if status in (429, 503):
        more.setdefault("retry-after", "1")
    if status in (408, 413):
        more["connection"] = "close"  # the rest of the body would be taken for the next request
    return JSONResponse({"error": text}, status, more)
