"""Endpoints that do not take a field, a value or a role: the call is sent again without it, once, and that is remembered."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest

from divebell.errors import ModelError
from divebell.models import ModelRequest, OpenAIChatModel, OpenAIResponsesModel
from divebell.models.openai.base import OpenAIModel
from tests.support.chat_server import KEY, ChatServer, Reply, error

SCHEMA = {
    "type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False,
}  # fmt: skip
REQUEST = ModelRequest(
    messages=[
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 2 + 2?"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "And 3 + 3?"},
    ],
    max_output_tokens=100,
    timeout_seconds=20,
    temperature=0,
    schema=SCHEMA,
)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer("6") as running:
        yield running


def model_at(server: ChatServer, api: Literal["chat", "responses"] = "chat", **more: Any) -> OpenAIModel:
    kind = OpenAIChatModel if api == "chat" else OpenAIResponsesModel
    return kind("local", base_url=server.url, api_key=KEY, **more)


def text_of(model: OpenAIModel, request: ModelRequest = REQUEST) -> str:
    return asyncio.run(model.complete(request)).text


def _has_system(asked: dict[str, Any]) -> bool:
    return any(message["role"] == "system" for message in asked.get("messages") or asked["input"])


def _is_strict(asked: dict[str, Any]) -> bool:
    return bool(asked.get("response_format", {}).get("json_schema", {}).get("strict"))


def _pydantic(name: str) -> Reply:
    entry = {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}
    return Reply(status=422, body={"detail": [entry]})


ROWS: list[tuple[str, Callable[[dict[str, Any]], bool], Reply]] = [
    ("OpenAI's older models", lambda a: "max_completion_tokens" in a, error(400, "Unrecognized request argument supplied: max_completion_tokens")),
    ("FastAPI", lambda a: "max_completion_tokens" in a, _pydantic("max_completion_tokens")),
    ("Mistral", lambda a: "max_completion_tokens" in a, Reply(status=422, body={"message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"], "msg": "Extra inputs are not permitted"}]}})),
    ("reasoning models, of temperature", lambda a: "temperature" in a, error(400, "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.", code="unsupported_value")),
    ("others, of temperature", lambda a: "temperature" in a, error(400, "Unsupported parameter: 'temperature' is not supported with this model.", code="unsupported_parameter")),
    ("Anthropic, of temperature", lambda a: "temperature" in a, error(400, "`temperature` is deprecated for this model.")),
    ("Anthropic, of temperature while it thinks", lambda a: "temperature" in a, error(400, "`temperature` may only be set to 1 when thinking is enabled.")),
    ("Kimi, of temperature", lambda a: "temperature" in a, error(400, "invalid temperature: only 1 is allowed for this model")),
    ("Mistral's template", _has_system, error(400, "Conversation roles must alternate user/assistant/user/assistant/...")),
    ("o1-mini, of the role", _has_system, error(400, "Unsupported value: 'messages[0].role' does not support 'system' with this model.", code="unsupported_value")),
    ("Gemma in vLLM", _has_system, Reply(status=400, body={"object": "error", "message": "System role not supported", "type": "BadRequestError", "code": 400})),
    ("Gemma at Google", _has_system, Reply(status=400, body=[{"error": {"code": 400, "message": "Developer instruction is not enabled for models/gemma-3-27b-it", "status": "INVALID_ARGUMENT"}}])),
    ("OpenAI, of a strict schema", _is_strict, error(400, "Invalid schema for response_format 'reply': In context=(), 'x' is not permitted.", code="invalid_json_schema")),
    ("DeepSeek, of a schema", lambda a: "response_format" in a, error(400, "This response_format type is unavailable now: not supported")),
    ("Groq, of a schema", lambda a: "response_format" in a, error(400, "This model does not support response format `json_schema`. See response_format.")),
    ("a server that knows no schema", lambda a: "response_format" in a, _pydantic("response_format")),
    ("Groq, of n", lambda a: "n" in a, error(400, "property 'n' is unsupported")),
    ("Gemini, of n", lambda a: "n" in a, error(400, "Invalid JSON payload received. Unknown name \"n\": Cannot find field.")),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("is_refused", "refusal"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_what_is_not_taken_is_left_out_and_another_adapter_begins_with_that(
    server: ChatServer, is_refused: Callable[[dict[str, Any]], bool], refusal: Reply
) -> None:
    server.policy = lambda asked: refusal if is_refused(asked) else "6"
    assert text_of(model_at(server)) == "6"
    tries = len(server.received)
    assert 2 <= tries <= 3, "a strict schema is loosened before it is left out"
    assert text_of(model_at(server)) == "6"
    assert len(server.received) == tries + 1
    sent = server.received[-1].json
    assert (sent.get("max_completion_tokens") or sent.get("max_tokens")) == 100, "the limit is always sent"


def test_a_system_message_that_is_not_taken_goes_into_the_users(server: ChatServer) -> None:
    server.policy = lambda asked: error(400, "System role not supported") if _has_system(asked) else "6"
    text_of(model_at(server))
    assert server.received[-1].json["messages"] == [
        {"role": "user", "content": "Be brief.\n\nWhat is 2 + 2?"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "And 3 + 3?"},
    ]


def test_several_at_once(server: ChatServer) -> None:
    def picky(asked: dict[str, Any]) -> "Reply | str":
        for name in ("temperature", "response_format", "n", "max_completion_tokens"):
            if name in asked:
                return error(400, f"Unsupported parameter: '{name}'", code="unsupported_parameter")
        return error(400, "system messages are not supported") if _has_system(asked) else "6"

    server.policy = picky
    assert text_of(model_at(server)) == "6"
    assert set(server.received[-1].json) == {"model", "messages", "max_tokens"}
    text_of(model_at(server))
    assert len(server.received) == 6 + 1


def test_the_responses_api_too(server: ChatServer) -> None:
    def picky(asked: dict[str, Any]) -> "Reply | str":
        for name in ("temperature", "store"):
            if name in asked:
                return error(400, f"Unknown parameter: '{name}'.", code="unknown_parameter")
        return error(400, "text.format is not supported") if "text" in asked else "6"

    server.policy = picky
    assert text_of(model_at(server, "responses")) == "6"


def test_what_the_application_asked_for_itself_is_not_left_out(server: ChatServer) -> None:
    server.policy = lambda asked: error(400, "Unsupported parameter: 'top_p'", code="unsupported_parameter")
    with pytest.raises(ModelError, match="top_p"):
        text_of(model_at(server, extra_body={"top_p": 0.5}))
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        error(400, "Your temperature is not supported by our usage policy"),
        error(400, "max_completion_tokens is too large: 100. This model supports at most 50 completion tokens."),
        error(401, "Unsupported parameter: 'temperature'", code="unsupported_parameter"),
        error(500, "Unsupported parameter: 'temperature'", code="unsupported_parameter"),
        error(400, "Failed to generate JSON for response_format: not supported", code="json_validate_failed"),
        error(400, "Something else"),
    ],
)
def test_other_refusals_are_not_asked_again(server: ChatServer, refusal: Reply) -> None:
    server.policy = lambda _asked: refusal
    with pytest.raises(ModelError):
        text_of(model_at(server))
    assert len(server.received) == 1


def test_an_endpoint_that_refuses_everything_is_asked_a_bounded_number_of_times(server: ChatServer) -> None:
    names = (
        "max_completion_tokens max_tokens 'temperature' response_format 'n' 'system' role strict 'store' service_tier"
    )
    server.policy = lambda _asked: error(400, f"not supported: {names}", code="unsupported_parameter")
    model = model_at(server)
    with pytest.raises(ModelError):
        text_of(model)
    assert len(server.received) <= 8
    server.policy = lambda _asked: "6"
    text_of(model)
    assert "temperature" in server.received[-1].json, "what did not help is not remembered"
