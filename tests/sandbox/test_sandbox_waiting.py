"""Sandbox: a cell that waits for calls in flight ends when it is told to, and takes its calls with it."""

import threading
import time
from collections.abc import Callable

import anyio
import pytest

from divebell import Cell, Limits, Sandbox
from divebell.errors import ModelError
from divebell.run.host import RunHost
from divebell.sandbox.tools import Tools
from divebell_bridge.door.requests import Image, Query
from tests.support.cells import error_kind
from tests.support.run_hosts import run_host

GATHER = "import asyncio\nawait asyncio.gather(*[allm_query(str(n)) for n in range(3)])"
POOL = "from concurrent.futures import ThreadPoolExecutor\nlist(ThreadPoolExecutor().map(lambda n: llm_query(str(n)), range(3)))"
AWAITED = "x = await allm_query('0')"


@pytest.mark.parametrize("code", [GATHER, POOL, AWAITED])
def test_cancel_ends_a_cell_that_waits_and_restores_its_state(code: str) -> None:
    started, release = threading.Event(), threading.Event()

    def llm(prompt: str) -> str:
        started.set()
        release.wait(600)
        return prompt

    with Sandbox(llm=llm) as box:
        box.run("x = 'before'")
        thread = threading.Thread(target=lambda: (started.wait(300), box.cancel()))
        thread.start()
        cell = box.run(code)
        thread.join()
        release.set()
        assert (error_kind(cell), cell.restored) == ("Killed", True)
        assert box.run("x").value == "before"
        assert box.run("await allm_query('next')").value == "next"


@pytest.mark.slow
def test_waiting_for_submitted_calls_does_not_count_as_computing() -> None:
    def llm(prompt: str) -> str:
        time.sleep(1.2)
        return prompt

    with Sandbox(llm=llm, limits=Limits(cell_seconds=0.5, grace_seconds=0.3)) as box:
        assert box.run(GATHER).value == ["0", "1", "2"]


@pytest.mark.slow
def test_what_a_killed_cell_had_in_flight_is_cancelled_and_its_replies_reach_no_other_cell() -> None:
    release = threading.Event()

    def llm(prompt: str) -> str:
        if prompt == "old":
            release.wait(300)
        return prompt

    with Sandbox(llm=llm, limits=Limits(cell_seconds=0.3, grace_seconds=0.2)) as box:
        cell = box.run(
            "from concurrent.futures import ThreadPoolExecutor\nf = ThreadPoolExecutor().submit(llm_query, 'old')\nsum(iter(int, 1))"
        )
        assert error_kind(cell) == "Killed"
        release.set()
        assert box.run(GATHER).value == ["0", "1", "2"]


def in_run(make_host: Callable[[], RunHost], code: str) -> Cell:
    """Run a cell as a run does: on a thread, with the host on this event loop."""

    async def main() -> Cell:
        host = make_host()
        box = Sandbox(host=host)
        try:
            return await anyio.to_thread.run_sync(box.run, code)
        finally:
            host.tasks.close()
            await anyio.to_thread.run_sync(box.close)

    return anyio.run(main)


@pytest.mark.parametrize("code", [GATHER, POOL])
def test_calls_of_a_run_are_in_flight_together(code: str) -> None:
    most = running = 0

    async def query(prompt: str, model: str | None) -> str:
        nonlocal most, running
        running += 1
        most = max(most, running)
        with anyio.move_on_after(5):
            while most < 3:
                await anyio.sleep(0.001)
        running -= 1
        return prompt

    assert in_run(lambda: run_host(query), code).value == ["0", "1", "2"]
    assert most == 3


def test_a_runs_failures_values_and_images_cross_with_the_calls() -> None:
    seen: list[object] = []

    async def query(prompt: str, model: str | None, **given: object) -> object:
        seen.append((prompt, model, given))
        if prompt == "bad":
            raise ModelError("no such luck")
        if prompt == "broken":
            raise ValueError("secret")
        return {"n": 1} if given.get("schema") else prompt

    code = """
import asyncio
r = await asyncio.gather(allm_query('bad'), allm_query('broken'), return_exceptions=True)
[repr(e) for e in r], await allm_query('v', 'm', schema=dict), llm_query('w', images=[{'media_type': 'image/png', 'data': b'x'}]), await arlm_query('q')
"""
    cell = in_run(lambda: run_host(query), code)
    assert cell.value == [
        ["ModelError('no such luck')", "ModelError('the host failed to answer (ValueError)')"], {"n": 1}, "w", "child q",
    ]  # fmt: skip
    assert seen[2:] == [
        ("v", "m", {"schema": {"type": "object"}}),
        ("w", None, {"images": (Image("image/png", b"x"),)}),
    ]
    assert Query("v", "m", {"type": "object"})


def test_tools_and_the_answers_check_of_a_run() -> None:
    async def query(prompt: str, model: str | None) -> str:
        return prompt

    async def slow(n: int) -> int:
        await anyio.sleep(0)
        return n

    def host() -> RunHost:
        tools = Tools({"slow": slow, "plain": lambda n: n * 2})
        return run_host(query, tools=tools, check=lambda fields: None if "n" in fields else "n is missing")

    assert in_run(host, "slow(1), plain(2), await slow(3)").value == [1, 4, 3]
    assert in_run(host, "SUBMIT(m=1)").output.endswith("BadAnswer: n is missing")
    assert in_run(host, "SUBMIT(n=1)").submitted == {"n": 1}


@pytest.mark.parametrize("code", [GATHER, POOL, "llm_query('0')"])
def test_closing_the_host_ends_a_cell_that_waits(code: str) -> None:
    cancelled: list[str] = []

    async def query(prompt: str, model: str | None) -> str:
        try:
            await anyio.sleep(60)
        except BaseException:
            cancelled.append(prompt)
            raise
        return prompt

    async def main() -> Cell:
        host = run_host(query)
        box = Sandbox(host=host)
        cells: list[Cell] = []

        async def run() -> None:
            cells.append(await anyio.to_thread.run_sync(box.run, code))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(run)
                await anyio.sleep(0.2)
                host.tasks.close()
        await anyio.to_thread.run_sync(box.close)
        return cells[0]

    cell = anyio.run(main)
    assert error_kind(cell) == "Unavailable"
    assert cancelled


@pytest.mark.slow
def test_ctrl_c_ends_a_cell_that_waits_for_submitted_calls(alone: Callable[..., str]) -> None:
    script = f"""
import os, signal, threading
from divebell import Sandbox
release = threading.Event()
def llm(prompt):
    if prompt == "0":
        threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    release.wait(300)
    return prompt
with Sandbox(llm=llm) as box:
    box.run("x = 1")
    try:
        box.run({GATHER!r})
    except KeyboardInterrupt:
        print("interrupted")
    release.set()
    print(box.run("x").value, box.run("await allm_query('next')").value)
"""
    assert alone(script, seconds=25).split() == ["interrupted", "1", "next"]
