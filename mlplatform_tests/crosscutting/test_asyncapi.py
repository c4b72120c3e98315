"""The published description of the topics: it is what the registry gives, and no type breaks its users."""

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from mlplatform.crosscutting.bus.asyncapi import breaking_changes, document, files, schema, write
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT, TOPICS
from mlplatform.errors import BusError

DOCS = Path(__file__).parents[2] / "docs"
COMMAND = "run `python -m mlplatform.crosscutting.bus.asyncapi`"


def test_what_is_checked_in_is_what_the_registry_gives() -> None:
    kept = {"asyncapi.yaml", *(f"schemas/{path.name}" for path in (DOCS / "schemas").iterdir())}
    assert kept == set(files()), f"{COMMAND}; delete by hand what is no topic any more"
    for name, text in files().items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, f"{name} is not up to date: {COMMAND}"


@pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda topic: topic.name)
def test_no_published_type_changes_under_its_users(topic: Any) -> None:
    path = DOCS / "schemas" / f"{topic.type}.json"
    if path.exists():
        assert breaking_changes(json.loads(path.read_text(encoding="utf-8")), schema(topic)) == []


def test_the_document_names_every_topic_and_each_reference_leads_somewhere() -> None:
    found = yaml.safe_load((DOCS / "asyncapi.yaml").read_text(encoding="utf-8"))
    assert found == document()
    assert found["asyncapi"] == "3.0.0"
    assert list(found["channels"]) == list(TOPICS)
    for message in found["components"]["messages"].values():
        assert (DOCS / message["payload"]["$ref"]).is_file()
    for operation in found["operations"].values():
        assert operation["channel"]["$ref"].removeprefix("#/channels/") in found["channels"]


def test_a_source_events_document_is_an_object_and_patterns_are_those_of_json_schema() -> None:
    found = schema(SOURCE_EVENT)
    properties = found["$defs"]["SourceEvent"]["properties"]
    assert properties["document"]["type"] == "object"
    assert properties["use_case"]["pattern"] == "^[A-Za-z0-9_-]+$"
    assert found["properties"]["type"] == {"const": "mlplatform.source-event.v1"}


class Inner(msgspec.Struct):
    size: int


class Old(msgspec.Struct):
    name: str
    inner: Inner
    note: str | None = None


def made(fields: list[Any]) -> dict[str, Any]:
    return described(msgspec.defstruct("Old", fields))


def described(kind: Any) -> dict[str, Any]:
    (found,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    return {**found, "$defs": parts}


NAME, INNER, NOTE = ("name", str), ("inner", Inner), ("note", str | None, None)
Larger = msgspec.defstruct("Inner", [("size", int), ("unit", str)])
Wider = msgspec.defstruct("Inner", [("size", float)])


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ([NAME, INNER, NOTE], []),
        ([NAME, INNER, NOTE, ("added", int, 0)], []),
        ([NAME, INNER, NOTE, ("added", list[str] | None, None)], []),
        ([("added", int), NAME, INNER, NOTE], ["$.added is required now"]),
        ([NAME, INNER], ["$.note was removed"]),
        ([INNER, NOTE], ["$.name was removed"]),
        ([("name", int), INNER, NOTE], ['$.name was {"type": "string"} and is {"type": "integer"}']),
        ([INNER, ("name", str, ""), NOTE], ["$.name is optional now"]),
        (
            [NAME, INNER, ("note", str)],
            ["$.note is required now", "$.note was {}", "$.note|0 was", "$.note|1 was"],
        ),
        ([NAME, ("inner", Larger), NOTE], ["$.inner.unit is required now"]),
        ([NAME, ("inner", Wider), NOTE], ["$.inner.size was"]),
    ],
)
def test_only_optional_fields_may_come(fields: list[Any], changes: list[str]) -> None:
    found = breaking_changes(described(Old), made(fields))
    assert len(found) == len(changes)
    for seen, expected in zip(found, changes, strict=True):
        assert seen.startswith(expected)


def test_a_reference_inside_a_list_is_followed() -> None:
    old = described(msgspec.defstruct("Many", [("items", list[Inner])]))
    new = described(msgspec.defstruct("Many", [("items", list[Larger])]))  # type: ignore[valid-type]
    assert breaking_changes(old, new) == ["$.items[].unit is required now"]
    assert breaking_changes(old, copy.deepcopy(old)) == []


def test_a_schema_that_would_break_is_not_written(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "schemas" / f"{SOURCE_EVENT.type}.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    kept["$defs"]["SourceEvent"]["properties"]["gone"] = {"type": "string"}
    path.write_text(json.dumps(kept), encoding="utf-8")
    with pytest.raises(BusError, match=r"\$\.data\.gone was removed") as caught:
        write(tmp_path)
    assert "version" in caught.value.hint
    assert json.loads(path.read_text(encoding="utf-8")) == kept
