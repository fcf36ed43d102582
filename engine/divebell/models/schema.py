"""The JSON Schema that a reply is asked to keep to: bounded, as the one text that is sent and counted, and whether an
endpoint would take it in strict mode.

Strict mode makes the endpoint decode by the schema, but it refuses schemas with keywords outside of its subset. So a
schema that may be outside that subset is sent without `strict`: it then guides the model without binding it.
Source: https://developers.openai.com/api/docs/guides/structured-outputs, "Supported schemas".
"""

import json
from collections.abc import Mapping

from divebell.bounds import MAX_SCHEMA_BYTES
from divebell.errors import RequestError

SCHEMA_NAME = "reply"
MAX_STRICT_DEPTH = 10
MAX_STRICT_NODES = 5_000

_STRICT_KEYWORDS = frozenset(
    {
        *("type", "title", "description", "enum", "const", "$ref", "$defs", "definitions", "anyOf"),
        *("properties", "required", "additionalProperties", "items", "minItems", "maxItems"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "pattern"),
    }
)


def schema_text(schema: Mapping[str, object]) -> str:
    """The schema as JSON, with everything escaped and spaced: no shorter than what an endpoint shows its model.

    RequestError if it cannot be JSON, or is too long.
    """
    try:
        text = json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        text = ""
    if not isinstance(schema, Mapping) or not text:
        raise RequestError("the reply's schema must be a dict that JSON can hold")
    if len(text) > MAX_SCHEMA_BYTES:
        sentence = f"the reply's schema has {len(text):,} bytes, at most {MAX_SCHEMA_BYTES:,} are allowed"
        raise RequestError(sentence)
    return text


def is_strict(schema: object) -> bool:
    """Whether strict mode surely takes the schema: every object closed, all its properties required, known keywords."""
    if not isinstance(schema, Mapping) or schema.get("type") != "object" or "anyOf" in schema:
        return False
    waiting: list[tuple[object, int]] = [(schema, 1)]
    for _ in range(MAX_STRICT_NODES):
        if not waiting:
            return True
        node, depth = waiting.pop()
        inner = _strict_children(node)
        if inner is None or depth > MAX_STRICT_DEPTH:
            return False
        waiting += [(each, depth + 1) for each in inner]
    return False


def _strict_children(node: object) -> list[object] | None:
    """The schemas inside of this one, or None if it is outside of the subset."""
    if not isinstance(node, Mapping) or not _STRICT_KEYWORDS.issuperset(node):
        return None
    inner: list[object] = []
    for keyword in ("properties", "$defs", "definitions"):
        named = node.get(keyword, {})
        if not isinstance(named, Mapping):
            return None
        inner += named.values()
    kinds = node.get("type")
    if "properties" in node or kinds == "object" or (isinstance(kinds, list) and "object" in kinds):
        required = node.get("required")
        if node.get("additionalProperties") is not False or not isinstance(required, list):
            return None
        if set(node.get("properties", {})) != {each for each in required if isinstance(each, str)}:
            return None
    variants = node.get("anyOf", [])
    if not isinstance(variants, list):
        return None
    return [*inner, *variants, *([node["items"]] if "items" in node else [])]
