"""A JSON Schema in words, for a prompt."""

from typing import Any

import pytest

from divebell.schemas.describe import (
    MAX_DESCRIPTION_CHARACTERS,
    MAX_FIELD_CHARACTERS,
    describe_schema,
    fields_of,
    resolve,
)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, "any value"),
        ({"type": "integer"}, "integer"),
        ({"type": ["string", "null"]}, "string or null"),
        ({"type": "string", "format": "date"}, "string, date"),
        ({"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "number, at least 0 and under 1"),
        ({"const": "yes"}, "'yes'"),
        ({"enum": [1, 2]}, "1 or 2"),
        ({"enum": list(range(13))}, " or ".join(map(str, range(12))) + " or ..."),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}, {"type": "integer"}]}, "integer or null"),
        ({"type": "array"}, "list"),
        ({"type": "array", "items": {"type": "string"}}, "list of string"),
        ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]}, "list of string, integer"),
        ({"type": "object"}, "object"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "object of name and integer"),
    ],
    ids=lambda part: str(part)[:40],
)
def test_a_type_in_words(schema: dict[str, Any], words: str) -> None:
    assert describe_schema(schema) == words


def test_an_object_has_a_line_for_each_field() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "Who it is,\n  in full."},
            "lines": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        },
        "required": ["name"],
    }
    assert describe_schema(schema) == (
        "- `name` (string): Who it is, in full.\n- `lines` (list of object with `n` (integer), optional)"
    )
    assert fields_of(schema) == ("name", "lines")


def test_references_are_followed_and_what_stands_beside_them_wins() -> None:
    root = {
        "$defs": {"a/b": {"type": "integer", "description": "general"}},
        "properties": {"x": {"$ref": "#/$defs/a~1b", "description": "special"}},
    }
    assert resolve(root["properties"]["x"], root) == {"type": "integer", "description": "special"}
    assert describe_schema(root) == "- `x` (integer, optional): special"


@pytest.mark.parametrize("reference", ["#/$defs/none", "#/$defs/loop", "#", "https://example.com/"])
def test_a_reference_that_leads_nowhere_or_in_a_ring_ends(reference: str) -> None:
    root = {"$defs": {"loop": {"$ref": "#/$defs/loop"}}, "type": "array", "items": {"$ref": reference}}
    assert describe_schema(root).startswith("list of ")


def test_what_is_described_is_bounded() -> None:
    deep: dict[str, Any] = {"type": "integer"}
    for _ in range(50):
        deep = {"type": "array", "items": deep}
    assert describe_schema(deep) == "list of " * 5 + "..."
    wide = {
        "type": "object",
        "properties": {f"field_{n}": {"type": "string", "description": "x" * 1_000} for n in range(100)},
    }
    lines = describe_schema(wide).split("\n")
    assert len(describe_schema(wide)) == MAX_DESCRIPTION_CHARACTERS
    assert len(lines[0]) == MAX_FIELD_CHARACTERS
    assert lines[0].endswith("...")


def test_a_name_and_a_value_of_a_schema_cannot_break_the_line() -> None:
    schema = {"type": "object", "properties": {"a\n- `b": {"const": "x\ny"}}}
    assert describe_schema(schema) == "- `a\\n- `b` ('x\\ny', optional)"
