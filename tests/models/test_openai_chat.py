"""OpenAIChatModel: the real openai client against a real local server, well behaved and not."""

import asyncio
import contextlib
import gc
import gzip
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator

import anyio
import httpx2
import openai
import pytest

from divebell.errors import ConfigurationError, ModelError, ModelRefused, ModelUnavailable
from divebell.models import Completion, Model, OpenAIChatModel, Request, Usage
from divebell.models.openai_client import MAX_ERROR_BYTES
from divebell.models.openai_errors import EXPLAINED, MAX_PROVIDER_CHARACTERS, Where, translate
from tests.support.chat_server import KEY, ChatServer, Reply, error

# What would lead the client elsewhere. Proxies too: they would be asked for 127.0.0.1.
_ENVIRONMENT = (
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "all_proxy",
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer("hello") as running:
        yield running


def request(text: str = "What is 2 + 2?", *, seconds: float = 20, **metadata: str) -> Request:
    return Request(
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}],
        max_output_tokens=100,
        timeout_seconds=seconds,
        metadata=metadata,
    )


def model_at(server: ChatServer, name: str = "local") -> OpenAIChatModel:
    return OpenAIChatModel(name, base_url=server.url, api_key=server.key)


def complete(model: OpenAIChatModel, asked: Request | None = None) -> Completion:
    return asyncio.run(model.complete(asked or request()))


def failure(model: OpenAIChatModel, asked: Request | None = None) -> ModelError:
    """The error of a call that fails, which must be one clean sentence without the key, wherever one looks."""
    with pytest.raises(ModelError) as caught:
        complete(model, asked)
    error = caught.value
    told = str(error)
    assert told
    assert told.isprintable()
    assert error.model == model.name
    assert error.__cause__ is None
    assert error.__context__ is None
    everything = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)) + repr(model)
    assert KEY not in everything
    return error


# --- What is sent


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

    def complete(self, asked: Request) -> Completion:
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
    assert (completion.usage is not None) is known


# --- The output limit's name

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


# --- Usage


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


# --- The reply


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
    monkeypatch.setattr("divebell.models.openai_client.MAX_BODY_BYTES", 100_000)
    server.policy = lambda _asked: Reply(body=b" " * 200_000)
    assert "longer than 100,000 bytes" in str(failure(model_at(server)))


def test_a_small_body_cannot_become_a_large_one(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("divebell.models.openai_client.MAX_BODY_BYTES", 100_000)
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 100_000
    server.policy = lambda _asked: Reply(body=bomb, headers={"Content-Encoding": "gzip"})
    assert "longer than 100,000 bytes" in str(failure(model_at(server)))


def test_a_reply_over_the_bound_of_characters(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("divebell.models.openai_reply.MAX_REPLY_CHARACTERS", 10)
    server.policy = lambda _asked: "x" * 11
    assert "replied with 11 characters, at most 10" in str(failure(model_at(server)))


# --- Refusals and failures

STATUSES = [
    (400, ModelRefused, "'local' refused the request (400): because"),
    (401, ModelRefused, "the endpoint refused the key (401 from "),
    (403, ModelRefused, "the endpoint refused the key for 'local' (403 from "),
    (404, ModelRefused, "the endpoint does not know the model 'local' (404): because"),
    (405, ModelRefused, "refused the request (405)"),
    (408, ModelUnavailable, "gave up waiting (408)"),
    (409, ModelRefused, "refused the request (409)"),
    (413, ModelRefused, "the prompt is longer than 'local' can read (413)"),
    (418, ModelRefused, "refused the request (418)"),
    (422, ModelRefused, "refused the request (422)"),
    (429, ModelRefused, "too many requests for 'local' (429): because"),
    (500, ModelUnavailable, "is failing (500): because"),
    (502, ModelUnavailable, "is failing (502)"),
    (503, ModelUnavailable, "is failing (503)"),
    (504, ModelUnavailable, "is failing (504)"),
    (599, ModelUnavailable, "is failing (599)"),
]


@pytest.mark.parametrize(("status", "kind", "says"), STATUSES)
def test_every_status_is_one_sentence_and_one_request(
    server: ChatServer, status: int, kind: type[ModelError], says: str
) -> None:
    server.policy = lambda _asked: error(status, "because")
    told = failure(model_at(server))
    assert type(told) is kind
    assert says in str(told)
    assert len(server.received) == 1
    if isinstance(told, ModelRefused):
        assert told.status == status


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (error(429, "You exceeded your quota.", code="insufficient_quota"), "the account's quota is used up (429)"),
        (error(429, "Slow down", headers={"Retry-After": "7"}), "the provider says to wait 7 s"),
        (error(429, "Slow down", headers={"Retry-After": "nan"}), "make fewer calls at once"),
        (error(400, "Maximum is 8192.", code="context_length_exceeded"), "the prompt is longer than 'local' can read"),
        (Reply(status=500, body="Internal Server Error"), "(500): Internal Server Error"),
        (Reply(status=502, body="<html><h1>Bad</h1></html>"), "(502); try again later"),
        (Reply(status=400, body={"detail": [{"msg": "no such thing"}]}), "(400): no such thing"),
        (Reply(status=400, body='"a string"'), "(400): a string"),
        (Reply(status=400, body=""), "(400)"),
        (Reply(status=400, body={"error": {"message": ["not", "text"]}}), "(400)"),
        (Reply(status=400, body="[" * 50_000), "(400)"),
    ],
)
def test_what_providers_say_is_understood(server: ChatServer, reply: Reply, says: str) -> None:
    server.policy = lambda _asked: reply
    assert says in str(failure(model_at(server)))


def test_a_provider_cannot_write_a_novel_or_steer_the_terminal(server: ChatServer) -> None:
    server.policy = lambda _asked: error(400, "\x1b[2J\r\n\u202e\u2028" + "words and words " * 10_000)
    told = str(failure(model_at(server)))
    assert len(told) < MAX_PROVIDER_CHARACTERS + 100


def test_an_endless_error_is_read_up_to_a_bound(server: ChatServer) -> None:
    server.policy = lambda _asked: Reply(status=503, body=b"x" * (MAX_ERROR_BYTES * 20))
    model = model_at(server)
    assert "(503): xxx" in str(failure(model))
    server.policy = lambda _asked: "well again"
    assert complete(model).text == "well again"


def test_connection_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        told = failure(OpenAIChatModel("m", base_url=url))
    assert type(told) is ModelUnavailable
    assert str(told).startswith(f"cannot reach {url}: the connection was refused")


def test_an_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_arguments: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    told = failure(OpenAIChatModel("m", base_url="http://nowhere.invalid/v1"))
    assert type(told) is ModelUnavailable
    assert str(told).startswith("cannot reach http://nowhere.invalid/v1: its host name is not known")


def test_https_to_a_server_that_speaks_http(server: ChatServer) -> None:
    told = failure(OpenAIChatModel("m", base_url=server.url.replace("http://", "https://")))
    assert type(told) is ModelUnavailable
    assert "check whether base_url is http or https" in str(told)


def test_the_server_hangs_up(server: ChatServer) -> None:
    server.policy = lambda _asked: Reply(hang_up=True)
    told = failure(model_at(server))
    assert type(told) is ModelUnavailable
    assert "the connection broke" in str(told)


@pytest.mark.parametrize("status", [200, 500])
def test_the_body_is_cut_off(server: ChatServer, status: int) -> None:
    server.policy = lambda _asked: Reply(text="a longer text", status=status, cut_off=True)
    assert type(failure(model_at(server))) is ModelUnavailable


def test_a_timeout(server: ChatServer) -> None:
    server.policy = lambda _asked: Reply(text="late", delay_seconds=30)
    began = time.monotonic()
    told = failure(model_at(server), request(seconds=0.3))
    assert time.monotonic() - began < 5
    assert type(told) is ModelUnavailable
    assert "did not answer in time" in str(told)
    assert len(server.received) == 1


def test_a_call_can_be_cancelled_and_the_model_goes_on(server: ChatServer) -> None:
    server.policy = lambda _asked: Reply(text="late", delay_seconds=30)
    model = model_at(server)

    async def run() -> str:
        with anyio.move_on_after(0.3) as scope:
            await model.complete(request())
        assert scope.cancelled_caught
        server.policy = lambda _asked: "in time"
        return (await model.complete(request())).text

    assert asyncio.run(run()) == "in time"


# --- Every exception of the libraries underneath


def _exceptions(module: object) -> list[type[Exception]]:
    found = (getattr(module, name) for name in dir(module) if not name.startswith("_"))
    return [each for each in found if isinstance(each, type) and issubclass(each, Exception)]


@pytest.mark.parametrize("kind", [*_exceptions(openai), *_exceptions(httpx2)], ids=lambda kind: kind.__name__)
def test_every_public_exception_of_openai_and_httpx2_is_explained(kind: type[Exception]) -> None:
    if issubclass(kind, Warning):
        return
    assert kind.__name__ in EXPLAINED
    sent = httpx2.Request("POST", "http://127.0.0.1/v1", headers={"Authorization": f"Bearer {KEY}"})
    answer = httpx2.Response(418, request=sent, text=KEY)
    made = kind.__new__(kind)
    for name, value in {"request": sent, "response": answer, "status_code": 418, "body": KEY}.items():
        with contextlib.suppress(AttributeError, TypeError):
            setattr(made, name, value)
    made.args = (f"it broke: {KEY}",)
    told = translate(made, Where("m", "http://127.0.0.1/v1", official=False, key=KEY))
    assert isinstance(told, ModelError)
    assert told.model == "m"
    assert KEY not in str(told)
    assert str(told).isprintable()


def test_an_unforeseen_error_of_the_client_is_a_model_error(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_arguments: object) -> bytes:
        raise ZeroDivisionError(KEY)

    monkeypatch.setattr("divebell.models.openai_client.post", broken)
    assert str(failure(model_at(server))) == "the call of 'local' failed (ZeroDivisionError)"


# --- The key


@pytest.mark.parametrize(
    "reply",
    [
        *(error(status, f"the key {KEY} is bad") for status in (400, 401, 403, 404, 429, 500)),
        error(400, KEY * 1000),
        error(400, "x" * (MAX_PROVIDER_CHARACTERS - 10) + KEY),
        error(400, "x" * 65_520 + KEY),
        error(400, f"Incorrect API key provided: {KEY[:8]}****{KEY[-4:]}."),
        Reply(status=400, body=KEY),
        Reply(body=KEY),
        Reply(body={"error": {"message": KEY}}),
        Reply(text=None, message={"refusal": f"I will not use {KEY}"}),
    ],
)
def test_the_key_is_not_in_what_a_provider_that_echoes_it_makes_us_say(server: ChatServer, reply: Reply) -> None:
    server.policy = lambda _asked: reply
    told = str(failure(model_at(server)))
    assert KEY not in told
    assert KEY[:8] not in told
    assert KEY[-4:] not in told


def test_a_wrong_key(server: ChatServer) -> None:
    told = failure(OpenAIChatModel("local", base_url=server.url, api_key="sk-wrong-0123456789"))
    assert isinstance(told, ModelRefused)
    assert told.status == 401
    assert "sk-wrong" not in str(told)


def test_the_key_is_not_logged(server: ChatServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        complete(model_at(server))
        server.policy = lambda _asked: error(500, KEY)
        failure(model_at(server))
    assert KEY not in caplog.text


def test_the_key_is_not_in_a_representation(server: ChatServer) -> None:
    model = model_at(server)
    complete(model)
    assert repr(model) == f"OpenAIChatModel('local', base_url={server.url!r})"
    assert KEY not in repr(vars(model))


def test_a_secret_in_a_urls_query_is_not_shown() -> None:
    model = OpenAIChatModel("m", base_url="http://127.0.0.1:1/v1?token=hunter2")
    assert "hunter2" not in repr(model) + str(failure(model))


# --- Construction


def test_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = "no API key: set OPENAI_API_KEY, or name an endpoint that needs none with base_url"
    for key in ("", " \n"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(ConfigurationError) as caught:
            OpenAIChatModel("gpt-5-mini")
        assert str(caught.value) == sentence


def test_the_key_comes_from_the_environment_without_its_line_break(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY + "\n")
    assert complete(OpenAIChatModel("m", base_url=server.url)).text == "hello"


def test_the_url_comes_from_the_environment(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    assert complete(OpenAIChatModel("m", api_key=KEY)).text == "hello"


def test_an_endpoint_may_need_no_key(server: ChatServer) -> None:
    server.key = None
    assert complete(OpenAIChatModel("m", base_url=server.url)).text == "hello"
    assert server.received[0].headers["authorization"] == "Bearer none"


@pytest.mark.parametrize("key", ["sk-two parts", "sk-line\nbreak", "sk-ünicode", "sk-nul\0"])
def test_a_key_that_fits_into_no_header(key: str) -> None:
    with pytest.raises(ConfigurationError, match="the API key holds") as caught:
        OpenAIChatModel("m", api_key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "/v1",
        "ftp://host/v1",
        "http://",
        "http://host:99999",
        "http://host:x",
        "http://[::1",
        "ws://h",
    ],
)
def test_a_base_url_that_is_none(url: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        OpenAIChatModel("m", base_url=url)


def test_a_password_in_the_url_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        OpenAIChatModel("m", base_url="http://me:hunter2@127.0.0.1/v1")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "  ", None, 7])
def test_a_model_needs_a_name(name: str) -> None:
    with pytest.raises(ConfigurationError, match="name"):
        OpenAIChatModel(name, api_key=KEY)


def test_an_unknown_field_for_the_limit() -> None:
    with pytest.raises(ConfigurationError, match="max_tokens_field"):
        OpenAIChatModel("m", api_key=KEY, max_tokens_field="limit")  # type: ignore[arg-type]


def test_a_client_of_the_applications_own_does_not_retry(server: ChatServer) -> None:
    server.policy = lambda _asked: error(500, "down")

    async def run() -> ModelError:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=server.url, max_retries=5) as client:
            with pytest.raises(ModelUnavailable) as caught:
                await OpenAIChatModel("m", client=client).complete(request())
            server.policy = lambda _asked: "up"
            assert (await OpenAIChatModel("m", client=client).complete(request())).text == "up"
        return caught.value

    assert KEY not in str(asyncio.run(run()))
    assert len(server.received) == 2


def test_a_client_excludes_a_key_and_a_url() -> None:
    client = openai.AsyncOpenAI(api_key=KEY)
    with pytest.raises(ConfigurationError, match="leave out api_key and base_url"):
        OpenAIChatModel("m", client=client, api_key=KEY)
    asyncio.run(client.close())


# --- Loops and threads. Warnings are errors, so an unclosed connection fails these.


def test_one_model_in_several_loops_one_after_another(server: ChatServer) -> None:
    model = model_at(server)
    for runner in (asyncio.run, asyncio.run, lambda work: anyio.run(lambda: work)):
        assert runner(_two_calls(model)) == ["hello", "hello"]
        gc.collect()
    assert server.connections == 3


async def _two_calls(model: OpenAIChatModel) -> list[str]:
    return [(await model.complete(request())).text for _ in range(2)]


def test_one_model_in_several_threads(server: ChatServer) -> None:
    model = model_at(server)
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(complete(model).text)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == ["hello"] * 8
    gc.collect()


def test_many_calls_at_once(server: ChatServer) -> None:
    model = model_at(server)

    async def run() -> set[str]:
        return {each.text for each in await asyncio.gather(*(model.complete(request()) for _ in range(50)))}

    assert asyncio.run(run()) == {"hello"}


def test_a_connection_that_the_server_closed_meanwhile(server: ChatServer) -> None:
    model = model_at(server)

    async def run() -> str:
        await model.complete(request())
        server.hang_up()
        return (await model.complete(request())).text

    assert asyncio.run(run()) == "hello"
    assert server.connections == 2


def test_a_model_that_is_dropped_closes_its_connections(server: ChatServer) -> None:
    async def run() -> None:
        for _ in range(3):
            await model_at(server).complete(request())
        gc.collect()
        with anyio.fail_after(5):
            while server.open:
                await anyio.sleep(0.01)

    asyncio.run(run())


def test_old_loops_are_forgotten(server: ChatServer) -> None:
    model = model_at(server)
    for _ in range(5):
        complete(model)
    assert model._clients is not None
    assert len(model._clients._open) == 1


def _python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_importing_divebell_and_making_a_model_does_not_import_openai() -> None:
    code = (
        "import sys, divebell; divebell.OpenAIChatModel('gpt-5-mini'); divebell.RLM('gpt-5-mini')\n"
        "assert not {'openai', 'httpx2', 'pydantic'} & set(sys.modules)"
    )
    done = _python(code, OPENAI_API_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_process_that_ends_after_a_call_says_nothing(server: ChatServer) -> None:
    code = (
        "import asyncio, sys\n"
        "from divebell.models import OpenAIChatModel, Request\n"
        "model = OpenAIChatModel('m', base_url=sys.argv[1] if len(sys.argv) > 1 else None)\n"
        "request = Request(messages=[{'role': 'user', 'content': 'x'}], max_output_tokens=9)\n"
        "for _ in range(2): print(asyncio.run(model.complete(request)).text)"
    )
    done = _python(code, OPENAI_API_KEY=KEY, OPENAI_BASE_URL=server.url)
    noise = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]  # dev mode: a slow step
    assert (done.returncode, done.stdout, noise) == (0, "hello\nhello\n", [])
