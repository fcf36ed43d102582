"""What both OpenAI adapters send of a request: images, schemas, temperature; and what they refuse to send."""

import asyncio
from base64 import b64encode
from typing import Any

import pytest

from divebell.errors import ConfigurationError, ModelError
from divebell.models import Completion, ModelRequest, OpenAIChatModel, OpenAIResponsesModel
from divebell.models.openai.base import OpenAIModel
from divebell.models.openai.content import MAX_PARTS
from divebell_bridge.door.bounds import MAX_REQUEST_IMAGES
from tests.support.chat_server import KEY, ChatServer
from tests.support.images import png

PICTURE = png(3, 2)
IMAGE = {"type": "image", "media_type": "image/png", "data": PICTURE}
URL = f"data:image/png;base64,{b64encode(PICTURE).decode()}"
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
BOTH = pytest.mark.parametrize("kind", [OpenAIChatModel, OpenAIResponsesModel])


def sent(server: ChatServer, kind: type[OpenAIModel], content: Any, *, body: Any = None, **more: Any) -> dict[str, Any]:
    """What the server got for this request."""
    model = kind("m", base_url=server.url, api_key=KEY, extra_body=body)
    messages: Any = (
        content if isinstance(content, list) and "role" in content[0] else [{"role": "user", "content": content}]
    )
    asked = ModelRequest(messages=messages, max_output_tokens=9, timeout_seconds=20, **more)
    completion: Completion = asyncio.run(model.complete(asked))
    assert completion.text == "hello"
    return server.received[-1].json


def test_images_in_chat_completions(server: ChatServer) -> None:
    content = [{"type": "text", "text": "two:"}, IMAGE, {**IMAGE, "detail": "low"}]
    assert sent(server, OpenAIChatModel, content)["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "two:"},
                {"type": "image_url", "image_url": {"url": URL, "detail": "high"}},
                {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
            ],
        }
    ]


def test_images_in_responses(server: ChatServer) -> None:
    content = [{"type": "text", "text": "two:"}, IMAGE, {**IMAGE, "detail": "low"}]
    assert sent(server, OpenAIResponsesModel, content)["input"] == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "two:"},
                {"type": "input_image", "image_url": URL, "detail": "high"},
                {"type": "input_image", "image_url": URL, "detail": "low"},
            ],
        }
    ]


@BOTH
def test_parts_of_the_assistants_are_sent_as_one_text(server: ChatServer, kind: type[OpenAIModel]) -> None:
    parts = [{"type": "text", "text": "half \ud83d "}, {"type": "text", "text": "of a pair"}]
    body = sent(server, kind, [{"role": "assistant", "content": parts}])
    assert (body.get("messages") or body["input"]) == [{"role": "assistant", "content": "half ? of a pair"}]


@BOTH
def test_lone_surrogates_in_parts_do_not_stop_a_call(server: ChatServer, kind: type[OpenAIModel]) -> None:
    body = sent(server, kind, [{"type": "text", "text": "half \ud83d"}])
    assert (body.get("messages") or body["input"])[0]["content"][0]["text"] == "half ?"


@BOTH
@pytest.mark.parametrize(
    ("role", "content", "says"),
    [
        ("user", 7, "must be a text or a list"),
        ("user", b"bytes", "must be a text or a list"),
        ("user", None, "must be a text or a list"),
        ("user", {"type": "text", "text": "x"}, "must be a text or a list"),
        ("user", [{"type": "text", "text": "x"}] * (MAX_PARTS + 1), "at most 1,000 parts"),
        ("user", ["x"], "a part of a message must be"),
        ("user", [{"type": "text"}], "a part of a message must be"),
        ("user", [{"type": "text", "text": 7}], "a part of a message must be"),
        ("user", [{"type": "input_audio", "data": "x"}], "a part of a message must be"),
        ("user", [{"type": "image_url", "image_url": {"url": "http://127.0.0.1"}}], "a part of a message must be"),
        ("user", [{**IMAGE, "data": b"<svg/>"}], "no PNG header"),
        ("user", [{**IMAGE, "detail": "original"}], "detail must be"),
        ("user", [IMAGE] * (MAX_REQUEST_IMAGES + 1), "101 images are too many for one call"),
        ("system", [IMAGE], "only a user's message may hold images"),
        ("assistant", [IMAGE], "only a user's message may hold images"),
    ],
)
def test_what_cannot_be_sent_is_not_sent_and_costs_nothing(
    server: ChatServer, kind: type[OpenAIModel], role: str, content: Any, says: str
) -> None:
    model = kind("m", base_url=server.url, api_key=KEY)
    asked = ModelRequest(messages=[{"role": role, "content": content}], max_output_tokens=9)
    with pytest.raises(ModelError, match=says) as caught:
        asyncio.run(model.complete(asked))
    assert caught.value.never_ran
    assert caught.value.model == "m"
    assert not server.received


def test_a_schema_in_chat_completions(server: ChatServer) -> None:
    body = sent(server, OpenAIChatModel, "x", schema=SCHEMA)
    assert body["response_format"] == {
        "type": "json_schema", "json_schema": {"name": "reply", "schema": SCHEMA, "strict": True}
    }  # fmt: skip


def test_a_schema_in_responses_beside_other_settings_of_the_text(server: ChatServer) -> None:
    body = sent(server, OpenAIResponsesModel, "x", schema=SCHEMA, body={"text": {"verbosity": "low"}})
    format_ = {"type": "json_schema", "name": "reply", "schema": SCHEMA, "strict": True}
    assert body["text"] == {"verbosity": "low", "format": format_}


@BOTH
def test_a_schema_that_strict_mode_may_refuse_is_not_strict(server: ChatServer, kind: type[OpenAIModel]) -> None:
    body = sent(server, kind, "x", schema={"type": "object"})
    told = body["response_format"]["json_schema"] if kind is OpenAIChatModel else body["text"]["format"]
    assert told["strict"] is False


@BOTH
def test_a_schema_that_is_none_is_not_sent(server: ChatServer, kind: type[OpenAIModel]) -> None:
    model = kind("m", base_url=server.url, api_key=KEY)
    asked = ModelRequest(messages=[{"role": "user", "content": "x"}], max_output_tokens=9, schema={"type": {1}})
    with pytest.raises(ModelError, match="JSON can hold") as caught:
        asyncio.run(model.complete(asked))
    assert caught.value.never_ran
    assert not server.received


@BOTH
def test_the_requests_temperature_wins(server: ChatServer, kind: type[OpenAIModel]) -> None:
    assert "temperature" not in sent(server, kind, "x")
    assert sent(server, kind, "x", body={"temperature": 1.5})["temperature"] == 1.5
    assert sent(server, kind, "x", body={"temperature": 1.5}, temperature=0.0)["temperature"] == 0.0


CHAT_FIELDS = [
    "response_format",
    "prediction",
    "functions",
    "audio",
    "modalities",
    "web_search_options",
    "best_of",
    "max_tokens",
]
RESPONSES_FIELDS = [
    "input", "instructions", "prompt", "previous_response_id", "conversation", "max_output_tokens", "background", "store",
]  # fmt: skip
ANY_FIELDS = ["model", "models", "stream", "service_tier", "tools", "plugins", "prompt_cache_options"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((OpenAIChatModel, name) for name in CHAT_FIELDS + ANY_FIELDS),
        *((OpenAIResponsesModel, name) for name in RESPONSES_FIELDS + ANY_FIELDS),
    ],
)
def test_extra_body_may_not_change_what_the_hold_rests_on(kind: type[OpenAIModel], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"extra_body may not set {name}"):
        kind("m", base_url="http://127.0.0.1", extra_body={name: 1})


@pytest.mark.parametrize("text", [{"format": {"type": "json_object"}}, "json", None])
def test_extra_body_may_not_set_the_format_of_a_response(text: object) -> None:
    with pytest.raises(ConfigurationError, match="without a format"):
        OpenAIResponsesModel("m", base_url="http://127.0.0.1", extra_body={"text": text})
