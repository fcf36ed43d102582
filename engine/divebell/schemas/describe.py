"""A JSON Schema in words, for a prompt: each field with its type and its description, in few characters.

It says less than the schema does (no patterns, no conditions); the check still enforces what it leaves out.
"""

from collections.abc import Mapping
from typing import Any

from divebell.schemas.values import quote_value
from divebell.text import clip, printable

MAX_DESCRIPTION_CHARACTERS = 3_000
MAX_FIELD_CHARACTERS = 300
MAX_NESTING = 4
CUT = "..."
"""Stands for what is left out, in words that models read."""
_MAX_LISTED_PARTS = 12


def resolve(schema: object, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a reference leads to; the same schema if it is not a reference."""
    for _ in range(8):
        if not isinstance(schema, dict):
            return {}
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#"):
            return schema
        target: Any = root
        for step in reference[2:].split("/") if len(reference) > 1 else []:
            target = target.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(target, dict) else {}
        schema = {**target, **{k: v for k, v in schema.items() if k != "$ref"}} if isinstance(target, dict) else {}
    return {}


def fields_of(root: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the fields of an object; empty for any other value."""
    properties = resolve(root, root).get("properties")
    return tuple(properties) if isinstance(properties, dict) else ()


def describe_schema(root: Mapping[str, Any]) -> str:
    """The fields, one a line; or, where the answer is not an object with fields, its type."""
    top = resolve(root, root)
    names = fields_of(root)
    if not names:
        return clip(_type_of(top, root, 0), MAX_FIELD_CHARACTERS, mark=CUT)
    required = top.get("required", ())
    lines = []
    for name in names:
        field = top["properties"][name]
        optional = "" if name in required else ", optional"
        described = resolve(field, root).get("description")
        words = f": {' '.join(str(described).split())}" if described else ""
        text = f"- `{printable(name)}` ({_type_of(field, root, 0)}{optional}){words}"
        lines.append(clip(text, MAX_FIELD_CHARACTERS, mark=CUT))
    return clip("\n".join(lines), MAX_DESCRIPTION_CHARACTERS, mark=CUT)


def _type_of(schema: object, root: Mapping[str, Any], depth: int) -> str:
    if depth > MAX_NESTING:
        return "..."
    one = resolve(schema, root)
    if "const" in one:
        return quote_value(one["const"])
    if isinstance(one.get("enum"), list):
        values = " or ".join(quote_value(value) for value in one["enum"][:_MAX_LISTED_PARTS])
        return values + (" or ..." if len(one["enum"]) > _MAX_LISTED_PARTS else "")
    for name in ("anyOf", "oneOf"):
        if isinstance(one.get(name), list):
            return " or ".join(dict.fromkeys(_type_of(part, root, depth + 1) for part in one[name][:_MAX_LISTED_PARTS]))
    kind = one.get("type", "any value")
    if isinstance(kind, list):
        return " or ".join(map(str, kind))
    if kind == "array":
        prefix = one.get("prefixItems")
        if isinstance(prefix, list):
            return f"list of {', '.join(_type_of(part, root, depth + 1) for part in prefix[:_MAX_LISTED_PARTS])}"
        return f"list of {_type_of(one['items'], root, depth + 1)}" if isinstance(one.get("items"), dict) else "list"
    if kind == "object":
        return _object_of(one, root, depth)
    return f"{kind}, {one['format']}" if "format" in one else str(kind) + _range_of(one)


def _object_of(one: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> str:
    properties = one.get("properties")
    if isinstance(properties, dict) and properties:
        inside = [f"`{printable(name)}` ({_type_of(part, root, depth + 1)})" for name, part in properties.items()]
        return (
            f"object with {', '.join(inside[:_MAX_LISTED_PARTS])}{', ...' if len(inside) > _MAX_LISTED_PARTS else ''}"
        )
    values = one.get("additionalProperties")
    return (
        f"object of name and {_type_of(values, root, depth + 1)}" if isinstance(values, dict) and values else "object"
    )


def _range_of(one: Mapping[str, Any]) -> str:
    bounds = (
        ("minimum", "at least "),
        ("exclusiveMinimum", "over "),
        ("maximum", "at most "),
        ("exclusiveMaximum", "under "),
    )
    described = [f"{words}{quote_value(one[name])}" for name, words in bounds if name in one]
    return f", {' and '.join(described)}" if described else ""
