"""Requests of the guest, from plain data to the types of requests.py: the checks that stand between the two.

Guaranteed: whatever comes in, the result has the types of requests.py and is within the bounds (bounds.py, and those
below), or RefusedError is raised. The messages are for the model that wrote the code.
"""

from typing import Any

from divebell_bridge.door import bounds, wire
from divebell_bridge.door.requests import ChildQuery, ContextItem, ContextReference, Image, Query, ToolCall

MAX_ARGUMENTS_OF_A_KIND = 100
_MAX_OFFSET = 1 << 40
_TOO_MANY_BYTES = f"the images of one request have more than {bounds.MAX_IMAGE_BYTES:,} bytes: send smaller ones"

Request = dict[str, Any]


class RefusedError(Exception):
    """The host refuses an operation. `kind` names the exception that the guest raises."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def read_queries(request: Request) -> list[Query]:
    """The calls that a request asks for."""
    prompts, model, schema = _read_prompts(request), _read_model(request), _read_schema(request)
    image_lists = request.get("images")
    if image_lists is None:
        return [Query(prompt, model, schema) for prompt in prompts]
    if not isinstance(image_lists, list) or len(image_lists) != len(prompts):
        raise RefusedError(wire.BAD_REQUEST, "images must be a list with one entry for each prompt")
    room = bounds.MAX_IMAGE_BYTES
    queries: list[Query] = []
    for prompt, image_list in zip(prompts, image_lists, strict=True):
        images = _read_images(image_list)
        room -= sum(len(image.data) for image in images)
        if room < 0:
            raise RefusedError(wire.BAD_REQUEST, _TOO_MANY_BYTES)
        queries.append(Query(prompt, model, schema, images))
    return queries


def read_children(request: Request) -> list[ChildQuery]:
    """The children that a request asks for."""
    prompts, model = _read_prompts(request), _read_model(request)
    contexts = _check_one_each(prompts, request.get("contexts"), "contexts")
    references = request.get("references")
    if references is not None:
        references = _check_one_each(prompts, references, "references")
    children: list[ChildQuery] = []
    for index, (prompt, context) in enumerate(zip(prompts, contexts, strict=True)):
        if not isinstance(context, (type(None), str, bytes, list, dict)):
            raise RefusedError(
                wire.BAD_REQUEST, f"a context is a str, bytes, list or dict, not {type(context).__name__}"
            )
        reference = references[index] if references is not None else None
        if reference is not None:
            if context is not None:
                raise RefusedError(wire.BAD_REQUEST, "a child gets a context or a reference, not both")
            context = _read_reference(reference)
        children.append(ChildQuery(prompt, context, model))
    return children


def read_tool_call(request: Request) -> ToolCall:
    """The call of a tool that a request asks for."""
    name, arguments, keywords = (request.get(key) for key in ("name", "arguments", "keyword_arguments"))
    if type(name) is not str or not name.isidentifier() or len(name) > bounds.MAX_TOOL_NAME_CHARACTERS:
        raise RefusedError(wire.BAD_REQUEST, "name must be a tool's name")
    if not isinstance(arguments, list) or not isinstance(keywords, dict):
        raise RefusedError(wire.BAD_REQUEST, "arguments must be a list, and keyword_arguments a map")
    if len(arguments) > MAX_ARGUMENTS_OF_A_KIND or len(keywords) > MAX_ARGUMENTS_OF_A_KIND:
        raise RefusedError(wire.BAD_REQUEST, f"a tool takes at most {MAX_ARGUMENTS_OF_A_KIND} arguments of each kind")
    if not set(map(type, keywords)) <= {str}:
        raise RefusedError(wire.BAD_REQUEST, "the names of keyword_arguments must be str")
    return ToolCall(name, tuple(arguments), keywords)


def read_tickets(request: Request) -> list[int]:
    """The numbers of the calls that a request is about."""
    numbers = request.get("tickets")
    if not isinstance(numbers, list) or not set(map(type, numbers)) <= {int}:
        raise RefusedError(wire.BAD_REQUEST, "tickets must be a list of numbers")
    if len(numbers) > bounds.MAX_OPEN_CALLS or len(set(numbers)) != len(numbers):
        raise RefusedError(
            wire.BAD_REQUEST, f"tickets must be different from each other, and at most {bounds.MAX_OPEN_CALLS:,}"
        )
    return numbers


def read_seconds(request: Request) -> float | None:
    """How long to wait; None for as long as it takes."""
    seconds = request.get("seconds")
    if seconds is None:
        return None
    if type(seconds) not in (int, float) or not 0 <= seconds <= bounds.MAX_WAIT_SECONDS:  # refuses NaN too
        raise RefusedError(wire.BAD_REQUEST, "seconds must be a number from 0 to a billion, or None")
    return float(seconds)


def _read_prompts(request: Request) -> list[str]:
    prompts = request.get("prompts")
    if not isinstance(prompts, list) or not set(map(type, prompts)) <= {str}:
        raise RefusedError(wire.BAD_REQUEST, "prompts must be a list of str")
    if len(prompts) > bounds.MAX_BATCH_PROMPTS:
        raise RefusedError(
            wire.BAD_REQUEST, f"{len(prompts):,} prompts in one batch; at most {bounds.MAX_BATCH_PROMPTS:,} are allowed"
        )
    return prompts


def _read_model(request: Request) -> str | None:
    model = request.get("model")
    if model is not None and (type(model) is not str or len(model) > bounds.MAX_MODEL_NAME_CHARACTERS):
        raise RefusedError(wire.BAD_REQUEST, "model must be a name or None")
    return model


def _check_one_each(prompts: list[str], values: object, name: str) -> list[Any]:
    if not isinstance(values, list) or len(values) != len(prompts):
        raise RefusedError(wire.BAD_REQUEST, f"{name} must be a list with one entry for each prompt")
    return values


def _read_schema(request: Request) -> dict[str, object] | None:
    schema = request.get("schema")
    if schema is None:
        return None
    problem = bounds.schema_problem(schema)
    if problem is not None:
        raise RefusedError(wire.BAD_REQUEST, problem)
    return schema  # type: ignore[no-any-return]


def _read_images(value: object) -> tuple[Image, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > bounds.MAX_PROMPT_IMAGES:
        raise RefusedError(wire.BAD_REQUEST, f"the images of a prompt are a list of at most {bounds.MAX_PROMPT_IMAGES}")
    images: list[Image] = []
    for image in value:
        media_type = image.get("media_type") if isinstance(image, dict) else None
        data = image.get("data") if isinstance(image, dict) else None
        if type(media_type) is not str or type(data) is not bytes:
            raise RefusedError(wire.BAD_REQUEST, 'an image is {"media_type": "image/...", "data": bytes}')
        if media_type not in bounds.IMAGE_KINDS:
            kinds = bounds.IMAGE_KINDS_IN_WORDS
            raise RefusedError(wire.BAD_REQUEST, f"an image's media_type is one of {kinds}, not {media_type[:60]!r}")
        images.append(Image(media_type, data))
    return tuple(images)


def _read_reference(value: object) -> ContextReference | ContextItem:
    if isinstance(value, dict) and len(value) == 1:
        part, key = value.get("slice"), value.get("item")
        if (
            isinstance(part, list)
            and len(part) == 2
            and all(type(offset) is int for offset in part)
            and 0 <= part[0] <= part[1] <= _MAX_OFFSET
        ):
            return ContextReference(part[0], part[1])
        if type(key) is str or (type(key) is int and 0 <= key <= _MAX_OFFSET):
            return ContextItem(key)
    raise RefusedError(wire.BAD_REQUEST, 'a reference is {"slice": [start, end]} or {"item": key or index}')
