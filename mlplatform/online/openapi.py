"""The scoring routes in OpenAPI, written by hand because FastAPI does not route them.

The facts of each use case in service are described from its release, so the documentation follows a swap. It
must not route or answer anything.
"""

from collections.abc import Mapping
from typing import Any

from mlplatform.online.bundle import Bundle
from mlplatform.online.delivery.delivery_http import CALLBACK, PROMISED
from mlplatform.online.inference import DATATYPES, MOST_ROWS, OUTPUTS
from mlplatform.stages.preparation.declarations import FactType
from mlplatform.stages.scoring.score import LINKS
from mlplatform.stages.training.output import KINDS

Schema = dict[str, Any]

_JSON: dict[FactType, Schema] = {
    "string": {"type": "string"},
    "int": {"type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1},
    "float": {"type": "number"},
    "time": {"type": "string", "format": "date-time"},
    "bool": {"type": "boolean"},
}
_STATUSES = {
    "400": "The request is wrong.",
    "404": "Unknown use case or version.",
    "413": "The body is too long.",
    "422": "The question lies before what is kept in memory.",
    "503": "No release is in use yet, or no link of the chain has an answer.",
}
_ERROR: Schema = {"$ref": "#/components/schemas/Error"}
_ANSWER: Schema = {
    "type": "object",
    "required": ["prediction_id", "use_case", "model", "version", "digest", "feature_set", "kind", "score"],
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
        "as_of": {"type": ["string", "null"], "format": "date-time"},
        "link": {
            "type": "string",
            "enum": [link for link in LINKS if link != "shadow"],
            "description": "Which link of the chain answered: the version asked for, the champion or its "
            "canary, an earlier champion, a batch score, the declared constant.",
        },
        "features_age_s": {
            "type": ["number", "null"],
            "description": "Seconds from the newest row in memory to the time of the question.",
        },
        "late": {"type": "boolean", "description": "True if it came after the deadline."},
    },
}
_LISTING: Schema = {
    "type": "object",
    "description": "A ranked list from the best on, or a forecast from its start on.",
    "required": ["use_case", "model", "version", "digest", "feature_set", "kind", "facts", "places"],
    "properties": {
        **{name: _ANSWER["properties"][name] for name in ("use_case", "model", "version", "digest")},
        **{name: _ANSWER["properties"][name] for name in ("feature_set", "kind", "as_of", "link")},
        **{name: _ANSWER["properties"][name] for name in ("features_age_s", "late")},
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


_JSON_LENGTH: Schema = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "description": "Bytes of the body that are JSON, where binary tensors follow.",
    "schema": {"type": "integer", "minimum": 1},
}
_TENSORS: Schema = {
    "application/octet-stream": {
        "schema": {
            "type": "string",
            "format": "binary",
            "description": "The JSON, then the little-endian tensors that have no `data` in it, each of as "
            "many bytes as its parameter `binary_data_size` says; NaN is missing. Outputs are so if the "
            "parameter `binary_data_output` of the request, or `binary_data` of the output, is true.",
        }
    }
}


_VERSION: Schema = {
    "name": "version",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "pattern": "^[0-9]{1,9}$"},
    "description": "A loaded version to ask instead of the champion.",
}


def described(document: Schema, bundles: Mapping[str, Bundle]) -> Schema:
    """`document` with the scoring routes of these bundles."""
    facts = [_facts(name, bundle) for name, bundle in sorted(bundles.items())]
    body = {"anyOf": facts} if facts else {"type": "object"}
    answer = {"anyOf": [_ANSWER, _LISTING, {"type": "array", "items": _ANSWER}]}
    score = _route("Score one row, rows, a list of alternatives, or a series", body, answer, ["use_case"])
    score["parameters"] += [_VERSION, CALLBACK]
    score["responses"]["202"] = PROMISED
    infer = "Score rows by the Open Inference Protocol V2"
    paths = {
        "/score/{use_case}": {"post": score},
        "/v2/models/{use_case}/infer": {
            "post": _with_tensors(_route(infer, _REQUEST, _RESPONSE, ["use_case"]))
        },
        "/v2/models/{use_case}/versions/{version}/infer": {
            "post": _with_tensors(_route(infer, _REQUEST, _RESPONSE, ["use_case", "version"]))
        },
    }
    return {**document, "paths": {**paths, **document.get("paths", {})}}


def _with_tensors(route: Schema) -> Schema:
    """An infer route with the binary tensor extension."""
    answer = route["responses"]["200"]
    return {
        **route,
        "parameters": [*route["parameters"], _JSON_LENGTH],
        "requestBody": {"required": True, "content": {**route["requestBody"]["content"], **_TENSORS}},
        "responses": {
            **route["responses"],
            "200": {**answer, "content": {**answer["content"], **_TENSORS}},
            "415": _refusal("The body is compressed otherwise than by gzip or deflate."),
        },
    }


def _facts(use_case: str, bundle: Bundle) -> Schema:
    row = _row(use_case, bundle)
    return {
        "title": f"{use_case}, one row or several",
        "anyOf": [row, {"type": "array", "items": row}, _entity(use_case, bundle)],
    }


def _entity(use_case: str, bundle: Bundle) -> Schema:
    key = bundle.fitted.feature_set.spine.key
    named = {"type": "object", "required": list(key), "properties": {name: {} for name in key}}
    return {
        "title": f"{use_case}, by its key",
        "type": "object",
        "required": ["entity"],
        "properties": {"entity": {**named, "description": "Whose facts are those known of the newest days."}},
    }


def _row(use_case: str, bundle: Bundle) -> Schema:
    return {
        "title": use_case,
        "type": "object",
        "properties": {name: _fact(bundle, name) for name in bundle.facts.types},
        "required": list(bundle.facts.required),
        "additionalProperties": False,
    }


def _fact(bundle: Bundle, name: str) -> Schema:
    """A fact that is not required may be null, which is the same as absent."""
    schema = _JSON[bundle.facts.types[name]]
    return schema if name in bundle.facts.required else {**schema, "type": [schema["type"], "null"]}


def _route(summary: str, body: Schema, answer: Schema, parameters: list[str]) -> Schema:
    refusals = {status: _refusal(text) for status, text in _STATUSES.items()}
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


def _refusal(text: str) -> Schema:
    return {"description": text, "content": {"application/json": {"schema": _ERROR}}}
