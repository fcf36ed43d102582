"""HTTP clients are shared by engine: one for each endpoint, key and event loop; closed with the engine, and at the end of
a loop, without a warning."""

import asyncio
import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from divebell import RLM, Budget, ConfigurationError, Engine, ModelError, ModelRequest, OpenAIChatModel, Retries
from divebell.models.client_pool import MAX_ENDPOINTS, ClientPool
from divebell.models.openai.base import open_clients
from tests.support.chat_server import KEY, ChatServer, Reply, error


def request() -> ModelRequest:
    return ModelRequest(
        messages=[{"role": "user", "content": "What is 2 + 2?"}], max_output_tokens=100, timeout_seconds=20
    )


def test_an_rlm_for_each_request_uses_one_connection() -> None:
    async def main(url: str) -> None:
        async with Engine() as engine:
            for _ in range(5):
                rlm = engine.rlm("local", base_url=url, api_key=KEY)
                assert (await rlm.arun("a context", "what?")).answer == "4"
            assert len(engine.clients.get(open_clients, url, KEY)._open) == 1

    with ChatServer("FINAL(4)") as server:
        asyncio.run(main(server.url))
        assert len(server.received) == 5
        assert server.connections == 1


def test_another_key_or_endpoint_has_another_client() -> None:
    pool = ClientPool()
    first = pool.get(open_clients, "http://127.0.0.1:1/v1", "one-key")
    assert pool.get(open_clients, "http://127.0.0.1:1/v1", "one-key") is first
    assert pool.get(open_clients, "http://127.0.0.1:1/v1", "two-key") is not first
    assert pool.get(open_clients, "http://127.0.0.1:2/v1", "one-key") is not first
    assert "one-key" not in repr(pool) + repr(vars(pool)["_lock"])


def test_a_pool_is_bounded_and_keeps_what_is_used() -> None:
    pool = ClientPool()
    used = pool.get(open_clients, "http://127.0.0.1:1/v1", "used")
    for number in range(MAX_ENDPOINTS + 5):
        pool.get(open_clients, "http://127.0.0.1:1/v1", f"key {number}")
        assert pool.get(open_clients, "http://127.0.0.1:1/v1", "used") is used
    assert len(pool._endpoints) == MAX_ENDPOINTS


def test_several_loops_at_once_have_a_client_each() -> None:
    def run(model: OpenAIChatModel, texts: list[str]) -> None:
        texts.append(asyncio.run(model.complete(request())).text)

    with ChatServer(lambda _asked: Reply(text="4", delay_seconds=0.2)) as server:
        pool = ClientPool()
        texts: list[str] = []
        models = [OpenAIChatModel("m", base_url=server.url, api_key=KEY, clients=pool) for _ in range(4)]
        threads = [threading.Thread(target=run, args=(model, texts)) for model in models]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert texts == ["4"] * 4


def test_a_closed_engine_closes_the_clients_of_this_loop_and_of_others() -> None:
    with ChatServer("4") as server:
        engine = Engine()
        model = OpenAIChatModel("m", base_url=server.url, api_key=KEY, clients=engine.clients)
        called, over = threading.Event(), threading.Event()
        closed: list[bool] = []

        def elsewhere() -> None:
            async def main() -> None:
                await model.complete(request())
                client = await engine.clients.get(open_clients, server.url, KEY).current()
                called.set()
                while not over.is_set():
                    await asyncio.sleep(0.01)
                closed.append(client.is_closed())

            asyncio.run(main())

        async def here() -> None:
            await model.complete(request())
            client = await engine.clients.get(open_clients, server.url, KEY).current()
            assert not client.is_closed()
            await engine.aclose()
            closed.append(client.is_closed())
            over.set()

        thread = threading.Thread(target=elsewhere)
        thread.start()
        assert called.wait(300)
        asyncio.run(here())
        thread.join()
    assert closed == [True, True]


def test_an_engine_may_be_closed_outside_of_a_loop_and_twice() -> None:
    with ChatServer("FINAL(4)") as server, Engine() as engine:
        assert engine.rlm("local", base_url=server.url, api_key=KEY).run("a context", "what?").answer == "4"
        engine.close()


QUIET = """
import asyncio, gc, sys, warnings
from divebell import Engine

async def main(url, key):
    for _ in range(3):
        async with Engine() as engine:
            rlm = engine.rlm("local", base_url=url, api_key=key)
            assert (await rlm.arun("a context", "what?")).answer == "4"

url, key = sys.argv[1:]
asyncio.run(main(url, key))
engine = Engine()
for _ in range(3):
    assert engine.rlm("local", base_url=url, api_key=key).run("a context", "what?").answer == "4"
    gc.collect()
engine.close()
"""


@pytest.mark.slow
def test_no_connection_is_left_open() -> None:
    with ChatServer("FINAL(4)") as server:
        command = [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c", QUIET, server.url, KEY]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, env={**os.environ, "OPENAI_API_KEY": ""}
        )
    assert done.returncode == 0, done.stderr
    for word in ("ResourceWarning", "unclosed", "never awaited", "was destroyed"):
        assert word not in done.stderr


@pytest.mark.parametrize(("attempts", "requests"), [(1, 1), (3, 3)])
def test_how_often_a_call_is_tried_is_a_setting(attempts: int, requests: int) -> None:
    with ChatServer(lambda _asked: error(503, "busy")) as server:
        retries = Retries(attempts=attempts, first_seconds=0.001)
        rlm = RLM("local", base_url=server.url, api_key=KEY, retries=retries, budget=Budget(calls=100))
        with pytest.raises(ModelError, match="503"):
            rlm.run("a context", "what?")
        assert len(server.received) == requests


def test_how_long_a_call_may_take_is_a_setting() -> None:
    with ChatServer(lambda _asked: Reply(text="FINAL(4)", delay_seconds=30)) as server:
        rlm = RLM("local", base_url=server.url, api_key=KEY, call_seconds=0.3)
        with pytest.raises(ModelError, match="did not answer in time"):
            rlm.run("a context", "what?")


@pytest.mark.parametrize(
    "wrong",
    [{"attempts": 0}, {"attempts": True}, {"first_seconds": -1}, {"max_seconds": float("nan")}, {"attempts": "4"}],
)
def test_retries_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="Retries"):
        Retries(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"retries": 3}, {"call_seconds": 0}, {"call_seconds": float("inf")}, {"call_seconds": None}]
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RLM("local", base_url="http://127.0.0.1:1/v1", **wrong)
