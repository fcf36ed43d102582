"""Sandbox: the application's tools, as the code in it sees them."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from divebell import ConfigurationError, DivebellError, Limits, Sandbox
from divebell.sandbox.host import CallableHost
from divebell.sandbox.tools import RESERVED_NAMES
from tests.support.cells import error_kind

TABLE = {"a": 1, "b": 2}


def lookup(key: str, times: int = 1) -> int:
    """The number of a key."""
    return TABLE[key] * times


async def later(key: str) -> str:
    await asyncio.sleep(0)
    return key + "!"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox(tools={"lookup": lookup, "later": later}) as made:
        yield made


def test_tools_are_called_by_position_and_by_name(box: Sandbox) -> None:
    assert box.run("lookup('a'), lookup('b', 3), lookup(key='b', times=2), later('x')").value == [1, 6, 4, "x!"]


def test_help_documentation_and_signature_are_the_hosts(box: Sandbox) -> None:
    cell = box.run(
        "import inspect\nhelp(lookup)\nlookup.__doc__, lookup.__name__, str(inspect.signature(lookup)), callable(lookup)"
    )
    assert cell.value == ["The number of a key.", "lookup", "(key: str, times: int = 1) -> int", True]
    assert "lookup(key: str, times: int = 1) -> int" in cell.stdout
    assert "The number of a key." in cell.stdout


def test_errors_come_by_name_and_message(box: Sandbox) -> None:
    cell = box.run("try: lookup('z')\nexcept ToolError as error: print(error, error.kind, sep=' | ')")
    assert cell.stdout == "KeyError: 'z' | KeyError\n"
    cell = box.run("lookup(5)")
    assert error_kind(cell) == "ToolError"
    assert "lookup(key: str, times: int = 1)" in cell.output
    assert error_kind(box.run("lookup('a', {1})")) == "BadRequest"


def test_a_tool_comes_back_and_is_no_variable_of_the_code(box: Sandbox) -> None:
    box.run("lookup = 5\ndel later")
    assert box.run("lookup('a'), later('x')").value == [1, "x!"]
    assert "lookup" not in box.run("SHOW_VARS()").stdout


def test_no_tool_can_take_a_name_that_a_cell_has_from_the_start() -> None:
    with Sandbox("context") as fresh:
        names = fresh.run("[name for name in list(globals()) if not name.startswith('_')]").value
    assert isinstance(names, list)
    assert {"json", "llm_query", "context"} < set(names)
    assert set(names) <= RESERVED_NAMES


def test_tools_can_be_awaited_and_run_at_once() -> None:
    barrier = threading.Barrier(3, timeout=300)

    def meet(n: int) -> int:
        barrier.wait()
        return n

    with Sandbox(tools={"meet": meet}) as box:
        head = "import asyncio\nfrom concurrent.futures import ThreadPoolExecutor\n"
        for code in (
            "await asyncio.gather(*[asyncio.to_thread(meet, n) for n in range(3)])",
            "list(ThreadPoolExecutor().map(meet, range(3)))",
            "list(ThreadPoolExecutor().map(lambda n: meet(n), range(3)))",
        ):
            assert box.run(head + code).value == [0, 1, 2], code
    with Sandbox(tools={"lookup": lookup}) as box:
        assert box.run("await lookup('a')").value == 1


def test_async_tools_run_at_once_on_one_loop() -> None:
    waiting: list[asyncio.Event] = []

    async def meet(n: int) -> int:
        waiting.append(asyncio.Event())
        if len(waiting) == 3:
            for event in waiting:
                event.set()
        await waiting[-1].wait() if len(waiting) == 3 else await waiting[n].wait()
        return n

    with Sandbox(tools={"meet": meet}) as box:
        code = "from concurrent.futures import ThreadPoolExecutor\nlist(ThreadPoolExecutor().map(meet, range(3)))"
        assert box.run(code).value == [0, 1, 2]


@pytest.mark.slow
def test_a_tool_over_its_time_is_an_error_and_the_cells_clock_stands_still() -> None:
    release = threading.Event()

    def hang() -> None:
        release.wait(300)

    async def hang_async() -> None:
        await asyncio.sleep(60)

    limits = Limits(tool_seconds=0.7, cell_seconds=0.5, grace_seconds=0.3)
    with Sandbox(tools={"hang": hang, "hang_async": hang_async}, limits=limits) as box:
        for name in ("hang", "hang_async"):
            cell = box.run(f"try: {name}()\nexcept ToolError as error: print(error.kind)")
            assert cell.stdout == "TimeoutError\n"
            assert error_kind(box.run(f"import asyncio\nawait asyncio.to_thread({name})")) == "ToolError"
    release.set()


def test_a_cell_has_so_many_tool_calls() -> None:
    with Sandbox(tools={"lookup": lookup}, limits=Limits(tool_calls=3)) as box:
        cell = box.run("n = 0\nwhile True: lookup('a'); n += 1")
        assert error_kind(cell) == "ToolError"
        assert box["n"] == 3
        assert box.run("lookup('a')").value == 1


def test_tools_are_there_again_after_a_crash_and_in_forks_and_restored_snapshots(box: Sandbox) -> None:
    box.run("x = lookup('a')")
    assert box.run("import os\nos.abort()").restored
    assert box.run("lookup('b')").value == 2
    with box.fork() as twin:
        assert twin.run("lookup('b'), x").value == [2, 1]
    snapshot = box.snapshot()
    with Sandbox.restore(snapshot, tools={"lookup": lambda key: "another"}) as other:
        assert other.run("lookup('b'), x").value == ["another", 1]
        assert error_kind(other.run("later('x')")) == "NameError"
    with Sandbox.restore(snapshot) as without:
        assert error_kind(without.run("lookup('b')")) == "Unavailable"


def test_a_tool_may_not_use_the_sandbox_that_waits_for_it() -> None:
    boxes: list[Sandbox] = []

    def again() -> object:
        return boxes[0].run("1").value

    with Sandbox(tools={"again": again}) as box:
        boxes.append(box)
        cell = box.run("again()")
        assert error_kind(cell) == "ToolError"
        assert "SandboxError" in cell.output


def test_tools_of_a_sandbox_with_a_host_are_the_hosts(box: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match="give the tools to the host"):
        Sandbox(tools={"lookup": lookup}, host=CallableHost(None))


def test_a_wrong_tool_is_refused_before_anything_starts() -> None:
    tools: Any = {"llm_query": lookup}
    with pytest.raises(DivebellError, match="llm_query"):
        Sandbox(tools=tools)
