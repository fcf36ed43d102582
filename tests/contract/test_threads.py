"""README.md's table: ThreadPoolExecutor, which models love to write, and what else they know of threads."""

import pytest

from divebell import Limits, Sandbox
from tests.support.cells import error_kind, value_of
from tests.support.meeting import Meeting

POOL = "from concurrent.futures import ThreadPoolExecutor, ProcessPoolExecutor, as_completed, wait\nimport concurrent.futures, functools, threading, queue, time\n"

AT_ONCE = {
    "map over llm_query": "with ThreadPoolExecutor(4) as e: r = list(e.map(llm_query, 'abcd'))\nr",
    "map without a with": "list(ThreadPoolExecutor().map(llm_query, 'abcd'))",
    "map over a function": "def f(c): return llm_query(c)\nwith ThreadPoolExecutor(4) as e: r = list(e.map(f, 'abcd'))\nr",
    "map over a lambda": "with ThreadPoolExecutor(4) as e: r = list(e.map(lambda c: llm_query(f'{c}'), 'abcd'))\nr",
    "a function that calls a function": "def g(c):\n    return llm_query(c)\ndef f(c):\n    return g(c)\n"
    "with ThreadPoolExecutor(4) as e: r = list(e.map(f, 'abcd'))\nr",
    "a closure": "def outer(end):\n    def f(c):\n        return llm_query(c + end)\n    return f\n"
    "with ThreadPoolExecutor(4) as e: r = [x[0] for x in e.map(outer('!'), 'abcd')]\nr",
    "a method": "class Asker:\n    end = '!'\n    def ask(self, c):\n        return llm_query(c + self.end)[0]\n"
    "with ThreadPoolExecutor(4) as e: r = list(e.map(Asker().ask, 'abcd'))\nr",
    "a partial": "with ThreadPoolExecutor(4) as e: r = list(e.map(functools.partial(llm_query, model=None), 'abcd'))\nr",
    "a function that retries": """
def f(c):
    for attempt in range(3):
        try:
            return llm_query(c)
        except Exception as error:
            last = error
    raise last
with ThreadPoolExecutor(4) as e: r = list(e.map(f, 'abcd'))
r
""",
    "a function with a comprehension": "def f(c): return [llm_query(x) for x in [c]][0]\n"
    "with ThreadPoolExecutor(4) as e: r = list(e.map(f, 'abcd'))\nr",
    "a decorated function": "def same(function): return function\n@same\ndef f(c):\n    return llm_query(c)\n"
    "with ThreadPoolExecutor(4) as e: r = list(e.map(f, 'abcd'))\nr",
    "submit and result": "e = ThreadPoolExecutor(4)\nfs = [e.submit(llm_query, c) for c in 'abcd']\n[f.result() for f in fs]",
    "submit and as_completed": "with ThreadPoolExecutor(4) as e:\n    fs = {e.submit(llm_query, c): c for c in 'abcd'}\n"
    "    r = {fs[f]: f.result() for f in as_completed(fs)}\n[r[c] for c in 'abcd']",
    "wait": "e = ThreadPoolExecutor(4)\nfs = [e.submit(llm_query, c) for c in 'abcd']\ndone, left = concurrent.futures.wait(fs)\n"
    "assert not left\n[f.result() for f in fs]",
    "ProcessPoolExecutor": "with ProcessPoolExecutor(4) as e: r = list(e.map(llm_query, 'abcd'))\nr",
    "multiprocessing.Pool": "import multiprocessing\nwith multiprocessing.Pool(4) as p: r = p.map(llm_query, 'abcd')\nr",
    "ThreadPool": "from multiprocessing.pool import ThreadPool\nThreadPool(4).map(lambda c: llm_query(c), 'abcd')",
    "starmap": "from multiprocessing.dummy import Pool\nPool(4).starmap(llm_query, [(c, None) for c in 'abcd'])",
    "threads": "r = {}\ndef f(c): r[c] = llm_query(c)\nts = [threading.Thread(target=f, args=(c,)) for c in 'abcd']\n"
    "for t in ts: t.start()\nfor t in ts: t.join()\n[r[c] for c in 'abcd']",
    "threads that are a class": "class T(threading.Thread):\n    def __init__(self, c):\n        super().__init__()\n        self.c = c\n"
    "    def run(self):\n        self.r = llm_query(self.c)\n"
    "ts = [T(c) for c in 'abcd']\n[t.start() for t in ts]; [t.join() for t in ts]\n[t.r for t in ts]",
    "workers with a queue": """
q, r, lock = queue.Queue(), {}, threading.Lock()
def worker():
    while True:
        c = q.get()
        if c is None:
            break
        answer = llm_query(c)
        with lock:
            r[c] = answer
        q.task_done()
ts = [threading.Thread(target=worker, daemon=True) for _ in range(4)]
for t in ts: t.start()
for c in 'abcd': q.put(c)
for t in ts: q.put(None)
for t in ts: t.join()
[r[c] for c in 'abcd']
""",
}


@pytest.mark.parametrize("name", AT_ONCE)
def test_calls_are_in_flight_together(box: Sandbox, meeting: Meeting, name: str) -> None:
    meeting.party = 4
    assert value_of(box.run(POOL + AT_ONCE[name])) == list("ABCD")
    assert meeting.most == 4


@pytest.mark.parametrize("function", ["llm_query", "lambda c: llm_query(c)"])
def test_max_workers_bounds_the_calls_in_flight(box: Sandbox, meeting: Meeting, function: str) -> None:
    meeting.party = 2
    assert value_of(
        box.run(POOL + f"with ThreadPoolExecutor(max_workers=2) as e: r = list(e.map({function}, 'abcdef'))\nr")
    ) == list("ABCDEF")
    assert meeting.most == 2


IN_ORDER = {
    "a plain function": ("list(ThreadPoolExecutor().map(len, ['a', 'bb']))", [1, 2]),
    "arguments by name": ("def f(a, *, b=2): return a + b\nThreadPoolExecutor().submit(f, 1, b=5).result()", 6),
    "a generator function": ("def f():\n    yield llm_query('a')\nlist(ThreadPoolExecutor().submit(f).result())", ["A"]),
    "a call in a generator expression": ("def f(): return max(llm_query(c) for c in 'ab')\nThreadPoolExecutor().submit(f).result()", "B"),
    "a call under a lock": (
        "lock = threading.Lock()\ndef f(c):\n    with lock: return llm_query(c)\n"
        "with ThreadPoolExecutor(4) as e: r = list(e.map(f, 'ab'))\nr", ["A", "B"]),
    "a lock taken by hand": (
        "lock = threading.Lock()\ndef f(c):\n    lock.acquire()\n    try: return llm_query(c)\n    finally: lock.release()\n"
        "with ThreadPoolExecutor(4) as e: r = list(e.map(f, 'ab'))\nr", ["A", "B"]),
    "a name that a class mangles": (
        "class A:\n    __end = '!'\n    def f(self, c): return llm_query(c + self.__end)\n"
        "list(ThreadPoolExecutor().map(A().f, 'ab'))", ["A!", "B!"]),
    "a function that calls itself": (
        "def f(n): return llm_query('end') if n == 0 else f(n - 1)\nThreadPoolExecutor().submit(f, 5).result()", "END"),
    "nonlocal": (
        "def outer():\n    n = 0\n    def f(c):\n        nonlocal n\n        n += len(llm_query(c))\n"
        "    with ThreadPoolExecutor(2) as e: list(e.map(f, ['a', 'bb']))\n    return n\nouter()", 3),
    "defaults": ("def f(a, b='x', *, c='y'): return llm_query(a + b + c)\nlist(ThreadPoolExecutor().map(f, 'ab'))", ["AXY", "BXY"]),
    "super": (
        "class A:\n    def f(self, c): return c\nclass B(A):\n    def f(self, c):\n        return llm_query(super().f(c))\n"
        "list(ThreadPoolExecutor().map(B().f, 'ab'))", ["A", "B"]),
    "two lambdas in a line": ("list(ThreadPoolExecutor().map(lambda f: f('a'), [lambda c: llm_query(c), lambda c: c]))", ["A", "a"]),
    "an initializer": ("s = []\ne = ThreadPoolExecutor(2, initializer=s.append, initargs=(1,))\n[e.submit(int).result(), s]", [0, [1]]),
    "imap": ("import multiprocessing\nlist(multiprocessing.Pool(2).imap(llm_query, 'ab'))", ["A", "B"]),
    "apply_async": ("import multiprocessing\nr = multiprocessing.Pool(2).apply_async(llm_query, ('a',))\n[r.get(), r.ready(), r.successful()]", ["A", True, True]),
    "join of a plain thread": ("r = []\nt = threading.Thread(target=r.append, args=(1,))\nt.start()\nt.join()\n[r, t.is_alive()]", [[1], False]),
    "an event": ("e = threading.Event()\nthreading.Thread(target=e.set).start()\ne.wait(), e.is_set()", [True, True]),
    "a queue filled by a thread": ("q = queue.Queue()\nthreading.Thread(target=q.put, args=(5,)).start()\nq.get()", 5),
    "a queue that is joined": (
        "q, r = queue.Queue(), []\ndef worker():\n    while True:\n        r.append(q.get())\n        q.task_done()\n"
        "threading.Thread(target=worker).start()\nfor n in range(3): q.put(n)\nq.join()\nr", [0, 1, 2]),
    "the thread's own name": (
        "r = []\nt = threading.Thread(target=lambda: r.append(threading.current_thread().name), name='mine')\nt.start(); t.join(); r", ["mine"]),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_ORDER)
def test_other_functions_give_what_threads_would(box: Sandbox, name: str) -> None:
    code, expected = IN_ORDER[name]
    assert value_of(box.run(POOL + code)) == expected


def test_a_future_says_nothing_false(box: Sandbox, meeting: Meeting) -> None:
    code = """
ran = []
e = ThreadPoolExecutor(1)
a, b, c = (e.submit(ran.append, n) for n in range(3))
before = [f.done() or f.running() for f in (a, b, c)], list(ran)
gone = b.cancel(), b.cancelled(), b.done()
e.shutdown()
before, gone, a.done(), c.result(), ran, a.cancel()
"""
    assert value_of(box.run(POOL + code)) == [[[False] * 3, []], [True] * 3, True, None, [0, 2], False]
    meeting.party = 2
    code = """
e = ThreadPoolExecutor()
f = e.submit(llm_query, 'a')
r = [f.running(), f.done(), f.cancel()]
try: f.result(timeout=0.01)
except TimeoutError: r.append('not yet')
g = e.submit(llm_query, 'b')
told = []
f.add_done_callback(lambda f: told.append(f.result()))
r, f.result(), g.result(), told, f.done()
"""
    assert value_of(box.run(POOL + code)) == [[True, False, False, "not yet"], "A", "B", ["A"], True]


def test_exceptions_come_where_the_result_is_asked_for(box: Sandbox) -> None:
    code = """
e = ThreadPoolExecutor()
fs = [e.submit(f, 'bad') for f in (llm_query, lambda c: llm_query(c), int)]
[type(f.exception()).__name__ for f in fs], type(e.submit(llm_query).exception()).__name__
"""
    assert value_of(box.run(POOL + code)) == [["ModelError", "ModelError", "ValueError"], "TypeError"]
    cell = box.run(POOL + "def f(c):\n    x = 1\n    return llm_query(c)\nlist(ThreadPoolExecutor().map(f, ['bad']))")
    assert error_kind(cell) == "ModelError"
    assert cell.error is not None
    assert "return llm_query(c)" in cell.error.traceback
    assert error_kind(box.run(POOL + "ThreadPoolExecutor(0)")) == "ValueError"
    assert error_kind(box.run(POOL + "e = ThreadPoolExecutor()\ne.shutdown()\ne.submit(int)")) == "RuntimeError"


def test_a_threads_exception_goes_to_its_hook_and_not_to_the_cell(box: Sandbox) -> None:
    for target in ("lambda: 1 / 0", "lambda: llm_query('bad') + 1"):
        cell = box.run(POOL + f"t = threading.Thread(target={target})\nt.start()\nt.join()\nt.is_alive()")
        assert value_of(cell) is False
        assert "Exception in thread" in cell.stderr
    code = "seen = []\nthreading.excepthook = lambda a: seen.append(a.exc_type.__name__)\nt = threading.Thread(target=int, args='x')\nt.start(); t.join(); seen"
    assert value_of(box.run(POOL + code)) == ["ValueError"]
    assert error_kind(box.run(POOL + "t = threading.Thread(target=int)\nt.start(); t.start()")) == "RuntimeError"
    assert error_kind(box.run(POOL + "threading.Thread(target=int).join()")) == "RuntimeError"


def test_the_end_of_a_cell_waits_for_threads_and_executors_as_the_end_of_a_program_does(
    box: Sandbox, meeting: Meeting
) -> None:
    meeting.party = 2
    code = "r = []\ndef f(c): r.append(llm_query(c))\nfor c in 'ab': threading.Thread(target=f, args=(c,)).start()\n"
    box.run(POOL + code)
    assert sorted(box["r"]) == ["A", "B"]
    box.run(POOL + "s = []\nThreadPoolExecutor().submit(s.append, 1)")
    assert box["s"] == [1]
    box.run(POOL + "d = []\nthreading.Thread(target=d.append, args=(1,), daemon=True).start()")
    assert box["d"] == []


@pytest.mark.slow
@pytest.mark.parametrize("end", ["1 / 0", "while True: pass", "import sys; sys.exit()", ""])
@pytest.mark.parametrize("function", ["llm_query", "lambda c: llm_query(c)", "str.upper"])
def test_an_executor_of_an_earlier_cell_works_in_the_next_however_that_one_ended(end: str, function: str) -> None:
    with Sandbox(llm=str.upper, limits=Limits(cell_seconds=0.3, grace_seconds=3)) as box:
        box.run(POOL + f"e = ThreadPoolExecutor(2)\nfs = [e.submit({function}, c) for c in 'abcd']\n{end}")
        assert value_of(box.run(f"list(e.map({function}, 'efgh'))")) == list("EFGH")


@pytest.mark.slow
def test_a_deadline_ends_a_cell_in_which_many_functions_wait_to_run(box: Sandbox) -> None:
    with Sandbox(limits=Limits(cell_seconds=0.3, grace_seconds=3)) as short:
        code = "def f(n):\n    while True: pass\n"
        for run in (
            "import asyncio\nasync def g(n): f(n)\nawait asyncio.gather(*map(g, range(1000)))",
            "list(ThreadPoolExecutor().map(f, range(1000)))",
            "for n in range(1000): threading.Thread(target=f, args=(n,)).start()",
        ):
            cell = short.run(POOL + code + run)
            assert (error_kind(cell), cell.restored) == ("TimeoutError", False)
            assert value_of(short.run("1 + 1")) == 2


def test_a_deadlock_is_told_at_once(box: Sandbox) -> None:
    for code in (
        "queue.Queue().get()",
        "threading.Event().wait()",
        "concurrent.futures.wait([concurrent.futures.Future()])",
    ):
        assert error_kind(box.run(POOL + code)) == "RuntimeError", code
    assert value_of(box.run(POOL + "threading.Event().wait(0.01)")) is False


def test_a_helper_that_is_defined_anew_in_a_later_cell_is_the_one_that_runs(box: Sandbox, meeting: Meeting) -> None:
    box.run(POOL + "def g(c): return c + '1'\ndef f(c): return g(c)")
    assert value_of(box.run("list(ThreadPoolExecutor().map(f, 'ab'))")) == ["a1", "b1"]
    meeting.party = 2
    assert value_of(box.run("def g(c): return llm_query(c + '2')\nlist(ThreadPoolExecutor().map(f, 'ab'))")) == [
        "A2",
        "B2",
    ]
    assert meeting.most == 2
