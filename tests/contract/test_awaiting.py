"""README.md's table: the awaitable forms. Each form of asyncio that models write runs its calls at once."""

import pytest

from divebell import Sandbox
from tests.support.cells import error_kind, value_of
from tests.support.meeting import Meeting

MAIN = "async def ask(n): return await allm_query(str(n) + 'x')\n"

AT_ONCE = {
    "gather at the top level": "await asyncio.gather(*[allm_query(c) for c in 'abcd'])",
    "gather in asyncio.run": "async def main(): return await asyncio.gather(*map(allm_query, 'abcd'))\nasyncio.run(main())",
    "get_event_loop": "async def main(): return await asyncio.gather(*map(allm_query, 'abcd'))\n"
    "asyncio.get_event_loop().run_until_complete(main())",
    "new_event_loop": "async def main(): return await asyncio.gather(*map(allm_query, 'abcd'))\n"
    "loop = asyncio.new_event_loop()\nasyncio.set_event_loop(loop)\ntry: r = loop.run_until_complete(main())\n"
    "finally: loop.close()\nr",
    "asyncio.run inside of a running loop": "async def main(): return await asyncio.gather(*map(allm_query, 'abcd'))\n"
    "await asyncio.sleep(0)\nasyncio.run(main())",
    "run_until_complete inside of the running loop": "async def main(): return await asyncio.gather(*map(allm_query, 'abcd'))\n"
    "await asyncio.sleep(0)\nasyncio.get_event_loop().run_until_complete(main())",
    "tasks": "tasks = [asyncio.create_task(allm_query(c)) for c in 'abcd']\n[await t for t in tasks]",
    "TaskGroup": "async with asyncio.TaskGroup() as group:\n    tasks = [group.create_task(allm_query(c)) for c in 'abcd']\n"
    "[t.result() for t in tasks]",
    "as_completed": "sorted([await f for f in asyncio.as_completed([allm_query(c) for c in 'abcd'])])",
    "wait": "done, pending = await asyncio.wait([asyncio.ensure_future(allm_query(c)) for c in 'abcd'])\n"
    "sorted(t.result() for t in done)",
    "wait_for": "await asyncio.gather(*[asyncio.wait_for(allm_query(c), timeout=30) for c in 'abcd'])",
    "timeout": "async with asyncio.timeout(30):\n    r = await asyncio.gather(*map(allm_query, 'abcd'))\nr",
    "shield": "await asyncio.gather(*[asyncio.shield(allm_query(c)) for c in 'abcd'])",
    "to_thread": "await asyncio.gather(*[asyncio.to_thread(llm_query, c) for c in 'abcd'])",
    "to_thread of a function": "def f(c): return llm_query(c)\nawait asyncio.gather(*[asyncio.to_thread(f, c) for c in 'abcd'])",
    "run_in_executor": "loop = asyncio.get_running_loop()\n"
    "await asyncio.gather(*[loop.run_in_executor(None, llm_query, c) for c in 'abcd'])",
    "gather of calls that are not awaitable": "await asyncio.gather(*[llm_query(c) for c in 'abcd'])",
    "gather of a generator": "await asyncio.gather(*(llm_query(c) for c in 'abcd'))",
    "gather of calls one by one": "await asyncio.gather(llm_query('a'), llm_query('b'), llm_query('c'), llm_query('d'))",
    "tasks of calls": "ts = [asyncio.create_task(llm_query(c)) for c in 'abcd']\n[await t for t in ts]",
    "an async function that does not await": "async def f(c): return llm_query(c)\nawait asyncio.gather(*map(f, 'abcd'))",
    "one that retries": "async def f(c):\n    try:\n        r = llm_query(c)\n    except Exception:\n        r = ''\n    return r\n"
    "await asyncio.gather(*map(f, 'abcd'))",
    "one with a semaphore": "places = asyncio.Semaphore(4)\nasync def f(c):\n    async with places:\n        return llm_query(c)\n"
    "await asyncio.gather(*map(f, 'abcd'))",
    "a method that does not await": "class A:\n    async def ask(self, c): return llm_query(c)\nasyncio.run(A().ask(''))\n"
    "await asyncio.gather(*map(A().ask, 'abcd'))",
    "batched": "await allm_query_batched(list('abcd'))",
    "an async generator": "async def asked():\n    for t in [asyncio.create_task(allm_query(c)) for c in 'abcd']: yield await t\n"
    "[r async for r in asked()]",
    "a queue of work": """
queue, results = asyncio.Queue(), {}
for c in 'abcd': queue.put_nowait(c)
async def worker():
    while not queue.empty():
        c = queue.get_nowait()
        results[c] = await allm_query(c)
await asyncio.gather(*[worker() for _ in range(4)])
[results[c] for c in 'abcd']
""",
}


@pytest.mark.parametrize("name", AT_ONCE)
def test_calls_are_in_flight_together(box: Sandbox, meeting: Meeting, name: str) -> None:
    meeting.party = 4
    assert value_of(box.run("import asyncio\n" + AT_ONCE[name])) == list("ABCD")
    assert meeting.most == 4


def test_a_semaphore_bounds_the_calls_in_flight(box: Sandbox, meeting: Meeting) -> None:
    meeting.party = 2
    code = """
import asyncio
places = asyncio.Semaphore(2)
async def one(c):
    async with places: return await allm_query(c)
await asyncio.gather(*map(one, 'abcdef'))
"""
    assert value_of(box.run(code)) == list("ABCDEF")
    assert meeting.most == 2


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("await llm_query('a')", "A"),
        ("await llm_query_batched(['a', 'b'])", ["A", "B"]),
        ("x = await llm_query('a')\nx + 'b'", "Ab"),
        ("import asyncio\nasync def main(): return await llm_query('a')\nasyncio.run(main())", "A"),
        ("import asyncio\nasync def f(c): return await llm_query(c)\nawait asyncio.gather(*map(f, 'ab'))", ["A", "B"]),
        ("async def llm_query(p): return 'own ' + p\nawait llm_query('a')", "own a"),
        ("import asyncio\nasync def llm_query(p): return 'own ' + p\nawait asyncio.gather(llm_query('a'))", ["own a"]),
        ("async def f(llm_query): return llm_query('a')\nawait f(str.lower)", "a"),
        ("async def f():\n    def g(): return llm_query('a')\n    return g() + llm_query('b')\nawait f()", "AB"),
        ("async def f():\n    global n\n    n = 0\n    n += len(llm_query('ab'))\n    return n\nawait f()", 2),
        (
            "async def f():\n    return [llm_query(c) for c in 'ab'], max(llm_query(c) for c in 'ab')\nawait f()",
            [["A", "B"], "B"],
        ),
        ("async def f():\n    yield llm_query('a')\n[x async for x in f()]", ["A"]),
        ("import asyncio\nasyncio.run(llm_query('a'))", "A"),
        ("[await allm_query(c) for c in 'ab']", ["A", "B"]),
        ("await allm_query('a') if True else None", "A"),
        ("r = []\nfor c in 'ab': r.append(await allm_query(c))\nr", ["A", "B"]),
        ("import asyncio\nawait asyncio.sleep(0.01, 'slept')", "slept"),
        ("import asyncio\nasyncio.run(asyncio.sleep(0.01, 'slept'))", "slept"),
        ("await allm_query(prompt='a', model=None)", "A"),
    ],
)
def test_awaits_that_models_write(box: Sandbox, code: str, expected: object) -> None:
    assert value_of(box.run(code)) == expected
    assert value_of(box.run("type(llm_query('x')) is str")) is True


def test_a_failed_call_raises_where_it_is_awaited_and_the_others_count(box: Sandbox) -> None:
    code = "import asyncio\nr = await asyncio.gather(allm_query('a'), allm_query('bad'), return_exceptions=True)\n"
    assert value_of(box.run(code + "r[0], type(r[1]).__name__, str(r[1])")) == [
        "A",
        "ModelError",
        "ValueError: no such luck",
    ]
    cell = box.run("await allm_query('bad')")
    assert error_kind(cell) == "ModelError"
    assert cell.error is not None
    assert "<cell " in cell.error.traceback
    assert "divebell_guest" not in cell.error.traceback
    assert value_of(box.run("r = await allm_query_batched(['a', 'bad'])\nr[0], r[1].kind")) == ["A", "ModelError"]
    assert error_kind(box.run("await allm_query_batched(['bad', 'bad'])")) == "ModelError"


def test_a_call_that_is_given_up_leaves_the_loop_usable(box: Sandbox, meeting: Meeting) -> None:
    meeting.party = 2  # so that a call alone takes its 5 s
    cell = box.run("import asyncio\nawait asyncio.wait_for(allm_query('slow'), timeout=0.05)")
    assert error_kind(cell) == "TimeoutError"
    assert cell.error is not None
    assert "the cell ran longer" not in cell.error.message
    meeting.party = 1
    assert value_of(box.run("await allm_query('b')")) == "B"


def test_what_waits_for_nothing_is_told_so_at_once(box: Sandbox) -> None:
    for code in ("await asyncio.Future()", "await asyncio.Event().wait()", "await asyncio.Queue().get()"):
        cell = box.run("import asyncio\n" + code)
        assert error_kind(cell) == "RuntimeError", code
        assert cell.error is not None
        assert "wait for ever" in cell.error.message
    assert value_of(box.run("await asyncio.sleep(0, 'fine')")) == "fine"


def test_a_long_sleep_ends_with_the_cells_time() -> None:
    from divebell import Limits

    with Sandbox(limits=Limits(cell_seconds=0.3, grace_seconds=3)) as box:
        assert error_kind(box.run("import asyncio\nawait asyncio.sleep(1e6)")) == "TimeoutError"
        assert error_kind(box.run("import time\ntime.sleep(1e6)")) == "TimeoutError"
        assert value_of(box.run("await asyncio.sleep(0, 'fine')")) == "fine"


def test_timers_of_a_seeded_sandbox_run_on_its_own_clock() -> None:
    with Sandbox(seed=1, llm=str.upper) as box:
        code = "import asyncio, time\nt = time.monotonic()\nawait asyncio.sleep(3)\nround(time.monotonic() - t)"
        assert value_of(box.run(code)) == 3
        assert value_of(box.run("await asyncio.wait_for(allm_query('a'), 20)")) == "A"


def test_a_cell_owns_its_calls_and_its_tasks(box: Sandbox, meeting: Meeting) -> None:
    """Unfinished tasks are cancelled at the end of their cell, and see it."""
    meeting.party = 9
    code = """
import asyncio
seen = []
async def background():
    try: await allm_query('never collected')
    except asyncio.CancelledError: seen.append('cancelled'); raise
task = asyncio.create_task(background())
await asyncio.sleep(0.05)
'end'
"""
    assert value_of(box.run(code)) == "end"
    meeting.party = 1
    assert value_of(box.run("seen, task.cancelled()")) == [["cancelled"], True]
    assert error_kind(box.run("await task")) == "CancelledError"


@pytest.mark.parametrize(
    "code",
    [
        "asyncio.create_task(asyncio.sleep(1000)); await asyncio.sleep(0)",
        "asyncio.get_running_loop().call_later(1000, print); await asyncio.sleep(0)",
        "loop = asyncio.new_event_loop(); loop.call_soon(print, 'x')",
        "async def f():\n    while True:\n        try: await asyncio.sleep(1000)\n        except asyncio.CancelledError: pass\n"
        "t = asyncio.create_task(f()); await asyncio.sleep(0)",
        "asyncio.get_event_loop().close(); await asyncio.sleep(0)",
        "await asyncio.sleep(0); raise ValueError",
        "await asyncio.sleep(0); import sys; sys.exit(3)",
        "asyncio.get_running_loop().stop(); await asyncio.sleep(0)",
        "async def gen():\n    yield 1\n    await asyncio.sleep(1000)\nasync for x in gen(): break",
        "c = allm_query('never awaited')",
    ],
)  # fmt: skip
def test_what_a_cell_leaves_over_does_not_break_the_next(box: Sandbox, code: str) -> None:
    box.run(f"import asyncio\n{code}")
    cell = box.run("r = await asyncio.gather(allm_query('a'), asyncio.sleep(0.01, 'b'))\nr")
    assert value_of(cell) == ["A", "b"]
    assert value_of(box.run("asyncio.run(asyncio.sleep(0, 'c'))")) == "c"


@pytest.mark.slow
def test_over_ten_thousand_calls_at_once_wait_for_room(box: Sandbox) -> None:
    code = "import asyncio\nr = await asyncio.gather(*[allm_query(str(n)) for n in range(10_500)])\nlen(r), r[-1]"
    with Sandbox(llm=str.upper) as large:
        assert value_of(large.run(code)) == [10_500, "10499"]
