"""The topics as an AsyncAPI 3.0 document and one JSON Schema per message type, made from the registry.

`python -m mlplatform.crosscutting.bus.asyncapi [folder]` writes both below `docs`, and must
not write a schema that breaks the one it finds there: a published type may only gain optional fields.
"""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml

from mlplatform.crosscutting.bus.contract import Topic
from mlplatform.crosscutting.bus.topics import TOPICS
from mlplatform.errors import BusError

Schema = dict[str, Any]

_REFERENCE = "#/$defs/{name}"
_WORDS = ("title", "description", "default", "required", "$defs", "$schema", "$id")
_PARTS = {"properties": ".", "anyOf": "|", "items": "[]", "additionalProperties": "{}"}


def schema(topic: Topic[Any]) -> Schema:
    """JSON Schema of a topic's whole message, envelope and data."""
    (reference,), parts = msgspec.json.schema_components([topic.envelope], ref_template=_REFERENCE)
    whole = parts.pop(_name(reference))
    whole["properties"]["type"] = {"const": topic.type}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": topic.type, **whole}
    found = _portable({**head, "title": topic.type, "$defs": parts})
    assert isinstance(found, dict)
    return found


def _portable(part: object) -> object:
    r"""The same with patterns as JSON Schema has them: `^` and `$` instead of Python's `\A` and `\Z`."""
    if isinstance(part, list):
        return [_portable(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    found = {key: _portable(inner) for key, inner in part.items()}
    if isinstance(pattern := found.get("pattern"), str):
        found["pattern"] = pattern.replace(r"\A", "^").replace(r"\Z", "$")
    return found


def document() -> Schema:
    """AsyncAPI 3.0 document of all topics; each message's payload is in its own file."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "mlplatform",
            "version": "1",
            "description": "CloudEvents as JSON; by `python -m mlplatform.crosscutting.bus.asyncapi`.",
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in TOPICS.values()},
        "operations": {f"receive-{topic.name}": _operation(topic) for topic in TOPICS.values()},
        "components": {"messages": {topic.type: _message(topic) for topic in TOPICS.values()}},
    }


def files() -> dict[str, str]:
    """Everything that is written, by path below `docs`."""
    found = {f"schemas/{topic.type}.json": _json(schema(topic)) for topic in TOPICS.values()}
    return {"asyncapi.yaml": yaml.safe_dump(document(), sort_keys=False, width=100), **found}


def write(docs: Path) -> list[Path]:
    """Write the files below a folder; which ones.

    Raises
    ------
    BusError
        if a schema there is one that the new one would break; then nothing is written.
    """
    texts = {docs / name: text for name, text in files().items()}
    for path in texts:
        if path.suffix == ".json" and path.exists():
            _check(path, json.loads(path.read_text(encoding="utf-8")), json.loads(texts[path]))
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)


def _check(path: Path, old: Schema, new: Schema) -> None:
    if changes := breaking_changes(old, new):
        raise BusError(
            f"{path.name} would change for those who use it: {'; '.join(changes)}.",
            hint="Add fields with a default only; for anything else raise the topic's version.",
        )


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Why a reader or writer that knows `old` cannot live with `new`; empty if only optional fields came."""
    return _changes("$", old, new, (old, new))


def _changes(path: str, old: Schema, new: Schema, roots: tuple[Schema, Schema]) -> list[str]:
    old, new = _resolved(old, roots[0]), _resolved(new, roots[1])
    had, has = _parts(old), _parts(new)
    found = [f"{path}{name} was removed" for name in had if name not in has]
    found += [f"{path}{name} was added" for name in has if name not in had and name[0] != "."]
    found += [f"{path}.{name} is required now" for name in _required(new) - _required(old)]
    found += [
        f"{path}.{name} is optional now" for name in _required(old) - _required(new) if f".{name}" in has
    ]
    if _shape(old) != _shape(new):
        found.append(f"{path} was {_json(_shape(old), None)} and is {_json(_shape(new), None)}")
    for name in had.keys() & has.keys():
        found += _changes(f"{path}{name}", had[name], has[name], roots)
    return sorted(found)


def _shape(part: Schema) -> Schema:
    """What must stay as it is: everything but the parts, which are compared one by one, and the words."""
    return {key: value for key, value in part.items() if key not in _WORDS and key not in _PARTS}


def _parts(part: Schema) -> dict[str, Schema]:
    """The parts in a schema that are schemas themselves, by how a path names them."""
    found = {f".{name}": inner for name, inner in part.get("properties", {}).items()}
    found |= {f"|{number}": inner for number, inner in enumerate(part.get("anyOf", ()))}
    return found | {_PARTS[key]: part[key] for key in ("items", "additionalProperties") if key in part}


def _required(part: Schema) -> set[str]:
    return set(part.get("required", ()))


def _resolved(part: Schema, root: Schema) -> Schema:
    while "$ref" in part:
        part = root["$defs"][_name(part)]
    return part


def _name(part: Schema) -> str:
    return str(part["$ref"]).removeprefix("#/$defs/")


def _channel(topic: Topic[Any]) -> Schema:
    return {
        "address": f"mlplatform.{topic.name}.{{use_case}}.{{partition}}",
        "description": _first_line(topic),
        "parameters": {
            "use_case": {"description": "The use case the message belongs to."},
            "partition": {"description": "CRC-32 of `partitionkey` modulo 8; 0 where there is no key."},
        },
        "messages": {topic.type: {"$ref": f"#/components/messages/{topic.type}"}},
    }


def _operation(topic: Topic[Any]) -> Schema:
    return {"action": "receive", "channel": {"$ref": f"#/channels/{topic.name}"}}


def _message(topic: Topic[Any]) -> Schema:
    return {
        "name": topic.type,
        "summary": _first_line(topic),
        "contentType": "application/json",
        "payload": {"$ref": f"schemas/{topic.type}.json"},
    }


def _first_line(topic: Topic[Any]) -> str:
    return (topic.data.__doc__ or "").strip().splitlines()[0]


def _json(part: Schema, indent: int | None = 2) -> str:
    text = json.dumps(part, indent=indent, ensure_ascii=False)
    return text if indent is None else text + "\n"


if __name__ == "__main__":
    for path in write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs")):
        print(path)
