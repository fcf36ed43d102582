"""Digests, by which a journal and the memo of sub-calls recognise a request."""

import json
from hashlib import sha256

from divebell.models.protocol import ModelRequest, images_of

_DIGITS = 32


def digest(*parts: object) -> str:
    """A digest of texts, bytes and plain data: equal parts have equal digests, in every process."""
    return sha256(json.dumps(parts, sort_keys=True, default=_as_json).encode()).hexdigest()[:_DIGITS]


def request_digest(model: str, request: ModelRequest) -> str:
    """A digest of what is sent, and to which model."""
    messages = [
        [message["role"], message["content"] if isinstance(message["content"], str) else [*message["content"]]]
        for message in request.messages
    ]
    images = [image["data"] for message in request.messages for image in images_of(message)]
    return digest(model, messages, images, request.max_output_tokens, request.temperature, request.schema)


def _as_json(value: object) -> object:
    if isinstance(value, bytes):
        return {"bytes": sha256(value).hexdigest()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    return str(value)
