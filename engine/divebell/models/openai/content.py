"""Messages, images and schemas in the words of OpenAI's two APIs. Pure.

Lone surrogates, which UTF-8 cannot hold, become "?". Images are sent as data: URLs, with their detail always said.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from divebell.errors import RequestError
from divebell.models.images import data_url, detail_of
from divebell.models.protocol import ImagePart, Message, ModelRequest, texts_of
from divebell.models.schema import SCHEMA_NAME, is_strict, schema_text
from divebell.text import replace_surrogates
from divebell_bridge.door.bounds import MAX_REQUEST_IMAGES

MAX_PARTS = 1_000  # in one message


def chat_messages(request: ModelRequest) -> list[dict[str, Any]]:
    """The messages of a Chat Completions request. RequestError if one cannot be sent."""
    return [_message(each, "text", _chat_image) for each in _check_messages(request)]


def response_items(request: ModelRequest) -> list[dict[str, Any]]:
    """The input items of a Responses request. RequestError if one cannot be sent.

    System messages stay where they are, as items: so a history that only grows keeps its beginning, which is what the
    provider's prefix cache needs.
    """
    return [_message(each, "input_text", _response_image) for each in _check_messages(request)]


def schema_format(schema: Mapping[str, object]) -> dict[str, Any]:
    """The format of a reply that must fit a schema, as both APIs have it."""
    schema_text(schema)
    return {"name": SCHEMA_NAME, "schema": dict(schema), "strict": is_strict(schema)}


def _check_messages(request: ModelRequest) -> Sequence[Message]:
    images = 0
    for message in request.messages:
        content = message["content"]
        if isinstance(content, str):
            continue
        if isinstance(content, bytes) or not isinstance(content, Sequence) or len(content) > MAX_PARTS:
            raise RequestError(f"a message's content must be a text or a list of at most {MAX_PARTS:,} parts")
        parts: Sequence[Any] = content
        for part in parts:
            kind = part.get("type") if isinstance(part, Mapping) else None
            text = part.get("text") if kind == "text" else ""
            if kind not in ("text", "image") or not isinstance(text, str):
                raise RequestError('a part of a message must be {"type": "text", "text": ...} or an image')
            if kind == "image":
                images += 1
                if message["role"] != "user":
                    raise RequestError(f"only a user's message may hold images, not one of {message['role'][:100]!r}")
    if images > MAX_REQUEST_IMAGES:
        raise RequestError(f"{images:,} images are too many for one call: at most {MAX_REQUEST_IMAGES:,} can be sent")
    return request.messages


def _message(message: Message, text_type: str, image: Callable[[ImagePart], dict[str, Any]]) -> dict[str, Any]:
    content, role = message["content"], message["role"]
    if isinstance(content, str):
        return {"role": role, "content": replace_surrogates(content)}
    if role == "assistant":  # which may hold no parts of input
        return {"role": role, "content": replace_surrogates("".join(texts_of(message)))}
    parts: list[dict[str, Any]] = []
    for part in content:
        if part["type"] == "text":
            parts.append({"type": text_type, "text": replace_surrogates(part["text"])})
        else:
            parts.append(image(part))
    return {"role": role, "content": parts}


def _chat_image(part: ImagePart) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": data_url(part), "detail": detail_of(part)}}


def _response_image(part: ImagePart) -> dict[str, Any]:
    return {"type": "input_image", "image_url": data_url(part), "detail": detail_of(part)}
