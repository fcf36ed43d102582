"""Calls of the Chat Completions adapter at a local server."""

import asyncio
import traceback

import pytest

from divebell.errors import ModelError
from divebell.models import Completion, ModelRequest, OpenAIChatModel
from tests.support.chat_server import KEY, ChatServer


def request(text: str = "What is 2 + 2?", *, seconds: float = 20, **metadata: str) -> ModelRequest:
    return ModelRequest(
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}],
        max_output_tokens=100,
        timeout_seconds=seconds,
        metadata=metadata,
    )


def model_at(server: ChatServer, name: str = "local") -> OpenAIChatModel:
    return OpenAIChatModel(name, base_url=server.url, api_key=server.key)


def complete(model: OpenAIChatModel, model_request: ModelRequest | None = None) -> Completion:
    return asyncio.run(model.complete(model_request or request()))


def failure(model: OpenAIChatModel, model_request: ModelRequest | None = None) -> ModelError:
    """The error of a call that fails, which must be one clean sentence without the key, wherever one looks."""
    with pytest.raises(ModelError) as caught:
        complete(model, model_request)
    error = caught.value
    message = str(error)
    assert message
    assert message.isprintable()
    assert error.model == model.name
    assert error.__cause__ is None
    assert error.__context__ is None
    everything = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)) + repr(model)
    assert KEY not in everything
    return error
