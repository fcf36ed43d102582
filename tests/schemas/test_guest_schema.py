"""Schemas from inside the sandbox: hostile themselves, and so is the reply that is checked against them."""

import reprlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divebell.errors import AnswerError, SchemaRefusedError
from divebell.schemas import GuestSchema
from divebell.schemas.guest import MAX_ALTERNATIVES, MAX_ENUM

PERSON: dict[str, Any] = {
    "type": "object",
    "title": "Person",
    "properties": {
        "name": {"type": "string", "minLength": 1, "description": "In full."},
        "age": {"type": ["integer", "null"], "minimum": 0},
        "role": {"enum": ["admin", "user"]},
    },
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "reply", "value"),
    [
        (PERSON, '{"name": "Ann", "age": 3}', {"name": "Ann", "age": 3}),
        (PERSON, 'Here:\n```json\n{"name": "Ann"}\n```', {"name": "Ann"}),
        ({"type": "array", "items": {"type": "integer"}}, "[1, 2]", [1, 2]),
        ({"type": "string"}, " plain words\n", "plain words"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "null", None),
        ({"const": 4}, "4", 4),
        ({"type": "string", "format": "date"}, "any text", "any text"),
    ],
    ids=str,
)
def test_a_reply_becomes_a_plain_value(schema: dict[str, Any], reply: str, value: object) -> None:
    assert GuestSchema.of(schema).parse_reply(reply) == value


@pytest.mark.parametrize(
    ("reply", "errors"),
    [
        ('{"name": ""}', ("name: must have minLength 1, given 0 characters",)),
        ('{"name": "a", "age": -1}', ("age: must have minimum 0, given -1",)),
        ('{"name": "a", "age": "x"}', ("age: expected integer or null, given 'x'",)),
        ('{"name": "a", "role": "root"}', ("role: expected one of 'admin', 'user', given 'root'",)),
        ('{"name": "a", "__class__": 1}', ("not a field of it: '__class__'",)),
        ("{}", ("missing: 'name'",)),
    ],
)
def test_a_reply_that_does_not_fit_says_why(reply: str, errors: tuple[str, ...]) -> None:
    with pytest.raises(AnswerError) as caught:
        GuestSchema.of(PERSON).parse_reply(reply)
    assert caught.value.errors == errors


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "string", "pattern": "(a+)+$"}, "'pattern' is not taken"),
        ({"$ref": "file:///etc/passwd"}, r"'\$ref' is not taken"),
        ({"items": {"$ref": "#"}}, r"'\$ref' is not taken"),
        ({"patternProperties": {"a": {}}}, "not taken"),
        ({"uniqueItems": True}, "not taken"),
        ({"multipleOf": 1e-300}, "not taken"),
        ({"$defs": {"a": {}}}, "not taken"),
        ({"name": "str", "age": "int"}, "'name' is not taken in a schema here; use .*properties"),
        ({"type": "text"}, "type must be of array, boolean"),
        ({"type": []}, "type must be"),
        ({"type": {"a": 1}}, "type must be"),
        ({"properties": ["a"]}, "properties must be a dict"),
        ({"properties": {"a": "string"}}, "a schema is a dict, not 'string'"),
        ({"required": True}, "required must be a list"),
        ({"required": [1]}, "required must be a list"),
        ({"minLength": True}, "whole number"),
        ({"maxItems": -1}, "whole number"),
        ({"minimum": "1"}, "must be a number"),
        ({"maximum": float("inf")}, "not a JSON number"),
        ({"enum": []}, "enum must be"),
        ({"enum": list(range(MAX_ENUM + 1))}, "enum must be"),
        ({"enum": [[1]]}, "enum must be"),
        ({"const": {"a": 1}}, "const must be"),
        ({"anyOf": []}, "anyOf must be"),
        ({"anyOf": [{"type": "null"}] * (MAX_ALTERNATIVES + 1)}, "anyOf must be"),
        ({"description": 1}, "description must be"),
        ({"items": [{"type": "null"}]}, "a schema is a dict"),
        ({1: 2}, "keys of a schema must be str"),
        ({"type": b"object"}, "bytes"),
        (nested(32), "at most 32 deep"),
        (nested(5000), "at most 32 deep"),
        ({"description": "x" * 20_000}, "at most 16,384 characters"),
        ({"properties": {str(n): {} for n in range(1000)}}, "at most 1,000 values and keys"),
        ({}, "a schema is a dict such as"),
        ("object", "a schema is a dict such as"),
        (None, "a schema is a dict such as"),
    ],
    ids=lambda value: reprlib.repr(value)[:40],
)
def test_a_schema_that_could_cost_or_reach_something_is_refused(schema: object, reason: str) -> None:
    with pytest.raises(SchemaRefusedError, match=reason):
        GuestSchema.of(schema)


def test_annotations_are_left_out_and_the_rest_is_kept() -> None:
    copy = GuestSchema.of(PERSON).json_schema()
    assert copy == {name: value for name, value in PERSON.items() if name != "title"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_alternatives_within_alternatives_stay_within_the_bound() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(2):
        schema = {"anyOf": [schema] * 15}
    with pytest.raises(AnswerError, match="too large to be checked"):
        GuestSchema.of({"items": schema}).parse_reply("[" + "1," * 50_000 + "1]")
    with pytest.raises(AnswerError, match="expected object"):
        GuestSchema.of({"items": schema}).parse_reply("[" + "1," * 100 + "1]")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
keywords = st.sampled_from(
    [
        "type",
        "properties",
        "required",
        "items",
        "enum",
        "const",
        "anyOf",
        "minimum",
        "maxLength",
        "additionalProperties",
    ]
)
schemas = st.recursive(
    st.sampled_from([{"type": "object"}, {"type": "array"}, {"type": "string"}, {"minimum": 3}, {"enum": [1, None]}]),
    lambda inner: st.dictionaries(
        keywords,
        inner | st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3) | json_values,
        max_size=4,
    ),
    max_leaves=8,
)


@pytest.mark.slow
@given(schemas, st.text(max_size=50) | json_values.map(repr))
def test_any_schema_and_any_reply_have_an_outcome(schema: object, reply: str) -> None:
    said = "fits"
    try:
        checked = GuestSchema.of(schema)
        checked.describe().encode()
        checked.parse_reply(reply)
    except (SchemaRefusedError, AnswerError) as error:
        said = str(error)
    assert said
