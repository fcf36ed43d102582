"""Attacks on calls in flight, tools, answers and bound names; and on the guest's own machinery for them."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from divebell import Limits, Sandbox
from tests.hostile.test_door_attacks import ASK
from tests.support.threat import FINE, IN_TIME, LOST, Attack, Threat, ending, threats

SUBMIT = "submit = lambda n=1: ask(packed('submit', call='query', prompts=['x'] * n))\n"


@pytest.mark.slow
@threats(
    Threat("forged_ticket", "assert refused(packed('wait', tickets=[12345], seconds=0)) == 'BadRequest'"),
    Threat("forged_negative_ticket", "assert refused(packed('wait', tickets=[-1], seconds=0)) == 'BadRequest'"),
    Threat("forged_huge_ticket", "assert refused(packed('wait', tickets=[msgpack.ExtType(1, b'\\x7f' * 4000)], seconds=0)) == 'BadRequest'"),
    Threat("cancel_of_a_forged_ticket", "assert refused(packed('cancel', tickets=[7])) == 'BadRequest'"),
    Threat("wait_for_nothing", "assert refused(packed('wait', tickets=None)) == 'BadRequest'"),
    Threat("wait_for_an_empty_list", "assert refused(packed('wait', tickets=[])) == 'BadRequest'"),
    Threat("wait_twice", "[t] = submit()['ok']\nassert ask(packed('wait', tickets=[t]))['ok']\nassert refused(packed('wait', tickets=[t])) == 'BadRequest'"),
    Threat("wait_for_one_ticket_twice_at_once", "[t] = submit()['ok']\nassert refused(packed('wait', tickets=[t, t])) == 'BadRequest'"),
    Threat("wait_for_a_cancelled_ticket", "[t] = submit()['ok']\nask(packed('cancel', tickets=[t]))\nassert refused(packed('wait', tickets=[t])) == 'BadRequest'"),
    Threat("guessed_next_ticket", "[t] = submit()['ok']\nassert refused(packed('wait', tickets=[t + 1], seconds=0)) == 'BadRequest'"),
    Threat("million_submits", "n = 0\nwhile 'ok' in submit(1000): n += 1000\nassert n == 10_000", IN_TIME | {FINE}),
    Threat("submits_without_end", "while True: submit(10_000)", IN_TIME | ending("RuntimeError")),
    Threat("submit_over_the_batch", "assert 'error' in submit(10_001)"),
    Threat("submit_of_an_operation", "assert refused(packed('submit', call='sleep', nanoseconds=5)) == 'BadRequest'"),
    Threat("submit_of_a_submit", "assert refused(packed('submit', call='submit', prompts=['x'])) == 'BadRequest'"),
    Threat("polling_without_end", "submit()\nwhile True: ask(packed('wait', tickets=[], seconds=0))", IN_TIME | ending("RuntimeError")),
    Threat("submit_and_cancel_without_end", "while True: ask(packed('cancel', tickets=submit()['ok']))", IN_TIME | ending("RuntimeError")),
    Threat("tool_that_is_not_there", "assert ask(packed('tool', name='lookup', arguments=[], keyword_arguments={}))['ok']['kind'] == 'Unavailable'"),
    Threat("tool_with_a_dunder", "assert ask(packed('tool', name='__class__', arguments=[], keyword_arguments={}))['ok']['kind'] == 'Unavailable'"),
    Threat("tools_without_end", "n = 0\nwhile 'ok' in ask(packed('tool', name='x', arguments=[], keyword_arguments={})): n += 1\nassert n == 10_000", IN_TIME | {FINE}),
    Threat("schema_of_a_megabyte", "assert refused(packed('query', prompts=['x'], schema={'a': 'x' * 10**6})) == 'BadRequest'"),
    Threat("schema_60_deep", "s = {}\nfor _ in range(60): s = {'a': s}\nassert refused(packed('query', prompts=['x'], schema=s)) == 'BadRequest'"),
    Threat("schema_of_900000_items", "assert refused(packed('query', prompts=['x'], schema={'a': [0] * 900_000})) == 'BadRequest'"),
    Threat("images_of_30_megabytes", "assert refused(packed('query', prompts=['x'], images=[[{'media_type': 'image/png', 'data': bytes(30 << 20)}]])) == 'BadRequest'", IN_TIME | ending(FINE, "MemoryError")),
    Threat("reference_past_the_end", "assert refused(packed('child', prompts=['x'], contexts=[None], references=[{'slice': [0, 2**62]}]))"),
    Threat("check_answer_without_a_value", "assert ask(packed('check_answer'))['ok'] is None"),
    Threat("operations_of_the_sandbox", "for op in ('bind', 'append', 'tools', 'run', 'set'): assert refused(packed(op, name='x', value=1, items=[], tools=[])) == 'BadRequest'"),
)  # fmt: skip
def test_forged_and_abused_tickets_are_answered_and_bounded(attack: Attack, threat: Threat) -> None:
    attack(threat, before=ASK + SUBMIT)


def test_a_ticket_of_an_earlier_cell_is_nobodys(attack: Attack) -> None:
    attack(
        "assert refused(packed('wait', tickets=old, seconds=0)) == 'BadRequest'",
        before=ASK + SUBMIT + "old = submit()['ok']",
    )


def test_a_ticket_of_another_sandbox_is_nobodys() -> None:
    with Sandbox(llm=str.upper) as one, Sandbox(llm=str.upper) as other:
        assert (
            one.run(ASK + SUBMIT + "t = submit(5)['ok']\nrefused(packed('wait', tickets=[9], seconds=0))").value
            == "BadRequest"
        )
        cell = other.run(ASK + f"refused(packed('wait', tickets={one['t']}, seconds=0))")
        assert cell.value == "BadRequest"


REPLACED = {
    "asyncio.run": "asyncio.run = None",
    "asyncio.sleep": "asyncio.sleep = asyncio.gather = asyncio.wait_for = None",
    "the_policy": "asyncio.set_event_loop_policy(None)",
    "the_events": "asyncio.events.get_running_loop = asyncio.events.get_event_loop = None",
    "a_loop_left_running": "asyncio.events._set_running_loop(asyncio.new_event_loop())",
    "the_loops_methods": "import divebell_guest.event_loop as l\nl.Loop.select = l._DoorSelector.select = None\nawait asyncio.sleep(1)",
    "the_calls_in_flight": "import divebell_guest.tickets as t\nt.in_flight.open = t.in_flight.jobs = None",
    "the_state": "import divebell_guest.event_loop as l\nl.state.loops = 5",
    "a_strange_loop": "import divebell_guest.event_loop as l\nl.state.loops.append(5)",
    "the_fibers": "import divebell_guest.fibers as f\nf.current.alive = None",
    "a_strange_fiber": "import divebell_guest.fibers as f\nf.current.alive.add(5)",
    "the_twins": "import divebell_guest.twins as t\nt.cache.codes = 5\nt.forms = None",
    "a_job_that_is_none": "import divebell_guest.tickets as t\nt.in_flight.jobs.append(5)",
    "jobs_without_end": "import divebell_guest.tickets as t\ndef job(): t.in_flight.jobs.append(job)\njob()",
    "builtins": "import builtins\nbuiltins.len = builtins.list = builtins.isinstance = builtins.range = None",
    "the_contract": "import divebell_guest.namespace as m\nm.CONTRACT.clear()",
    "threading": "import threading\nthreading.Thread = threading.Condition = None",
    "executors": "import concurrent.futures as c\nc.ThreadPoolExecutor = c.Future = None",
    "a_task_that_cannot_be_cancelled": "async def f():\n    while True:\n        try: await asyncio.sleep(1000)\n        except BaseException: pass\nasyncio.ensure_future(f())\nawait asyncio.sleep(0)",
    "a_task_that_loops_when_cancelled": "async def f():\n    try: await asyncio.sleep(1000)\n    finally:\n        while True: pass\nasyncio.ensure_future(f())\nawait asyncio.sleep(0)",
    "a_timer_that_loops": "asyncio.get_event_loop().call_soon(lambda: [0 for _ in iter(int, 1)])\nawait asyncio.sleep(0)",
    "nested_loops": "def f(n): return asyncio.run(g(n)) if n else 0\nasync def g(n): return f(n - 1)\nf(100_000)",
    "threads_without_end": "import threading\ndef f(): threading.Thread(target=f).start()\nf()",
    "executors_without_end": "from concurrent.futures import ThreadPoolExecutor as T\ne = T()\ndef f(): e.submit(f)\nf()",
    "an_executor_in_itself": "from concurrent.futures import ThreadPoolExecutor as T\ne = T(1)\nf = e.submit(lambda: e.submit(int).result())\nf.result()",
    "a_future_that_waits_for_itself": "from concurrent.futures import ThreadPoolExecutor as T\ne = T()\nfs = []\nfs.append(e.submit(lambda: fs[0].result()))\nfs[0].result()",
    "a_forged_linecache": "import linecache\nfrom concurrent.futures import ThreadPoolExecutor as T\ndef f(): return llm_query('x')\nlinecache.cache[f.__code__.co_filename] = (1, None, ['def f(): return 5\\n'], 'x')\nT().submit(f).result()",
    "a_name_that_is_no_source": "from concurrent.futures import ThreadPoolExecutor as T\nf = lambda: llm_query('x')\nf.__code__ = f.__code__.replace(co_filename='<cell 999>', co_firstlineno=2**30)\nT().submit(f).result()",
    "tools_that_are_none": "import divebell_guest.namespace as m\nm.bind_tools([{'name': 'x'}])",
    "awaitables_that_lie": "class A:\n    def __await__(self):\n        yield 5\nawait A()",
    "a_calls_object_forged": "import divebell_guest.fibers as f\nawait f.PendingCalls([('sleep', {})])",
    "a_call_with_strange_arguments": "import divebell_guest.fibers as f\nawait f.PendingCalls([('query', {'prompts': [b'x']})])",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", REPLACED)
def test_a_cell_that_spoils_the_machinery_leaves_a_sandbox_that_works(attack: Attack, name: str) -> None:
    """Whatever the cell did to itself, it ends in time, and plain cells run after it; `attack` checks that."""
    any_end: Any = type("Anything", (), {"__contains__": lambda self, kind: True})()
    attack(Threat(name, "import asyncio\n" + REPLACED[name], any_end))


@pytest.mark.parametrize(
    "name", ["asyncio.run", "a_loop_left_running", "a_task_that_cannot_be_cancelled", "the_policy", "asyncio.sleep"]
)
def test_a_top_level_await_works_in_the_cell_after(attack: Attack, name: str) -> None:
    any_end: Any = type("Anything", (), {"__contains__": lambda self, kind: True})()
    attack(Threat(name, "import asyncio\n" + REPLACED[name], any_end))
    attack("import asyncio\nasync def f(): return await allm_query('four')\nassert await f() == '4 characters'")


HOSTILE_RESULTS = """
class Str(str):
    def __str__(self): raise SystemExit
    __repr__ = __eq__ = __len__ = __str__
    __hash__ = str.__hash__
class Dict(dict):
    def keys(self): raise KeyboardInterrupt
    items = values = __iter__ = __len__ = __getitem__ = keys
class Evil:
    def __getattribute__(self, name): raise SystemExit(name)
    __class__ = str
"""


@pytest.mark.parametrize(
    "code",
    [
        "FINAL(Str('x'))", "SUBMIT(a=Str('x'))", "SUBMIT(Dict(a=1))", "SUBMIT(**Dict(a=1))", "FINAL(Dict(a=1))", "SUBMIT(a=Evil())",
        "FINAL(Evil())", "llm_query(Str('x'))", "llm_query('x', schema=Dict(type='object'))", "llm_query('x', schema=Evil())",
        "llm_query('x', images=[Evil()])", "llm_query('x', images=Dict(a=1))", "llm_query('x', images=[Dict(data=b'x')])",
        "rlm_query('x', Dict(a=1))", "rlm_query('x', Evil())", "await llm_query(Evil())", "await allm_query(Str('x'))",
        "answer = Dict(content='x', ready=True)", "answer['content'] = Evil()\nanswer['ready'] = True",
        "history.append(Evil())", "print(Str('x'))", "llm_query_batched([Str('x'), Evil()])", "FINAL_VAR(Str('nonesuch'))",
        "a = {}\nfor _ in range(100): a = {'a': a}\nSUBMIT(**a)", "SUBMIT(a=10**4000)", "SUBMIT(a=10**20000)",
        "SUBMIT(**{str(n): n for n in range(100_000)})", "SUBMIT(**{'a b': 1, '': 2, '\\ud800': 3})",
    ],
)  # fmt: skip
def test_answers_and_prompts_of_hostile_types_end_in_an_error_or_as_what_they_extend(attack: Attack, code: str) -> None:
    any_end: Any = type("Anything", (), {"__contains__": lambda self, kind: kind not in LOST})()
    cell = attack(Threat("", code, any_end), before=HOSTILE_RESULTS)
    assert cell.submitted is None or all(type(name) is str for name in cell.submitted)
    assert cell.final is None or type(cell.final) is str


OUTCOMES: list[Any] = [
    "submitted=5", "submitted={1: 2}", "submitted=[1]", "submitted={'a': {1: b'x'}}", "final=5", "final=['x']", "final_value={'a': 1}",
    "final_value=5, final=b'x'", "submitted={'a': 1}", "submitted={'a': 1}, final=None",
]  # fmt: skip


@pytest.mark.parametrize("forged", OUTCOMES)
def test_a_forged_outcome_gives_a_cell_of_the_right_types(forged: str) -> None:
    code = f"import divebell_guest.boot as b\nr = b.OPERATIONS['run']\ndef run(**a):\n    b.OPERATIONS['run'] = r\n    return dict({forged})\nb.OPERATIONS['run'] = run"
    with Sandbox() as box:
        assert box.run(code).error is None
        cell = box.run("1")
        assert cell.final is None or type(cell.final) is str
        assert cell.submitted is None or (type(cell.submitted) is dict and type(cell.final) is str)
        assert box.run("1 + 1").value == 2


@pytest.mark.slow
def test_prompts_in_flight_do_not_take_the_hosts_memory(alone: Callable[..., str]) -> None:
    """300 submitted prompts of 8 MB would be 2.4 GB, if nothing bounded what waits."""
    script = f"""
import resource, threading
from divebell import Limits, Sandbox
release = threading.Event()
box = Sandbox(llm=lambda prompt: release.wait(300) and "x", limits=Limits(cell_seconds=20))
box.run({ASK!r})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
cell = box.run('''
n, b = 0, packed('submit', call='query', prompts=['x' * (8 << 20)])
while n < 300 and 'ok' in ask(b): n += 1
print(n, refused(b))
''')
release.set()
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(cell.output, "small" if grown < 800_000 else grown)
"""
    assert alone(script).split() in (["31", "Busy", "small"], ["32", "Busy", "small"])


def test_a_forged_reply_after_its_cell_reaches_nobody() -> None:
    """A function that answers long after its cell was killed finds no ticket to put its answer on."""
    gate = threading.Event()
    with Sandbox(
        llm=lambda prompt: prompt if gate.wait(300) else "", limits=Limits(cell_seconds=0.2, grace_seconds=0.2)
    ) as box:
        box.run(ASK + SUBMIT)
        box.run("submit()\nwhile True: pass")
        cell = box.run("[t] = submit()['ok']\nask(packed('wait', tickets=[t], seconds=0.05))['ok'], t")
        gate.set()
        assert cell.value is not None
        assert cell.value[0] == []  # type: ignore[index]
