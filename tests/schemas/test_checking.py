"""Checking against a JSON Schema: the problems' words, what is refused of schemas, and what a check may cost."""

from typing import Any

import pytest

from divebell.errors import AnswerError, ConfigurationError
from divebell.schemas import checking
from divebell.schemas.checking import Checker, subschemas, walk


def errors_of(schema: dict[str, Any], value: object) -> tuple[str, ...]:
    with pytest.raises(AnswerError) as raised:
        Checker(schema).check(value)
    return raised.value.errors


def test_a_value_that_fits_comes_back_as_json() -> None:
    checker = Checker({"type": "array", "items": {"type": "integer"}})
    assert checker.check((1, 2)) == [1, 2]


@pytest.mark.parametrize(
    ("schema", "value", "errors"),
    [
        ({"type": ["integer", "null"]}, "x", ("expected integer or null, given 'x'",)),
        ({"enum": ["a", 1, None]}, "b", ("expected one of 'a', 1, null, given 'b'",)),
        ({"const": {"a": 1}}, 5, ("expected an object with 'a', given 5",)),
        ({"required": ["a", "b"]}, {"b": 1}, ("missing: 'a'",)),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"a": 1, "z": 2}, ("not a field of it: 'z'",)),
        ({"maxLength": 2}, "abc", ("must have maxLength 2, given 3 characters",)),
        ({"exclusiveMaximum": 7}, 7, ("must have exclusiveMaximum 7, given 7",)),
        ({"maxItems": 1}, [1, 2], ("must have maxItems 1, given a list of 2",)),
        ({"uniqueItems": True}, [{"a": 1}, {"a": 1}], ("item 1 is there twice",)),
        (
            {"items": {"properties": {"n": {"minimum": 1}}}},
            [{"n": 1}, {"n": 0}],
            ("[1].n: must have minimum 1, given 0",),
        ),
    ],
    ids=lambda part: next(iter(part)) if isinstance(part, dict) else "",
)
def test_a_problem_says_where_and_what(schema: dict[str, Any], value: object, errors: tuple[str, ...]) -> None:
    assert errors_of(schema, value) == errors


def test_of_several_alternatives_the_nearest_one_says_what_is_wrong() -> None:
    point = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    schema = {"anyOf": [{"type": "null"}, {"type": "integer"}, point]}
    assert errors_of(schema, "x") == ("expected null or integer or object, given 'x'",)
    assert errors_of(schema, {"x": "one"}) == ("x: expected integer, given 'one'",)
    assert errors_of(schema, {}) == ("missing: 'x'",)


def test_true_and_1_are_two_things_in_a_set() -> None:
    assert Checker({"uniqueItems": True}).check([1, True, "1", [1], [True]]) == [1, True, "1", [1], [True]]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "integers"}, r"this is not a JSON Schema: type"),
        ({"properties": 5}, r"this is not a JSON Schema: properties"),
        ({"$ref": "https://example.com/schema"}, "nothing is fetched"),
        ({"$ref": "#/$defs/none"}, "leads nowhere"),
        ({"$ref": "#/items/7", "items": {}}, "leads nowhere"),
        ({"items": {"$ref": 5}}, "this is not a JSON Schema|leads nowhere"),
        ({"patternProperties": {"(a+)+$": {}}}, "with patternProperties is not taken"),
        ({"$defs": {"a": {"$dynamicRef": "#x"}}}, r"with \$dynamicRef is not taken"),
        ({"allOf": [{"$id": "urn:x"}]}, r"with \$id is not taken"),
        ({"pattern": "(?=look)ahead"}, "cannot be run in linear time"),
        ({"not": {"pattern": r"(a)\1"}}, "cannot be run in linear time"),
    ],
    ids=lambda part: str(part)[:30],
)
def test_a_schema_that_cannot_be_checked_safely_is_refused_at_once(schema: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        Checker(schema)


def test_a_schema_that_holds_itself_as_an_object_is_refused() -> None:
    schema: dict[str, Any] = {"type": "array"}
    schema["items"] = schema
    with pytest.raises(ConfigurationError, match="nested too deep, or holds itself"):
        Checker(schema)


def test_a_reference_within_the_schema_may_be_recursive() -> None:
    tree = {
        "$defs": {
            "a/b": {"type": "object", "properties": {"next": {"$ref": "#/$defs/a~1b"}}, "additionalProperties": False}
        },
        "$ref": "#/$defs/a~1b",
    }
    assert Checker(tree).check({"next": {"next": {}}}) == {"next": {"next": {}}}
    with pytest.raises(AnswerError, match=r"next\.next: expected object, given 5"):
        Checker(tree).check({"next": {"next": 5}})


def test_the_top_schemas_own_address_is_not_resolved() -> None:
    schema = {"$id": "https://example.com/a", "$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n"}
    assert Checker(schema).check(5) == 5


def test_the_parts_of_the_value_times_those_of_the_schema_are_bounded() -> None:
    schema = {"type": "array", "items": {"type": "integer"}}
    assert Checker(schema, max_steps=1_000).check([1] * 100) == [1] * 100
    with pytest.raises(AnswerError, match="too large to be checked"):
        Checker(schema, max_steps=1_000).check([1] * 1_000)
    with pytest.raises(AnswerError, match="too large to be checked"):
        Checker({"pattern": "x"}, max_steps=1_000).check("x" * 100_000)


def test_errors_are_read_up_to_a_bound() -> None:
    errors = errors_of({"items": {"type": "integer"}}, ["x"] * 1_000)
    assert 0 < len(errors) <= checking.MAX_READ_ERRORS


def test_every_schema_inside_of_a_schema_is_seen() -> None:
    """A keyword that holds schemas and is not walked would let a pattern or a reference in unseen."""
    inside = {"pattern": "x"}
    for holder in (
        {"properties": {"a": inside}}, {"$defs": {"a": inside}}, {"allOf": [inside]}, {"anyOf": [True, inside]},
        {"prefixItems": [inside]}, {"items": inside}, {"additionalProperties": inside}, {"not": inside},
        {"if": inside}, {"contains": inside}, {"propertyNames": inside}, {"dependentSchemas": {"a": inside}},
        {"unevaluatedItems": inside}, {"items": {"items": {"else": inside}}},
    ):  # fmt: skip
        assert inside in list(walk(holder)), holder
    assert list(subschemas({"properties": {"a": True}, "items": False, "const": {"pattern": "x"}})) == [True, False]
