"""The OpenAI adapter: how it is made, and the loops and threads that it works in."""

import asyncio
import gc
import os
import subprocess
import sys
import threading

import anyio
import openai
import pytest

from divebell.errors import ConfigurationError, ModelError, ModelUnavailableError
from divebell.models import OpenAIChatModel
from divebell.models.openai.base import open_clients
from tests.support.chat_server import KEY, ChatServer, error
from tests.support.openai_calls import complete, model_at, request


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


@pytest.mark.parametrize(
    ("host", "bills"),
    [("mine.openai.azure.com", True), ("mine.services.ai.azure.com", True), ("azure.com.example.org", False)],
)
def test_azure_is_known_by_its_host_because_it_bills_bad_requests(host: str, bills: bool) -> None:
    assert OpenAIChatModel("m", base_url=f"https://{host}/openai/v1", api_key=KEY)._endpoint.bills_refusals is bills


def test_an_unknown_field_for_the_limit() -> None:
    with pytest.raises(ConfigurationError, match="max_tokens_field"):
        OpenAIChatModel("m", api_key=KEY, max_tokens_field="limit")  # type: ignore[arg-type]


def test_a_client_of_the_applications_own_does_not_retry(server: ChatServer) -> None:
    server.policy = lambda _asked: error(500, "down")

    async def run() -> ModelError:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=server.url, max_retries=5) as client:
            with pytest.raises(ModelUnavailableError) as caught:
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


@pytest.mark.slow
def test_one_model_in_several_loops_one_after_another(server: ChatServer) -> None:
    model = model_at(server)
    for runner in (asyncio.run, asyncio.run, lambda work: anyio.run(lambda: work)):
        assert runner(_two_calls(model)) == ["hello", "hello"]
        gc.collect()
    assert server.connections == 3


async def _two_calls(model: OpenAIChatModel) -> list[str]:
    return [(await model.complete(request())).text for _ in range(2)]


@pytest.mark.slow
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


@pytest.mark.slow
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
    assert len(model._pool.get(open_clients, server.url, KEY)._open) == 1


def _python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_importing_divebell_and_making_a_model_does_not_import_openai() -> None:
    code = (
        "import sys, divebell; divebell.OpenAIChatModel('gpt-5-mini'); divebell.RLM('gpt-5-mini')\n"
        "assert not {'openai', 'httpx2', 'pydantic'} & set(sys.modules)"
    )
    done = _python(code, OPENAI_API_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_process_that_ends_after_a_call_says_nothing(server: ChatServer) -> None:
    code = (
        "import asyncio, sys\n"
        "from divebell.models import OpenAIChatModel, ModelRequest\n"
        "model = OpenAIChatModel('m', base_url=sys.argv[1] if len(sys.argv) > 1 else None)\n"
        "request = ModelRequest(messages=[{'role': 'user', 'content': 'x'}], max_output_tokens=9)\n"
        "for _ in range(2): print(asyncio.run(model.complete(request)).text)"
    )
    done = _python(code, OPENAI_API_KEY=KEY, OPENAI_BASE_URL=server.url)
    noise = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]  # dev mode: a slow step
    assert (done.returncode, done.stdout, noise) == (0, "hello\nhello\n", [])
