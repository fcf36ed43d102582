"""Checking a value against a JSON Schema, with problems worded for a model that is to repair them.

The `jsonschema` library does the checking. What is changed for hostile values:
- a pattern is run by the Rust engine that pydantic brings, which is linear in the text, and never by `re`, which a
  text can keep busy for years; patterns that need look-around or back-references are refused when the schema is given;
- `uniqueItems` is linear;
- nothing is ever fetched: a schema whose `$ref` leads out of it is refused;
- the parts of the value times the parts of the schema are bounded before the work begins.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from divebell.errors import AnswerError, ConfigurationError
from divebell.schemas.values import as_json, measure, path_of, problem_line, quote_value
from divebell.text import printable

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

MAX_STEPS = 1_000_000
"""Parts of the value times parts of the schema; 200 characters count as a part. The most expensive schema found,
alternatives within alternatives, takes 4 microseconds a step."""
MAX_READ_ERRORS = 50
MAX_LISTED = 12

_MAPS = ("properties", "$defs", "definitions", "dependentSchemas", "patternProperties")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
    "items", "additionalProperties", "additionalItems", "not", "if", "then", "else", "contains", "propertyNames",
    "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip


def subschemas(schema: Mapping[str, Any]) -> Iterator[object]:
    """The schemas directly inside this one."""
    for name in _MAPS:
        if isinstance(schema.get(name), dict):
            yield from schema[name].values()
    for name in (*_LISTS, *_SINGLE):
        inside = schema.get(name)
        if isinstance(inside, list):
            yield from inside
        elif isinstance(inside, (dict, bool)):
            yield inside


def walk(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The schema and all schemas inside it."""
    waiting: list[object] = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(subschemas(one))


class Checker:
    """A JSON Schema, ready to check. Raises ConfigurationError if it is not one, or uses what is refused here."""

    def __init__(self, schema: dict[str, Any], *, max_steps: int = MAX_STEPS) -> None:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import SchemaError
        from jsonschema.validators import extend, validator_for
        from referencing import Registry

        self._patterns: dict[str, Any] = {}
        self._max_steps = max_steps
        schema = {name: value for name, value in schema.items() if name != "$id"}
        try:
            self._parts = _count_parts(schema)
            kind = validator_for(schema, default=Draft202012Validator)
            kind.check_schema(schema)
            for part in walk(schema):
                self._prepare(part, schema)
        except SchemaError as error:
            where = path_of(list(error.absolute_path))
            raise ConfigurationError(f"this is not a JSON Schema: {problem_line(where, error.message[:300])}") from None
        except RecursionError:
            raise ConfigurationError("the JSON Schema is nested too deep, or holds itself") from None
        keywords = {"pattern": self._pattern, "uniqueItems": _unique_items}
        registry: Any = Registry()
        self._validator = extend(kind, keywords)(schema, registry=registry)

    def _prepare(self, part: Mapping[str, Any], root: dict[str, Any]) -> None:
        for name in ("patternProperties", "$dynamicRef", "$recursiveRef", "$id"):
            if name in part:
                raise ConfigurationError(f"a JSON Schema with {name} is not taken here: name the properties one by one")
        if "$ref" in part:
            _check_reference(part["$ref"], root)
        if "pattern" in part:
            self._patterns[part["pattern"]] = _compile_pattern(part["pattern"])

    def _pattern(self, _validator: object, pattern: str, value: object, _schema: object) -> "Iterator[ValidationError]":
        from jsonschema.exceptions import ValidationError
        from pydantic_core import ValidationError as Mismatch

        if isinstance(value, str):
            try:
                self._patterns[pattern].validate_python(value)
            except Mismatch:
                yield ValidationError("does not match")

    def check(self, value: object) -> object:
        """The value as plain JSON. Raises AnswerError if it does not fit the schema."""
        size = measure(value)
        if (size.parts + size.characters // 200) * self._parts > self._max_steps:
            raise AnswerError(("the answer is too large to be checked against its schema: give a shorter one",))
        plain = as_json(value)
        try:
            errors = list(islice(self._validator.iter_errors(plain), MAX_READ_ERRORS))
        except RecursionError:
            raise AnswerError(("the answer is nested too deep",)) from None
        if errors:
            raise AnswerError(tuple(_describe_error(error) for error in errors))
        return plain


def _count_parts(schema: object) -> int:
    """The number of all parts of the schema, names and the values of enums included."""
    if isinstance(schema, dict):
        return 1 + sum(1 + _count_parts(part) for part in schema.values())
    if isinstance(schema, (list, tuple)):
        return 1 + sum(_count_parts(part) for part in schema)
    return 1


def _check_reference(reference: object, root: dict[str, Any]) -> None:
    problem = (
        f"$ref {quote_value(reference)} leads nowhere inside of this schema, and nothing is fetched: put it into $defs"
    )
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise ConfigurationError(problem)
    target: Any = root
    for step in reference[2:].split("/") if reference != "#" else []:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and name.isdigit() and int(name) < len(target):
            target = target[int(name)]
        elif isinstance(target, dict) and name in target:
            target = target[name]
        else:
            raise ConfigurationError(problem)


def _compile_pattern(pattern: object) -> Any:
    from pydantic_core import SchemaError, SchemaValidator, core_schema

    try:
        return SchemaValidator(core_schema.str_schema(pattern=str(pattern), regex_engine="rust-regex"))
    except SchemaError:
        raise ConfigurationError(
            f"the pattern {quote_value(pattern)} cannot be run in linear time "
            "(look-around and back-references cannot): "
            "write it without, or use a pydantic model with a validator of your own"
        ) from None


def _unique_items(_validator: object, wanted: object, value: object, _schema: object) -> "Iterator[ValidationError]":
    from jsonschema.exceptions import ValidationError

    if not wanted or not isinstance(value, list):
        return
    earlier_items: set[str] = set()
    for number, item in enumerate(value):
        key = json.dumps(item, sort_keys=True)
        if key in earlier_items:
            yield ValidationError(f"item {number} is there twice")
            return
        earlier_items.add(key)


def _describe_error(error: "ValidationError") -> str:
    """One line: where, what was expected, what the value is."""
    where = path_of(list(error.absolute_path))
    if error.validator in ("anyOf", "oneOf") and error.context:
        return _describe_branches(error, where)
    return problem_line(where, _describe_problem(error))


def _describe_branches(error: "ValidationError", where: str) -> str:
    """A value that fits none of several schemas: what they expect, or what is wrong by the one that comes nearest."""
    nearest = max(error.context or [], key=lambda inner: (len(inner.absolute_path), inner.validator != "type"))
    if len(nearest.absolute_path) > len(error.absolute_path) or nearest.validator != "type":
        return _describe_error(nearest)
    expected = [_join_types(inner.validator_value) for inner in islice(error.context or [], MAX_LISTED)]
    return problem_line(where, f"expected {' or '.join(dict.fromkeys(expected))}, given {quote_value(error.instance)}")


def _join_types(value: object) -> str:
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)


def _describe_problem(error: "ValidationError") -> str:
    rule, expected, value = str(error.validator), error.validator_value, error.instance
    if rule == "type":
        return f"expected {_join_types(expected)}, given {quote_value(value)}"
    if rule == "required":
        # Each missing name is an error of its own; this line is for all of them.
        missing = [quote_value(name) for name in expected if name not in value]
        return f"missing: {', '.join(missing[:MAX_LISTED])}"
    if rule in ("additionalProperties", "unevaluatedProperties") and isinstance(value, dict):
        fields = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
        unknown = [quote_value(name) for name in value if name not in fields]
        return f"not a field of it: {', '.join(unknown[:MAX_LISTED])}"
    if rule == "enum":
        return (
            f"expected one of {', '.join(quote_value(one) for one in expected[:MAX_LISTED])}, given "
            f"{quote_value(value)}"
        )
    if rule == "const":
        return f"expected {quote_value(expected)}, given {quote_value(value)}"
    if isinstance(expected, (int, float, str)) and rule != "uniqueItems":
        return f"must have {rule} {quote_value(expected)}, given {_measure_for_rule(rule, value)}"
    return printable(error.message[:200])


def _measure_for_rule(rule: str, value: object) -> str:
    if rule in ("minLength", "maxLength") and isinstance(value, str):
        return f"{len(value):,} characters"
    return quote_value(value)
