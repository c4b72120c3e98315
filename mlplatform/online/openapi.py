"""The scoring routes in OpenAPI, written by hand because FastAPI does not route them.

The facts of each use case in service are described from its release, so the documentation follows a swap. It
must not route or answer anything.
"""

from collections.abc import Mapping
from typing import Any

from mlplatform.online.bundle import Bundle
from mlplatform.online.inference import DATATYPES, MOST_ROWS, OUTPUTS
from mlplatform.stages.preparation.declarations import FactType
from mlplatform.stages.training.output import KINDS

Schema = dict[str, Any]

_JSON: dict[FactType, Schema] = {
    "string": {"type": "string"},
    "int": {"type": "integer", "format": "int64"},
    "float": {"type": "number"},
    "time": {"type": "string", "format": "date-time"},
    "bool": {"type": "boolean"},
}
_STATUSES = {
    "400": "The request is wrong.",
    "404": "Unknown use case or version.",
    "413": "The body is too long.",
    "422": "The question lies before what is kept in memory.",
    "503": "No release is in use yet.",
}
_ERROR: Schema = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_ANSWER: Schema = {
    "type": "object",
    "properties": {
        "prediction_id": {
            "type": "string",
            "description": "The same question answered alike has the same id.",
        },
        "use_case": {"type": "string"},
        "model": {"type": "string"},
        "version": {"type": "integer"},
        "digest": {"type": "string"},
        "feature_set": {"type": "string"},
        "kind": {"type": "string", "enum": list(KINDS)},
        "score": {
            "type": "number",
            "description": "A probability, a number, the number of a cluster, a relevance, a forecast value.",
        },
        "class": {"type": "boolean", "description": "Of a probability."},
        "cluster": {"type": "integer", "description": "Of a cluster."},
        "as_of": {"type": "string", "format": "date-time", "nullable": True},
    },
}
_LISTING: Schema = {
    "type": "object",
    "description": "A ranked list from the best on, or a forecast from its start on.",
    "properties": {
        **{name: _ANSWER["properties"][name] for name in ("use_case", "model", "version", "digest")},
        **{name: _ANSWER["properties"][name] for name in ("feature_set", "kind", "as_of")},
        "facts": {"type": "object", "description": "What all rows share."},
        "places": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "place": {"type": "integer", "description": "From 1: the rank, or the step."},
                    "score": {"type": "number"},
                    "prediction_id": {"type": "string"},
                    "facts": {"type": "object", "description": "What tells the row from the others."},
                },
            },
        },
    },
}
_TENSOR: Schema = {
    "type": "object",
    "required": ["name", "shape", "datatype", "data"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {
            "type": "string",
            "enum": sorted({name for names in DATATYPES.values() for name in names}),
        },
        "data": {"type": "array", "items": {}, "description": "Flat or one list per row; null is missing."},
    },
}
_OUTPUT_NAMES = sorted({name for outputs in OUTPUTS.values() for name in outputs})
_REQUEST: Schema = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "inputs": {
            "type": "array",
            "items": _TENSOR,
            "description": "One tensor per fact ([n] or [n, 1]), or one FP64 tensor `features` [n, f] in the "
            f"order of the metadata's `features`, a category as its code. 1 to {MOST_ROWS} rows.",
        },
        "outputs": {
            "type": "array",
            "items": {"type": "object", "properties": {"name": {"type": "string", "enum": _OUTPUT_NAMES}}},
        },
    },
}
_RESPONSE: Schema = {
    "type": "object",
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "outputs": {"type": "array", "items": _TENSOR},
    },
}


def described(document: Schema, bundles: Mapping[str, Bundle]) -> Schema:
    """`document` with the scoring routes of these bundles."""
    facts = [_facts(name, bundle) for name, bundle in sorted(bundles.items())]
    body = {"oneOf": facts} if facts else {"type": "object"}
    answer = {"oneOf": [_ANSWER, _LISTING]}
    score = _route("Score one row, a list of alternatives, or a series", body, answer, ["use_case"])
    infer = "Score rows by the Open Inference Protocol V2"
    paths = {
        "/score/{use_case}": {"post": score},
        "/v2/models/{use_case}/infer": {"post": _route(infer, _REQUEST, _RESPONSE, ["use_case"])},
        "/v2/models/{use_case}/versions/{version}/infer": {
            "post": _route(infer, _REQUEST, _RESPONSE, ["use_case", "version"])
        },
    }
    return {**document, "paths": {**paths, **document.get("paths", {})}}


def _facts(use_case: str, bundle: Bundle) -> Schema:
    row = _row(use_case, bundle)
    if bundle.output.kind != "ranked_list":
        return row
    return {"oneOf": [row, {"title": f"{use_case}, a list", "type": "array", "items": row}]}


def _row(use_case: str, bundle: Bundle) -> Schema:
    return {
        "title": use_case,
        "type": "object",
        "properties": {name: _JSON[kind] for name, kind in bundle.facts.types.items()},
        "required": list(bundle.facts.required),
        "additionalProperties": False,
    }


def _route(summary: str, body: Schema, answer: Schema, parameters: list[str]) -> Schema:
    refusals = {
        status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
        for status, text in _STATUSES.items()
    }
    return {
        "summary": summary,
        "tags": ["scoring"],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in parameters
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {"description": "The answer.", "content": {"application/json": {"schema": answer}}},
            **refusals,
        },
    }
