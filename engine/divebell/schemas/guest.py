"""A schema that sandboxed code gave for a sub-call's reply: `llm_query(prompt, schema={...})`.

The schema itself is hostile here. It is copied keyword by keyword from a short list whose cost is known; any other
keyword (`pattern`, `$ref`, conditions) is refused with a sentence, and annotations are left out. Nothing of it is run
or fetched. The copy is checked as any other schema, with the same kind of bound on the work (checking.py).
"""

from collections.abc import Callable
from typing import Any

from divebell.errors import AnswerError, ConfigurationError, SchemaRefusedError
from divebell.schemas.checking import Checker
from divebell.schemas.describe import describe_schema
from divebell.schemas.values import as_json, measure, parse_json, quote_value
from divebell_bridge.door import bounds

MAX_STEPS = 250_000
MAX_ENUM = 200
MAX_ALTERNATIVES = 20

_TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_ANNOTATIONS = frozenset(
    {"title", "default", "examples", "$schema", "$id", "$comment", "format", "deprecated", "strict"}
)
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


class GuestSchema:
    """What a sub-call's reply must look like. Make one with `of`."""

    def __init__(self, json_schema: dict[str, Any]) -> None:
        self._json_schema = json_schema
        self._checker = Checker(json_schema, max_steps=MAX_STEPS)

    @classmethod
    def of(cls, schema: object) -> "GuestSchema":
        """From a JSON Schema as decoded from the door. Raises SchemaRefusedError, with what to change."""
        problem = bounds.schema_problem(schema)
        if problem is not None:
            raise SchemaRefusedError(problem)
        try:
            measure(schema)
            plain = as_json(schema)
        except AnswerError as error:
            raise SchemaRefusedError(f"the schema is not plain JSON: {error}") from None
        try:
            return cls(_copy_schema(plain))
        except ConfigurationError as error:
            raise SchemaRefusedError(str(error)) from None

    def json_schema(self) -> dict[str, Any]:
        """The schema with the keywords that count, for a provider's response format."""
        return self._json_schema

    def describe(self) -> str:
        """The fields with their types, for a prompt."""
        return describe_schema(self._json_schema)

    def parse_reply(self, text: str) -> object:
        """The plain value that a model's reply holds. Raises AnswerError if there is none that fits."""
        if self._json_schema.get("type") == "string":
            return self._checker.check(text.strip())
        return self._checker.check(parse_json(text))


def _copy_schema(schema: object) -> dict[str, Any]:
    if not isinstance(schema, dict):
        raise SchemaRefusedError(f"a schema is a dict, not {quote_value(schema)}")
    copy: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _ANNOTATIONS:
            continue
        rule = _RULES.get(name)
        if rule is None:
            raise SchemaRefusedError(
                f"the keyword {quote_value(name)} is not taken in a schema here; use {', '.join(sorted(_RULES))}"
            )
        copy[name] = rule(name, value)
    return copy


def _copy_type(name: str, value: object) -> object:
    kinds = value if isinstance(value, list) else [value]
    if not kinds or not all(isinstance(kind, str) and kind in _TYPES for kind in kinds):
        raise SchemaRefusedError(f"type must be of {', '.join(sorted(_TYPES))}, not {quote_value(value)}")
    return list(dict.fromkeys(kinds)) if isinstance(value, list) else value


def _copy_properties(name: str, value: object) -> object:
    if not isinstance(value, dict):
        raise SchemaRefusedError(f"properties must be a dict of field and schema, not {quote_value(value)}")
    return {field: _copy_schema(part) for field, part in value.items()}


def _copy_required(name: str, value: object) -> object:
    if not isinstance(value, list) or not all(isinstance(field, str) for field in value):
        raise SchemaRefusedError("required must be a list of the fields' names, beside properties")
    return list(dict.fromkeys(value))


def _copy_one(name: str, value: object) -> object:
    return _copy_schema(value)


def _copy_one_or_bool(name: str, value: object) -> object:
    return value if isinstance(value, bool) else _copy_schema(value)


def _copy_alternatives(name: str, value: object) -> object:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_ALTERNATIVES:
        raise SchemaRefusedError(f"{name} must be a list of 1 to {MAX_ALTERNATIVES} schemas")
    return [_copy_schema(part) for part in value]


def _copy_enum(name: str, value: object) -> object:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_ENUM or any(map(_is_nested, value)):
        raise SchemaRefusedError(f"enum must be a list of 1 to {MAX_ENUM} strings, numbers, booleans or None")
    return list(value)


def _copy_const(name: str, value: object) -> object:
    if _is_nested(value):
        raise SchemaRefusedError("const must be a string, a number, a boolean or None")
    return value


def _is_nested(value: object) -> bool:
    return isinstance(value, (list, dict))


def _copy_count(name: str, value: object) -> object:
    if type(value) is not int or value < 0:
        raise SchemaRefusedError(f"{name} must be a whole number, not {quote_value(value)}")
    return value


def _copy_number(name: str, value: object) -> object:
    if type(value) not in (int, float):
        raise SchemaRefusedError(f"{name} must be a number, not {quote_value(value)}")
    return value


def _copy_description(name: str, value: object) -> object:
    if not isinstance(value, str):
        raise SchemaRefusedError(f"description must be a string, not {quote_value(value)}")
    return value


_RULES: dict[str, Callable[[str, object], object]] = {
    "type": _copy_type,
    "description": _copy_description,
    "properties": _copy_properties,
    "required": _copy_required,
    "items": _copy_one,
    "additionalProperties": _copy_one_or_bool,
    "anyOf": _copy_alternatives,
    "enum": _copy_enum,
    "const": _copy_const,
    **dict.fromkeys(_COUNTS, _copy_count),
    **dict.fromkeys(_NUMBERS, _copy_number),
}
