"""Checks the arguments of a cell's calls, and turns them into what crosses the door: prompts, schemas, images,
contexts."""

import types
from collections.abc import Iterable
from typing import Any, get_args, get_origin

from divebell_guest import bounds, wire
from divebell_guest.door import BadRequest
from divebell_guest.values import MAX_DEPTH, to_plain, type_name

SHORTEST_REFERENCE = 64 << 10  # a shorter part of the context is cheaper to send than to find
SEARCHED_LENGTHS = 4  # in each of two places, a part is looked for within this many times its own length
SEARCHED_ITEMS = 10_000


class _Shared:
    """The context of this sandbox, and where in it the last child's part ends: the next part often begins there."""

    __slots__ = ("context", "is_sent_in_full", "next_item", "next_start")

    def __init__(self) -> None:
        self.context: Any = None
        self.is_sent_in_full = False  # the host has said that it takes no references
        self.next_start = self.next_item = 0


shared = _Shared()


def check_text(prompt: object, what: str) -> str:
    if not isinstance(prompt, str):
        raise TypeError(f"{what} must be a str, not {type_name(prompt)}; str(...) or json.dumps(...) makes one")
    length = str.__len__(prompt)
    if length > wire.MAX_MESSAGE_BYTES:  # said before it is copied, for which there may be no memory
        raise BadRequest(f"{what} has {length:,} characters, and no model reads so many: send a slice of it")
    return prompt if type(prompt) is str else str.__str__(prompt)


def check_texts(prompts: Iterable[object], name: str) -> list[str]:
    if isinstance(prompts, str):
        raise TypeError(f"{name} takes a list of prompts; for one prompt call it without _batched")
    return [check_text(prompt, "every prompt") for prompt in prompts]


def check_model_name(model: object) -> str | None:
    return None if model is None else check_text(model, "the model's name")


def query_arguments(prompts: list[str], model: object, schema: object, images: "list[Any] | None") -> dict[str, object]:
    """The arguments of wire.QUERY; `images` has an entry for each prompt."""
    arguments: dict[str, object] = {"prompts": prompts, "model": check_model_name(model)}
    if schema is not None:
        arguments["schema"] = to_json_schema(schema)
    if images is not None:
        if len(images) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts but {len(images)} lists of images")
        arguments["images"] = [None if several is None else list(map(_to_image_data, several)) for several in images]
    return arguments


def child_arguments(prompts: list[str], contexts: list[object], model: object) -> dict[str, object]:
    """The arguments of wire.CHILD. A part of this context goes as a reference, where the host takes that."""
    if len(contexts) != len(prompts):
        raise ValueError(f"{len(prompts)} prompts but {len(contexts)} contexts")
    arguments: dict[str, object] = {"prompts": prompts, "model": check_model_name(model)}
    references = [None if shared.is_sent_in_full else _find_reference(context) for context in contexts]
    if references.count(None) < len(references):
        arguments["references"] = references
    arguments["contexts"] = [
        None if reference is not None or context is None or context is shared.context else _to_context_data(context)
        for context, reference in zip(contexts, references, strict=True)
    ]
    return arguments


def _to_context_data(context: object) -> object:
    try:
        return to_plain(context)
    except wire.WireError as error:
        raise BadRequest(f"this cannot be a context: {error}") from None


def _find_reference(value: object) -> dict[str, object] | None:
    """Where the value is in this sandbox's context; None if it is not a part of it, or finding out would take long."""
    whole = shared.context
    kind = type(whole)
    if value is None:
        return None
    if value is whole:  # not the same as no context: where a child is a plain call, it is sent this, or nothing
        length: int = len(whole)  # type: ignore[arg-type]
        return {"slice": [0, length]}
    if kind is str or kind is bytes:
        if type(value) is kind and len(value) >= SHORTEST_REFERENCE:
            return _find_slice(whole, value)
    elif kind in (list, dict) and not (type(value) in (str, bytes) and len(value) < SHORTEST_REFERENCE):  # type: ignore[arg-type]
        return _find_item(whole, value)
    return None


def _find_slice(whole: Any, part: Any) -> dict[str, object] | None:
    length = len(part)
    for begin in (shared.next_start, max(shared.next_start - SEARCHED_LENGTHS * length, 0), 0):
        start = whole.find(part, begin, begin + (SEARCHED_LENGTHS + 1) * length)
        if start >= 0:
            shared.next_start = start + length
            return {"slice": [start, start + length]}
    return None


def _find_item(whole: Any, value: object) -> dict[str, object] | None:
    if type(whole) is dict:
        for number, (key, item) in enumerate(whole.items()):
            if item is value and type(key) is str:
                return {"item": key}
            if number >= SEARCHED_ITEMS:
                break
        return None
    for begin in (shared.next_item, 0):
        for index in range(begin, min(len(whole), begin + SEARCHED_ITEMS)):
            if whole[index] is value:
                shared.next_item = index + 1
                return {"item": index}
    return None


_TYPES: dict[object, str] = {
    dict: "object", list: "array", str: "string", int: "integer", float: "number", bool: "boolean",
    type(None): "null", None: "null",
}  # fmt: skip


def to_json_schema(schema: object) -> dict[str, object]:
    """A schema as JSON Schema: it is one already, or a type (dict, list, int, float, bool, str, list[...],
    dict[str, ...], or a union of these). BadRequest where it is over a bound."""
    plain_schema = _copy_schema(schema) if isinstance(schema, dict) else _schema_of_type(schema, 0)
    problem = bounds.schema_problem(plain_schema)
    if problem is not None:
        raise BadRequest(problem)
    return plain_schema


def _copy_schema(schema: dict[Any, Any]) -> dict[str, object]:
    try:
        plain_schema: Any = to_plain(schema, MAX_DEPTH - bounds.MAX_SCHEMA_NESTING)  # no deeper than a schema may be
    except wire.WireError as error:
        too_deep = "nested more than" in str(error)
        raise BadRequest(bounds.SCHEMA_TOO_DEEP if too_deep else f"this cannot be a schema: {error}") from None
    return plain_schema  # type: ignore[no-any-return]


def _schema_of_type(schema: object, depth: int) -> dict[str, object]:
    if depth > bounds.MAX_SCHEMA_NESTING:
        raise BadRequest(bounds.SCHEMA_TOO_DEEP)
    if isinstance(schema, types.UnionType):
        return {"anyOf": [_schema_of_type(part, depth + 1) for part in get_args(schema)]}
    origin, parts = get_origin(schema), get_args(schema)
    if origin is list and len(parts) == 1:
        return {"type": "array", "items": _schema_of_type(parts[0], depth + 1)}
    if origin is dict and len(parts) == 2 and parts[0] is str:
        return {"type": "object", "additionalProperties": _schema_of_type(parts[1], depth + 1)}
    try:
        return {"type": _TYPES[schema]}
    except (KeyError, TypeError):
        raise TypeError(
            "schema must be a JSON Schema as a dict, or one of the types dict, list, str, int, float, bool, list[...]"
        ) from None


def _to_image_data(image: object) -> dict[str, object]:
    if isinstance(image, dict):
        media_type, data = image.get("media_type"), image.get("data")
    else:
        media_type, data = None, image
    if not isinstance(data, (bytes, bytearray)):
        raise TypeError('an image is bytes, or {"media_type": "image/png", "data": bytes}')
    data = bytes(data)
    if media_type is None:
        media_type = bounds.image_kind(data)
        if media_type is None:
            raise BadRequest(f"this is no image of a kind that models take: {bounds.IMAGE_KINDS_IN_WORDS}")
    return {"media_type": check_text(media_type, "media_type"), "data": data}
