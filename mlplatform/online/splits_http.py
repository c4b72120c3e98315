"""The route `GET /splits/{use_case}` of the scoring service, and how OpenAPI describes it.

It must not divide rows; `splits.py` does.
"""

from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import Response

from mlplatform.online.splits import MOST_ROWS, Splits, read_query
from mlplatform.stages.segregation.strategies import PARTS

_SAID = {
    "strategy": ("A strategy; left out: the declared one.", {"type": "string"}),
    "as_of": ("Day of training; left out: the declared one.", {"type": "string", "format": "date"}),
    "part": ("Give rows of this part too.", {"type": "string", "enum": list(PARTS)}),
    "labels": ("Whether these rows have their label.", {"type": "boolean", "default": True}),
    "offset": ("Rows of the part to pass over.", {"type": "integer", "minimum": 0, "default": 0}),
    "limit": ("Most rows.", {"type": "integer", "minimum": 0, "maximum": MOST_ROWS, "default": 100}),
}
_PARAMETERS = [
    {"name": name, "in": "query", "description": said, "schema": schema}
    for name, (said, schema) in _SAID.items()
] + [
    {
        "name": "options",
        "in": "query",
        "description": "Every other parameter is an option of the strategy, such as validation=1mo.",
        "style": "form",
        "explode": True,
        "schema": {"type": "object", "additionalProperties": {"type": "string"}},
    }
]
_ANSWERS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The rows cannot be divided as asked"},
    404: {"description": "There is no such use case, or it was never divided"},
    503: {"description": "Other divisions are being made"},
}


def add_splits(app: FastAPI, splits: Splits) -> None:
    """Answer `GET /splits/{use_case}`."""

    # No coroutine: it is run in a thread, so that scoring goes on meanwhile.
    @app.get(
        "/splits/{use_case}",
        tags=["segregation"],
        summary="Divide the stored questions: sizes, id, warnings, and rows of a part",
        responses=_ANSWERS,
        openapi_extra={"parameters": _PARAMETERS},
    )
    def split(use_case: str, request: Request) -> Response:
        body = splits.answer(use_case, read_query(request.query_params.multi_items()))
        return Response(msgspec.json.encode(body), media_type="application/json")
