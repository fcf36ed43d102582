"""The OpenAI adapter: refusals and failures, and that the key stays secret."""

import asyncio
import contextlib
import logging
import socket

import anyio
import httpx2
import openai
import pytest

from divebell.errors import ContextTooLongError, ModelError, ModelRefusedError, ModelUnavailableError
from divebell.models import OpenAIChatModel
from divebell.models.endpoints.endpoint import MAX_PROVIDER_CHARACTERS, Endpoint
from divebell.models.openai.client import MAX_ERROR_BYTES
from divebell.models.openai.errors import EXPLAINED, translate
from tests.support.chat_server import KEY, ChatServer, Reply, error
from tests.support.openai_calls import complete, failure, model_at, request

STATUSES = [
    (400, ModelRefusedError, "'local' refused the request (400): because"),
    (401, ModelRefusedError, "the endpoint refused the key (401 from "),
    (403, ModelRefusedError, "the endpoint refused the key for 'local' (403 from "),
    (404, ModelRefusedError, "the endpoint does not know the model 'local' (404): because"),
    (405, ModelRefusedError, "refused the request (405)"),
    (408, ModelUnavailableError, "gave up waiting (408)"),
    (409, ModelRefusedError, "refused the request (409)"),
    (413, ContextTooLongError, "the prompt is longer than 'local' can read (413)"),
    (418, ModelRefusedError, "refused the request (418)"),
    (422, ModelRefusedError, "refused the request (422)"),
    (429, ModelRefusedError, "too many requests for 'local' (429): because"),
    (500, ModelUnavailableError, "is failing (500): because"),
    (502, ModelUnavailableError, "is failing (502)"),
    (503, ModelUnavailableError, "is failing (503)"),
    (504, ModelUnavailableError, "is failing (504)"),
    (599, ModelUnavailableError, "is failing (599)"),
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
    if isinstance(told, ModelRefusedError):
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
    assert type(told) is ModelUnavailableError
    assert str(told).startswith(f"cannot reach {url}: the connection was refused")


def test_an_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_arguments: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    told = failure(OpenAIChatModel("m", base_url="http://nowhere.invalid/v1"))
    assert type(told) is ModelUnavailableError
    assert str(told).startswith("cannot reach http://nowhere.invalid/v1: its host name is not known")


def test_https_to_a_server_that_speaks_http(server: ChatServer) -> None:
    told = failure(OpenAIChatModel("m", base_url=server.url.replace("http://", "https://")))
    assert type(told) is ModelUnavailableError
    assert "check whether base_url is http or https" in str(told)


def test_the_server_hangs_up(server: ChatServer) -> None:
    server.policy = lambda _asked: Reply(hang_up=True)
    told = failure(model_at(server))
    assert type(told) is ModelUnavailableError
    assert "the connection broke" in str(told)


@pytest.mark.parametrize("status", [200, 500])
def test_the_body_is_cut_off(server: ChatServer, status: int) -> None:
    server.policy = lambda _asked: Reply(text="a longer text", status=status, cut_off=True)
    assert type(failure(model_at(server))) is ModelUnavailableError


@pytest.mark.slow
def test_a_timeout(server: ChatServer) -> None:
    server.policy = lambda _asked: Reply(text="late", delay_seconds=600)
    told = failure(model_at(server), request(seconds=3))
    assert type(told) is ModelUnavailableError
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
    told = translate(made, Endpoint("m", "http://127.0.0.1/v1", official=False, key=KEY))
    assert isinstance(told, ModelError)
    assert told.model == "m"
    assert KEY not in str(told)
    assert str(told).isprintable()


def test_an_unforeseen_error_of_the_client_is_a_model_error(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_arguments: object) -> bytes:
        raise ZeroDivisionError(KEY)

    monkeypatch.setattr("divebell.models.openai.client.post", broken)
    assert str(failure(model_at(server))) == "the call of 'local' failed (ZeroDivisionError)"


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
    assert isinstance(told, ModelRefusedError)
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
