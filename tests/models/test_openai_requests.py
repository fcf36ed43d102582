"""The OpenAI adapter: what is sent, and how a reply is read."""

import asyncio
import gzip
import json
import re

import httpx2
import openai
import pytest

from divebell.errors import ConfigurationError
from divebell.models import Completion, Model, ModelRequest, OpenAIChatModel, Usage
from tests.support.chat_server import KEY, ChatServer, Reply, error
from tests.support.openai_calls import complete, failure, model_at, request


def test_is_a_model(server: ChatServer) -> None:
    assert isinstance(model_at(server), Model)
    assert model_at(server, "some/name").name == "some/name"


def test_sends_the_request_and_reads_the_reply(server: ChatServer) -> None:
    assert complete(model_at(server)) == Completion(
        text="hello", usage=Usage(input_tokens=3 + 4, output_tokens=2), finish_reason="stop"
    )
    (received,) = server.received
    assert received.path == "/v1/chat/completions"
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.json == {
        "model": "local",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2 + 2?"}],
        "max_completion_tokens": 100,
        "n": 1,
    }


def test_a_call_that_has_a_name_is_sent_under_it_and_another_under_another(server: ChatServer) -> None:
    model = model_at(server)
    for name in ("id/0/turn 1", "id/0/turn 1", "id/0/turn 1, attempt 2", "secret tenant/0/turn 2"):
        complete(model, request(call=name))
    complete(model)
    first, again, retry, other, unnamed = (received.headers.get("idempotency-key") for received in server.received)
    assert first == again
    assert len({first, retry, other}) == 3
    assert other is not None
    assert re.fullmatch(r"divebell-[0-9a-f]{48}", other)
    assert unnamed is None


def test_a_compatible_endpoint_gets_nothing_that_is_openais_own(server: ChatServer) -> None:
    complete(model_at(server), request(tenant="someone", cache_key="context"))
    assert set(server.received[0].json) == {"model", "messages", "max_completion_tokens", "n"}


def test_extra_body_is_sent(server: ChatServer) -> None:
    complete(OpenAIChatModel("m", base_url=server.url, api_key=KEY, extra_body={"reasoning_effort": "low"}))
    assert server.received[0].json["reasoning_effort"] == "low"


@pytest.mark.parametrize("name", ["model", "messages", "n", "max_tokens", "max_completion_tokens", "stream", "tools"])
def test_extra_body_may_not_change_what_the_hold_rests_on(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"extra_body may not set {name}"):
        OpenAIChatModel("m", base_url="http://127.0.0.1", extra_body={name: 1})


def test_lone_surrogates_do_not_stop_a_call(server: ChatServer) -> None:
    complete(model_at(server), request("half \ud83d of a pair, and a whole \N{GRINNING FACE}"))
    assert server.received[0].text == "half ? of a pair, and a whole \N{GRINNING FACE}"


def test_a_redirect_is_not_followed(server: ChatServer) -> None:
    with ChatServer("from elsewhere") as elsewhere:
        server.policy = lambda _request: Reply(status=307, headers={"Location": elsewhere.url + "/chat/completions"})
        assert "redirects (307)" in str(failure(model_at(server)))
        assert not elsewhere.received


class Official:
    """OpenAI's own endpoint, played on a transport of httpx2's, because its name cannot be served here."""

    def __init__(self, **reply: object) -> None:
        self.sent: list[dict[str, object]] = []
        self._reply = {
            "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2},
            **reply,
        }

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append(json.loads(request.content))
        return httpx2.Response(200, json=self._reply)

    def complete(self, asked: ModelRequest) -> Completion:
        async def run() -> Completion:
            transport = httpx2.MockTransport(self)
            async with openai.AsyncOpenAI(api_key=KEY, http_client=httpx2.AsyncClient(transport=transport)) as client:
                return await OpenAIChatModel("gpt-5-mini", client=client).complete(asked)

        return asyncio.run(run())


def test_openai_is_told_the_tier_and_not_to_store() -> None:
    official = Official()
    official.complete(request())
    assert official.sent[0]["service_tier"] == "default"
    assert official.sent[0]["store"] is False
    assert "prompt_cache_key" not in official.sent[0]


def test_openai_gets_the_cache_key_and_a_hash_of_the_tenant() -> None:
    official = Official()
    official.complete(request(tenant="someone@example.org", cache_key="context-1"))
    assert official.sent[0]["prompt_cache_key"] == "context-1"
    tenant = str(official.sent[0]["safety_identifier"])
    assert len(tenant) == 64
    assert "someone" not in tenant
    official.complete(request(tenant="someone@example.org", cache_key="k" * 65))
    assert official.sent[1]["safety_identifier"] == tenant
    assert len(str(official.sent[1]["prompt_cache_key"])) == 64


@pytest.mark.parametrize(("tier", "known"), [("default", True), (None, True), ("priority", False), (7, False)])
def test_another_service_tier_has_another_price_so_its_usage_is_not_believed(tier: object, known: bool) -> None:
    completion = Official(service_tier=tier).complete(request())
    assert completion.text == "hi"
    assert completion.usage is not None
    assert (completion.usage.service_tier == "") is known


NOT_KNOWN = [
    error(400, "Unsupported parameter: 'max_completion_tokens' is not supported with this model."),
    error(400, "Unrecognized request argument supplied: max_completion_tokens"),
    Reply(
        status=422,
        body={"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"], "msg": "Extra inputs"}]},
    ),
]


@pytest.mark.parametrize("refusal", NOT_KNOWN)
def test_an_old_server_gets_max_tokens_and_the_model_remembers(server: ChatServer, refusal: Reply) -> None:
    server.policy = lambda asked: refusal if "max_completion_tokens" in asked else "hello"
    model = model_at(server)
    assert complete(model).text == "hello"
    assert complete(model).text == "hello"
    assert [("max_completion_tokens" in each.json, each.json.get("max_tokens")) for each in server.received] == [
        (True, None),
        (False, 100),
        (False, 100),
    ]


def test_another_complaint_about_the_limit_is_not_answered_by_another_name(server: ChatServer) -> None:
    complaint = "max_completion_tokens is too large: 100. This model supports at most 50 completion tokens."
    server.policy = lambda _asked: error(400, complaint)
    assert "too large: 100" in str(failure(model_at(server)))
    assert len(server.received) == 1


def test_the_fallback_is_tried_once_and_not_remembered_if_it_fails(server: ChatServer) -> None:
    server.policy = lambda _asked: error(400, "unknown field max_completion_tokens")
    model = model_at(server)
    failure(model)
    assert len(server.received) == 2
    server.policy = lambda _asked: "hello"
    complete(model)
    assert "max_completion_tokens" in server.received[2].json


def test_max_tokens_can_be_asked_for(server: ChatServer) -> None:
    complete(OpenAIChatModel("m", base_url=server.url, api_key=KEY, max_tokens_field="max_tokens"))
    assert server.received[0].json["max_tokens"] == 100
    assert "max_completion_tokens" not in server.received[0].json


def test_usage_is_mapped(server: ChatServer) -> None:
    usage = {"prompt_tokens": 50, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 40}}
    server.policy = lambda _asked: Reply(text="x", usage=usage)
    assert complete(model_at(server)).usage == Usage(input_tokens=50, output_tokens=7, cached_input_tokens=40)


@pytest.mark.parametrize("details", [None, {}, {"cached_tokens": None}, "none"])
def test_usage_without_word_of_the_cache(server: ChatServer, details: object) -> None:
    usage = {"prompt_tokens": 50, "completion_tokens": 7, "prompt_tokens_details": details}
    server.policy = lambda _asked: Reply(text="x", usage=usage)
    assert complete(model_at(server)).usage == Usage(input_tokens=50, output_tokens=7)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "many",
        [],
        {},
        {"prompt_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": None},
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": -1},
        {"prompt_tokens": 1.5, "completion_tokens": 1},
        {"prompt_tokens": "5", "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": 10**9 + 1, "completion_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": 10**30},
        {"prompt_tokens": 1, "completion_tokens": float("inf")},
        {"prompt_tokens": float("nan"), "completion_tokens": 1},
        {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 6}},
        {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": -1}},
        {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": "all"}},
    ],
)
def test_usage_that_makes_no_sense_is_none_and_the_reply_counts(server: ChatServer, usage: object) -> None:
    server.policy = lambda _asked: Reply(text="fine", usage=usage)
    assert complete(model_at(server)) == Completion(text="fine", usage=None)


def test_a_reply_at_the_limit_says_so(server: ChatServer) -> None:
    server.policy = lambda _asked: "x" * 1000
    completion = complete(model_at(server))
    assert completion.text == "x" * 400
    assert completion.finish_reason == "length"


def test_no_content_is_an_empty_reply(server: ChatServer) -> None:
    server.policy = lambda _asked: Reply(text=None)
    assert complete(model_at(server)).text == ""


@pytest.mark.parametrize("reason", ["tool_calls", "eos", None, 7])
def test_finish_reasons_of_other_providers_are_a_stop(server: ChatServer, reason: str) -> None:
    server.policy = lambda _asked: Reply(text="x", finish_reason=reason)
    assert complete(model_at(server)).finish_reason == "stop"


def test_content_in_parts_is_joined_without_the_thinking(server: ChatServer) -> None:
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}, 7]
    server.policy = lambda _asked: Reply(message={"content": parts})
    assert complete(model_at(server)).text == "ab"


@pytest.mark.parametrize("part", ["[],", '"",', "1,", "{},"])
def test_a_reply_made_to_fill_memory_is_not_parsed(server: ChatServer, part: str) -> None:
    """JSON of empty lists takes twenty times its bytes once it is made."""
    body = '{"x": [' + part * 1_100_000 + "0]}"
    server.policy = lambda _asked: Reply(body=body)
    assert "more than 1,000,000 parts of JSON" in str(failure(model_at(server)))


def test_a_long_reply_full_of_what_looks_like_json_is_read(server: ChatServer) -> None:
    """The guard against JSON bombs counts what is outside of texts, whatever escapes are inside."""
    text = ',[{"' + "\\" + '\n"' + "\\\\"
    server.policy = lambda _asked: Reply(message={"content": text * 500_000})
    assert complete(model_at(server)).text == text * 500_000


def test_lone_surrogates_in_a_reply_are_replaced(server: ChatServer) -> None:
    server.policy = lambda _asked: Reply(message={"content": "half \ud83d of a pair"})
    assert complete(model_at(server)).text == "half ? of a pair"


def test_a_compressed_reply_is_read(server: ChatServer) -> None:
    body = gzip.compress(json.dumps({"choices": [{"message": {"content": "packed"}}]}).encode())
    server.policy = lambda _asked: Reply(body=body, headers={"Content-Encoding": "gzip"})
    assert complete(model_at(server)) == Completion(text="packed", usage=None)


def test_a_reply_is_read_whatever_its_content_type(server: ChatServer) -> None:
    server.policy = lambda _asked: Reply(text="plain", headers={"Content-Type": "text/plain"})
    assert complete(model_at(server)).text == "plain"


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(text=None, message={"refusal": "I will not."}), "'local' refused to answer: I will not."),
        (Reply(text=None, finish_reason="content_filter"), "the content filter"),
        (Reply(message={"content": {"text": "x"}}), "replied with a dict where text belongs"),
        (Reply(message={"content": 7}), "replied with a int where text belongs"),
        (Reply(body={}), "without a choice"),
        (Reply(body={"choices": []}), "without a choice"),
        (Reply(body={"choices": None}), "without a choice"),
        (Reply(body={"choices": {}}), "without a choice"),
        (Reply(body={"choices": ["text"]}), "without a choice"),
        (Reply(body={"choices": [{"message": "text"}]}), "without a choice"),
        (Reply(body={"choices": [{"text": "an older API"}]}), "without a choice"),
        (Reply(body={"error": {"message": "Overloaded", "code": 503}}), "is failing (503): Overloaded"),
        (Reply(body={"error": {"message": "No", "code": "no"}}), "refused the request (200): No"),
        (Reply(body="[]"), "not a JSON object"),
        (Reply(body=""), "not a JSON object"),
        (Reply(body='{"choices": [{"mess'), "not a JSON object"),
        (Reply(body=b"\xff\xfe\xff"), "not a JSON object"),
        (Reply(body="[" * 100_000), "not a JSON object"),
        (Reply(body='{"n": ' + "9" * 10_000 + "}"), "not a JSON object"),
        (Reply(body="<html>Log in</html>", headers={"Content-Type": "text/html"}), "not a JSON object"),
        (Reply(body=b"not gzip", headers={"Content-Encoding": "gzip"}), "cannot be read"),
    ],
)
def test_replies_that_are_none(server: ChatServer, reply: Reply, says: str) -> None:
    server.policy = lambda _asked: reply
    assert says in str(failure(model_at(server)))


def test_an_endless_reply_is_not_kept(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("divebell.models.openai.client.MAX_BODY_BYTES", 100_000)
    server.policy = lambda _asked: Reply(body=b" " * 200_000)
    assert "longer than 100,000 bytes" in str(failure(model_at(server)))


def test_a_small_body_cannot_become_a_large_one(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("divebell.models.openai.client.MAX_BODY_BYTES", 100_000)
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 100_000
    server.policy = lambda _asked: Reply(body=bomb, headers={"Content-Encoding": "gzip"})
    assert "longer than 100,000 bytes" in str(failure(model_at(server)))


def test_a_reply_over_the_bound_of_characters(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("divebell.models.openai.reply.MAX_REPLY_CHARACTERS", 10)
    server.policy = lambda _asked: "x" * 11
    assert "replied with 11 characters, at most 10" in str(failure(model_at(server)))
