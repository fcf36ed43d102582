"""The adapter for the Responses API: what it sends, and what it reads. Its failures are in test_openai_charges.py."""

import asyncio
import json
from typing import Any

import httpx2
import openai
import pytest

from divebell.errors import ModelError
from divebell.models import Completion, Message, Model, ModelRequest, OpenAIResponsesModel, Usage
from tests.support.chat_server import KEY, ChatServer, Reply, error


def request(*messages: Message, **metadata: str) -> ModelRequest:
    asked: tuple[Message, ...] = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"})
    return ModelRequest(messages=messages or asked, max_output_tokens=100, timeout_seconds=20, metadata=metadata)


def model_at(server: ChatServer, **options: Any) -> OpenAIResponsesModel:
    return OpenAIResponsesModel("local", base_url=server.url, api_key=server.key, **options)


def complete(server: ChatServer, asked: ModelRequest | None = None) -> Completion:
    return asyncio.run(model_at(server).complete(asked or request()))


def test_is_a_model(server: ChatServer) -> None:
    assert isinstance(model_at(server), Model)
    assert repr(model_at(server)) == f"OpenAIResponsesModel('local', base_url={server.url!r})"


def test_sends_the_request_and_reads_the_reply(server: ChatServer) -> None:
    assert complete(server) == Completion(text="hello", usage=Usage(input_tokens=3 + 2, output_tokens=2))
    (received,) = server.received
    assert received.path == "/v1/responses"
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.json == {
        "model": "local",
        "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}],
        "max_output_tokens": 100,
        "store": False,
    }


def test_a_history_that_grows_keeps_its_beginning(server: ChatServer) -> None:
    """What the provider's prefix cache needs: also where a system message comes later, as a last reminder does."""
    history: list[Message] = [{"role": "system", "content": "rules"}, {"role": "user", "content": "question"}]
    complete(server, request(*history))
    history += [{"role": "assistant", "content": "thought"}, {"role": "system", "content": "two turns left"}]
    complete(server, request(*history))
    first, second = (each.json["input"] for each in server.received)
    assert second[: len(first)] == first
    assert [each["role"] for each in second] == ["system", "user", "assistant", "system"]
    assert all("instructions" not in each.json for each in server.received)


def test_a_reply_at_the_limit_says_so(server: ChatServer) -> None:
    server.policy = lambda _asked: "x" * 1000
    completion = complete(server)
    assert (completion.text, completion.finish_reason) == ("x" * 400, "length")


def test_reasoning_that_takes_the_whole_limit_leaves_an_empty_reply(server: ChatServer) -> None:
    more = {
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "output": [{"type": "reasoning"}],
    }
    usage = {"input_tokens": 5, "output_tokens": 100, "output_tokens_details": {"reasoning_tokens": 100}}
    server.policy = lambda _asked: Reply(more=more, usage=usage)
    expected = Completion(text="", usage=Usage(input_tokens=5, output_tokens=100), finish_reason="length")
    assert complete(server) == expected


def test_the_text_is_all_text_and_no_thinking(server: ChatServer) -> None:
    output = [
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": 7}, 7]},
        {"type": "message", "content": "not parts"},
        {
            "type": "message",
            "content": [{"type": "output_text", "text": "b \ud83d"}, {"type": "refusal", "refusal": "c"}],
        },
        "no item",
    ]
    server.policy = lambda _asked: Reply(more={"output": output})
    assert complete(server).text == "ab ?"


def test_a_compatible_server_may_leave_the_status_out(server: ChatServer) -> None:
    server.policy = lambda _asked: Reply(text="fine", more={"status": None})
    assert complete(server).text == "fine"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"output": [{"type": "message", "content": [{"type": "refusal", "refusal": f"No {KEY}."}]}]}, "refused to answer: No [key]."),
        ({"status": "failed", "error": {"code": "server_error", "message": f"{KEY} broke"}}, "is failing (500): [key] broke"),
        ({"status": f"queued {KEY}"}, "left the reply unfinished (queued [key])"),
        ({"output": {}}, "replied without an output"),
    ],
)  # fmt: skip
def test_replies_that_are_none_say_why_without_the_key(server: ChatServer, more: dict[str, Any], says: str) -> None:
    server.policy = lambda _asked: Reply(text="x", more=more)
    with pytest.raises(ModelError) as caught:
        complete(server)
    assert says in str(caught.value)
    assert KEY not in str(caught.value)


def test_it_does_not_try_another_name_for_the_limit(server: ChatServer) -> None:
    server.policy = lambda _asked: error(400, "Unknown parameter: 'max_output_tokens'")
    with pytest.raises(ModelError, match="max_output_tokens"):
        complete(server)
    assert len(server.received) == 1


def test_openai_is_told_the_tier_and_gets_the_cache_key_and_a_hash_of_the_tenant() -> None:
    sent: list[dict[str, Any]] = []

    def answer(asked: httpx2.Request) -> httpx2.Response:
        assert asked.url.path == "/v1/responses"
        sent.append(json.loads(asked.content))
        part = {"type": "output_text", "text": "hi"}
        usage = {"input_tokens": 5, "output_tokens": 2}
        output = [{"type": "message", "content": [part]}]
        return httpx2.Response(200, json={"output": output, "usage": usage, "service_tier": sent[-1]["service_tier"]})

    async def run() -> Completion:
        transport = httpx2.MockTransport(answer)
        async with openai.AsyncOpenAI(api_key=KEY, http_client=httpx2.AsyncClient(transport=transport)) as client:
            model = OpenAIResponsesModel("gpt-5-mini", client=client)
            return await model.complete(request(tenant="someone@example.org", cache_key="context-1"))

    assert asyncio.run(run()).usage == Usage(input_tokens=5, output_tokens=2)
    (body,) = sent
    assert (body["service_tier"], body["store"], body["prompt_cache_key"]) == ("default", False, "context-1")
    assert len(body["safety_identifier"]) == 64
    assert "someone" not in body["safety_identifier"]
