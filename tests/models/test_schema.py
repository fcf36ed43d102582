"""Schemas for replies: bounds, and when strict mode surely takes them."""

from typing import Any

import pytest

from divebell.bounds import MAX_SCHEMA_BYTES
from divebell.errors import ModelError
from divebell.models import ModelRequest
from divebell.models.schema import is_strict, schema_text


def closed(**properties: object) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


TEXT = {"type": "string", "description": "some text"}


@pytest.mark.parametrize(
    "schema",
    [
        closed(),
        closed(answer=TEXT, score={"type": "number", "minimum": 0}),
        closed(rows={"type": "array", "items": closed(a={"anyOf": [TEXT, {"type": "null"}]})}),
        {**closed(a={"$ref": "#/$defs/a"}), "$defs": {"a": closed(b={"enum": ["x", "y"]})}},
        closed(**{"$ref": TEXT, "oneOf": TEXT}),
    ],
)
def test_what_strict_mode_takes(schema: dict[str, Any]) -> None:
    assert is_strict(schema)


def nested(depth: int) -> dict[str, Any]:
    schema = closed()
    for _ in range(depth - 1):
        schema = closed(a=schema)
    return schema


LOOP = closed()
LOOP["properties"]["again"] = LOOP
LOOP["required"].append("again")


@pytest.mark.parametrize(
    "schema",
    [
        {},
        [],
        {"type": "array", "items": TEXT},
        {"type": "object"},
        {**closed(), "anyOf": [closed()]},
        {**closed(a=TEXT), "required": []},
        {**closed(a=TEXT), "required": ["a", "b"]},
        {**closed(a=TEXT), "required": None},
        {**closed(a=TEXT), "additionalProperties": True},
        {**closed(a=TEXT), "additionalProperties": {}},
        {**closed(), "properties": []},
        closed(a={"type": "string", "minLength": 1}),
        closed(a={"allOf": [TEXT]}),
        closed(a={"type": "object"}),
        closed(a={"type": ["object", "null"]}),
        closed(a={"anyOf": TEXT}),
        closed(a="text"),
        closed(a=True),
        {**closed(), "$defs": {"a": {"type": "object"}}},
        {**closed(), "x-vendor": 1},
        nested(11),
        LOOP,
        closed(**{f"p{number}": TEXT for number in range(6_000)}),
    ],
)
def test_what_strict_mode_may_refuse_is_sent_without_it(schema: Any) -> None:
    assert not is_strict(schema)


def test_the_deepest_that_strict_mode_takes() -> None:
    assert is_strict(nested(10))


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": {1, 2}}, "must be a dict that JSON can hold"),
        ({"default": float("nan")}, "must be a dict that JSON can hold"),
        (LOOP, "must be a dict that JSON can hold"),
        ([], "must be a dict that JSON can hold"),
        ("{}", "must be a dict that JSON can hold"),
        ({"description": "x" * MAX_SCHEMA_BYTES}, "at most 262,144 are allowed"),
    ],
)
def test_a_schema_that_cannot_be_sent(schema: Any, says: str) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        ModelRequest(messages=[], max_output_tokens=1, schema=schema).sent_texts()
    assert caught.value.never_ran


def test_every_byte_of_a_schema_is_counted_even_where_it_is_sent_shorter() -> None:
    schema = closed(name={"type": "string", "description": "für"})
    assert schema_text(schema) == (
        '{"type": "object", "properties": {"name": {"type": "string", "description": "f\\u00fcr"}},'
        ' "required": ["name"], "additionalProperties": false}'
    )


def test_the_texts_that_a_request_sends() -> None:
    asked = ModelRequest(
        messages=[
            {"role": "system", "content": "be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "look:"},
                    {"type": "image", "media_type": "image/png", "data": b"x"},
                    {"type": "text", "text": "what is it?"},
                ],
            },
        ],
        max_output_tokens=10,
        schema={"type": "string"},
    )
    assert asked.sent_texts() == ["be brief", "look:", "what is it?", '{"type": "string"}']
    assert [each["data"] for each in asked.sent_images()] == [b"x"]
