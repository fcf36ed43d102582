"""Typed answers: what a model gave becomes the caller's object, or lines to repair it from."""

import enum
import typing
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator

from divebell.errors import AnswerError, ConfigurationError
from divebell.schemas import AnswerSchema
from tests.support.names import name_value


class Invoice(BaseModel):
    """An invoice."""

    number: str = Field(description="As printed, with its prefix.")
    total: float = Field(ge=0)
    paid: bool = False
    lines: list[str] = []


@dataclass
class Point:
    x: int
    y: int = 0


class Exact(BaseModel, extra="forbid"):
    x: int


class Entry(TypedDict):
    name: str
    age: NotRequired[int]


class Book(TypedDict):
    entries: list[Entry]
    best: Entry | None


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


JSON_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "Who\nit is."},
        "size": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True, "maxItems": 5},
        "code": {"type": "string", "pattern": "^[A-Z]{2}$"},
        "child": {"$ref": "#/$defs/child"},
    },
    "required": ["name", "size"],
    "additionalProperties": False,
    "$defs": {"child": {"type": "object", "properties": {"n": {"type": "number", "minimum": 1}}}},
}


def errors_of(schema: object, value: object) -> tuple[str, ...]:
    with pytest.raises(AnswerError) as caught:
        AnswerSchema.of(schema).validate(value)
    return caught.value.errors


@pytest.mark.parametrize(
    ("schema", "value", "typed"),
    [
        (Invoice, {"number": "A1", "total": "3.5"}, Invoice(number="A1", total=3.5)),
        (Point, {"x": 1}, Point(1)),
        (Entry, {"name": "a"}, {"name": "a"}),
        (
            Book,
            {"entries": [{"name": "a", "age": 3}], "best": None},
            {"entries": [{"name": "a", "age": 3}], "best": None},
        ),
        (list[int], ["1", 2], [1, 2]),
        (list[Entry], [{"name": "a"}], [{"name": "a"}]),
        (dict[str, Point], {"p": {"x": 1, "y": 2}}, {"p": Point(1, 2)}),
        (tuple[int, str], [1, "a"], (1, "a")),
        (int, 42, 42),
        (str, "text", "text"),
        (date, "2026-01-31", date(2026, 1, 31)),
        (Colour, "red", Colour.RED),
        (Literal["yes", "no"], "no", "no"),
        (int | None, None, None),
        (Annotated[int, Field(ge=3)], 3, 3),
        (JSON_SCHEMA, {"name": "n", "size": None, "code": "AB"}, {"name": "n", "size": None, "code": "AB"}),
        (JSON_SCHEMA, {"name": "n", "size": 1, "tags": ("a", "b")}, {"name": "n", "size": 1, "tags": ["a", "b"]}),
    ],
    ids=name_value,
)
def test_an_answer_becomes_the_callers_type(schema: object, value: object, typed: object) -> None:
    result = AnswerSchema.of(schema).validate(value)
    assert result == typed
    assert type(result) is type(typed)


@pytest.mark.parametrize(
    ("schema", "value", "errors"),
    [
        (Invoice, {"total": 1}, ("number: missing",)),
        (Invoice, {"number": 5, "total": 1}, ("number: Input should be a valid string, given 5",)),
        (Invoice, {"number": "a", "total": -1}, ("total: Input should be greater than or equal to 0, given -1",)),
        (
            Invoice,
            {"number": "a", "total": 1, "lines": ["a", None]},
            ("lines[1]: Input should be a valid string, given null",),
        ),
        (Exact, {"x": 1, "z": 2}, ("z: is not a field of it",)),
        (Book, {"entries": [{"age": 1}], "best": None}, ("entries[0].name: missing",)),
        (int, "many", ("Input should be a valid integer, unable to parse string as an integer, given 'many'",)),
        (JSON_SCHEMA, {}, ("missing: 'name', 'size'",)),
        (JSON_SCHEMA, {"name": 1, "size": 2}, ("name: expected string, given 1",)),
        (JSON_SCHEMA, {"name": "", "size": "x"}, ("size: expected integer or null, given 'x'",)),
        (JSON_SCHEMA, {"name": "", "size": 1, "other": 1}, ("not a field of it: 'other'",)),
        (JSON_SCHEMA, {"name": "", "size": 1, "tags": ["c"]}, ("tags[0]: expected one of 'a', 'b', given 'c'",)),
        (JSON_SCHEMA, {"name": "", "size": 1, "tags": ["a", "a"]}, ("tags: item 1 is there twice",)),
        (
            JSON_SCHEMA,
            {"name": "", "size": 1, "code": "abc"},
            ("code: must have pattern '^[A-Z]{2}$', given 'abc'",),
        ),
        (JSON_SCHEMA, {"name": "", "size": 1, "child": {"n": 0}}, ("child.n: must have minimum 1, given 0",)),
        (JSON_SCHEMA, ["a"], ("expected object, given a list of 1",)),
        (JSON_SCHEMA, {1: 2}, ("the key 1 is not a string",)),
        (JSON_SCHEMA, {"name": b"\xff", "size": 1}, ("bytes that are not UTF-8 are not JSON: decode them",)),
        (JSON_SCHEMA, {"name": "x", "size": float("nan")}, ("nan is not a JSON number",)),
    ],
    ids=name_value,
)
def test_an_answer_that_does_not_fit_says_where_and_what(
    schema: object, value: object, errors: tuple[str, ...]
) -> None:
    assert errors_of(schema, value) == errors


@pytest.mark.parametrize(
    ("schema", "text", "typed"),
    [
        (Point, '{"x": 1}', Point(1)),
        (Point, '```json\n{"x": 1}\n```', Point(1)),
        (Point, 'It is so:\n```\n{"x": 1, "y": 2}\n```\nas asked.', Point(1, 2)),
        (Point, 'The point is {"x": 1}.', Point(1)),
        (Point, "{'x': 1}", Point(1)),
        (Entry, "{'name': 'it is', 'age': None or 3}", None),
        (list[int], "[1, 2]", [1, 2]),
        (int, " 42 ", 42),
        (bool, "true", True),
        (str, '{"x": 1}', '{"x": 1}'),
        (str, "", ""),
        (Literal["yes", "no"], "yes", "yes"),
        (Literal["yes", "no"], ' "yes"\n', "yes"),
        (Colour, "blue", Colour.BLUE),
        (int | str, "a word", "a word"),
        (date, "2026-01-31", date(2026, 1, 31)),
    ],
    ids=name_value,
)
def test_an_answer_as_text(schema: object, text: str, typed: object) -> None:
    if typed is None:
        with pytest.raises(AnswerError, match="not JSON"):
            AnswerSchema.of(schema).validate_text(text)
    else:
        assert AnswerSchema.of(schema).validate_text(text) == typed


@pytest.mark.parametrize(
    ("schema", "fields", "typed"),
    [
        (Point, {"x": 1, "y": 2}, Point(1, 2)),
        (Point, {"x": 1}, Point(1)),
        (Point, {"answer": {"x": 1}}, Point(1)),
        (Point, {"answer": '{"x": 1}'}, Point(1)),
        (int, {"answer": 5}, 5),
        (int, {"total": 5}, 5),
        (list[int], {"answer": [1]}, [1]),
        (str, {"answer": "text"}, "text"),
        (dict[str, int], {"a": 1, "b": 2}, {"a": 1, "b": 2}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        ({"properties": {"answer": {"type": "string"}}, "type": "object"}, {"answer": "x"}, {"answer": "x"}),
    ],
    ids=name_value,
)
def test_what_submit_was_given(schema: object, fields: dict[str, object], typed: object) -> None:
    assert AnswerSchema.of(schema).validate_submitted(fields) == typed


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"answer": "no json"}, "x: missing"),
        ({"answer": "[1]"}, "x: missing"),
        ({"answer": {"y": 1}}, "x: missing"),
        ({"point": {"x": 1}}, "x: missing"),
        ({"x": "a"}, "x: Input should be a valid integer"),
        ({}, "x: missing"),
    ],
    ids=name_value,
)
def test_what_submit_was_given_and_does_not_fit(fields: dict[str, object], error: str) -> None:
    with pytest.raises(AnswerError, match=error):
        AnswerSchema.of(Point).validate_submitted(fields)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("the point", r"the answer is not JSON: Expecting value at line 1, column 1; it begins with 'the point'"),
        ('{"x": 1', r"not JSON: Expecting ',' delimiter at line 1, column 8"),
        ('{"x": NaN}', "NaN is not a JSON number"),
        ("[" * 100_000, "nested too deep"),
        ("[" * 3000 + "]" * 3000, "nested"),
        ('{"x": ' + "9" * 5000 + "}", "not JSON"),
        ('{"x": "\ud800"}', "x: Input should be a valid string"),
        ("", "not JSON"),
    ],
    ids=lambda text: text[:20],
)
def test_a_text_that_is_no_answer(text: str, error: str) -> None:
    with pytest.raises(AnswerError, match=error):
        AnswerSchema.of(Point).validate_text(text)


def test_json_schema_and_fields() -> None:
    schema = AnswerSchema.of(Invoice)
    assert schema.field_names == ("number", "total", "paid", "lines")
    assert schema.json_schema() == Invoice.model_json_schema()
    assert AnswerSchema.of(schema) is schema
    assert AnswerSchema.of(JSON_SCHEMA).field_names == ("name", "size", "tags", "code", "child")
    assert AnswerSchema.of(list[int]).field_names == ()


def test_the_description_names_each_field_with_its_type() -> None:
    assert AnswerSchema.of(Invoice).describe() == (
        "- `number` (string): As printed, with its prefix.\n"
        "- `total` (number, at least 0)\n"
        "- `paid` (boolean, optional)\n"
        "- `lines` (list of string, optional)"
    )
    assert AnswerSchema.of(JSON_SCHEMA).describe() == (
        "- `name` (string): Who it is.\n"
        "- `size` (integer or null)\n"
        "- `tags` (list of 'a' or 'b', optional)\n"
        "- `code` (string, optional)\n"
        "- `child` (object with `n` (number, at least 1), optional)"
    )
    assert AnswerSchema.of(list[Point]).describe() == "list of object with `x` (integer), `y` (integer)"
    assert AnswerSchema.of(dict[str, int]).describe() == "object of name and integer"


@pytest.mark.slow
def test_a_description_stays_short_and_ends_where_a_schema_holds_itself() -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}
    assert len(AnswerSchema.of(tree).describe()) < 1000
    wide = {"type": "object", "properties": {f"field_{n}": {"type": "string"} for n in range(5000)}}
    assert len(AnswerSchema.of(wide).describe()) <= 3000


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "empty"),
        (None, "not null"),
        ("int", "not 'int'"),
        (5, "not 5"),
        (object(), "cannot be a schema"),
        (lambda: 1, "not a function"),
        ({"type": "nothing"}, "not a JSON Schema: type"),
        ({"type": "object", "properties": {"a": {"minimum": "x"}}}, "not a JSON Schema: properties.a.minimum"),
        ({"$ref": "http://127.0.0.1:9/secret"}, "nothing is fetched"),
        ({"$ref": "file:///etc/passwd"}, "nothing is fetched"),
        ({"items": {"$ref": "#/$defs/none"}}, "leads nowhere"),
        ({"type": "string", "pattern": r"(?=a)(.)\1"}, "linear time"),
        ({"type": "object", "patternProperties": {"(a+)+$": {}}}, "patternProperties"),
        ({"items": {"$id": "http://example.org/"}}, "id"),
    ],
    ids=name_value,
)
def test_what_cannot_be_a_schema_is_refused_when_it_is_given(given: object, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason.replace("$", r"\$").replace("(", r"\(")):
        AnswerSchema.of(given)


def test_a_property_may_be_called_like_a_keyword() -> None:
    schema = {"type": "object", "properties": {"pattern": {"type": "string"}, "$ref": {"type": "integer"}}}
    assert AnswerSchema.of(schema).validate({"pattern": "(", "$ref": 1}) == {"pattern": "(", "$ref": 1}


@pytest.mark.timeout(300)
def test_a_pattern_that_backtracks_does_not_keep_the_host_busy() -> None:
    schema = {"type": "string", "pattern": "^(a+)+$"}
    assert len(errors_of(schema, "a" * 5_000 + "!")) == 1


@pytest.mark.timeout(300)
def test_unique_items_of_many_objects_do_not_keep_the_host_busy() -> None:
    value = [{"n": n} for n in range(50_000)]
    schema = {"type": "array", "uniqueItems": True}
    assert AnswerSchema.of(schema).validate(value) == value


def test_a_schema_that_refers_to_itself_for_ever_ends() -> None:
    assert errors_of({"$ref": "#"}, 1) == ("the answer is nested too deep",)


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("schema", [{"type": "array"}, list[Any]], ids=name_value)
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (deep(100_000), "nested more than 64 deep"),
        ([0] * 300_000, "too large"),
        (["x" * (65 << 20)], "too large"),
        ([1 << 5000], "more than 4,096 bits"),
        ([object()], "object is not plain data"),
    ],
    ids=["deep", "many", "long", "big integer", "object"],
)
def test_a_hostile_answer_is_refused_before_it_is_looked_at(schema: object, value: object, error: str) -> None:
    assert error in errors_of(schema, value)[0]


def test_a_large_answer_to_a_large_schema_is_refused() -> None:
    schema = {"items": {"anyOf": [{"const": n} for n in range(1000)]}}
    assert "too large to be checked" in errors_of(schema, [-1] * 100_000)[0]


def test_errors_are_few_and_short() -> None:
    errors = errors_of(list[int], ["x" * 10_000] * 1_000)
    assert len(errors) == AnswerError.MAX_ERRORS
    assert errors[-1] == "and 41 more"
    assert all(len(error) <= AnswerError.MAX_CHARACTERS for error in errors)


def test_errors_can_be_printed_whatever_the_answer_holds() -> None:
    hostile = {"\ud800\n" * 100: "\x1b[31m\ud800", "number": "\ud800", "total": "\n\u202e"}
    for schema in (Invoice, {"additionalProperties": False}):
        for error in errors_of(schema, hostile):
            assert error.isprintable()
            assert error.encode()


def test_a_validator_of_the_applications_that_breaks_is_an_error_of_the_answer() -> None:
    class Strict(BaseModel):
        name: str

        @field_validator("name", mode="before")
        @classmethod
        def stripped(cls, value: Any) -> Any:
            return value.strip()

    assert errors_of(Strict, {"name": 5}) == ("AttributeError: 'int' object has no attribute 'strip'",)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@pytest.mark.slow
@given(plain, st.sampled_from([Invoice, Point, Book, list[int], Colour, int | None, JSON_SCHEMA, {"type": "array"}]))
def test_any_plain_value_has_an_outcome(value: object, schema: object) -> None:
    errors: tuple[str, ...] = ("none",)
    try:
        AnswerSchema.of(schema).validate(value)
    except AnswerError as error:
        errors = error.errors
    assert 1 <= len(errors) <= AnswerError.MAX_ERRORS
    assert all(error.isprintable() and error.encode() for error in errors)


@pytest.mark.slow
@given(st.text(alphabet="{}[]\",:0123456789truefalsn\n`json \\'", max_size=80))
def test_any_text_has_an_outcome(text: str) -> None:
    for schema in (Point, JSON_SCHEMA, str):
        errors: tuple[str, ...] = ("none",)
        try:
            AnswerSchema.of(schema).validate_text(text)
        except AnswerError as error:
            errors = error.errors
        assert errors


def test_typing_typed_dicts_work_on_every_python() -> None:
    class Old(typing.TypedDict, total=False):
        """An old one."""

        rows: list[Entry]

    schema = AnswerSchema.of(Old)
    assert schema.validate({}) == {}
    assert schema.validate({"rows": [{"name": "a"}]}) == {"rows": [{"name": "a"}]}
    assert "required" not in schema.json_schema()
