"""Cells that would never end. Bytecode heeds the interrupt; C code that does not is killed."""

import threading
import time

import pytest

from divebell import Cell, Limits, Sandbox
from divebell.runtime import watchdog
from tests.support.threat import FINE, IN_TIME, Attack, Threat, ending, threats

TIMEOUT = ending("TimeoutError")
KILLED = ending("Killed")


@pytest.mark.slow
@threats(
    Threat("plain_loop", "while True: pass", TIMEOUT),
    Threat("loop_of_calls", "def f(): pass\nwhile True: f()", TIMEOUT),
    Threat("loop_that_prints_nothing", "while True: print(end='')", TIMEOUT),
    Threat(
        "loop_that_catches_every_exception",
        "while True:\n    try:\n        while True:\n            try:\n                while True: pass\n            except BaseException: pass\n    except BaseException: pass",
        KILLED,
    ),
    Threat(
        "loop_that_catches_in_recursion",
        "def again():\n    try:\n        while True: pass\n    finally: again()\nagain()",
        IN_TIME | ending("RecursionError", "StackOverflow"),
    ),
    Threat("generator_that_swallows_its_close", """
def stubborn():
    while True:
        try: yield
        except BaseException: pass
g = stubborn(); next(g)
while True: g.close()
""", ending("RuntimeError")),
    Threat("sum_of_an_endless_iterator", "sum(iter(int, 1))", IN_TIME),
    Threat("list_of_an_endless_count", "import itertools; list(itertools.count())", IN_TIME | ending("MemoryError")),
    Threat("last_of_an_endless_cycle", "import collections, itertools; collections.deque(itertools.cycle('a'), 0)", IN_TIME),
    Threat("membership_in_an_endless_count", "import itertools; -1 in itertools.count()", IN_TIME),
    Threat("any_over_an_endless_repeat", "import itertools; any(itertools.repeat(0))", IN_TIME),
    Threat("length_of_a_huge_range_summed", "sum(range(10**15))", IN_TIME),
    Threat("regular_expression_that_backtracks", "import re; re.match(r'(a+)+$', 'a' * 40 + 'b')", IN_TIME),
    Threat("regular_expression_with_references", r"import re; re.match(r'((a*)*)*\1b', 'a' * 60)", IN_TIME),
    Threat("power_tower", "10 ** 10 ** 8", IN_TIME | ending("MemoryError")),
    Threat("factorial", "import math; math.factorial(10 ** 8)", IN_TIME | ending("MemoryError")),
    Threat("shift_and_print_of_a_big_integer", "import sys; sys.set_int_max_str_digits(0); str(1 << 40_000_000)", IN_TIME),
    Threat("parsing_of_a_big_integer", "import sys; sys.set_int_max_str_digits(0); int('9' * 4_000_000)", IN_TIME | {FINE}),
    Threat("modular_power_of_huge_numbers", "pow(3, 1 << 200_000, (1 << 200_000) + 1)", IN_TIME),
    Threat("quadratic_str_replace", "('ab' * 10**6).replace('a', 'b' * 10**3)", IN_TIME | ending("MemoryError")),
    Threat("quadratic_difference", "import difflib; difflib.SequenceMatcher(None, 'ab' * 9000, 'ba' * 9000, autojunk=False).ratio()", IN_TIME),
    Threat("sleep_past_the_limit", "import time; time.sleep(3600)", IN_TIME),
    Threat("sleep_in_small_pieces", "import time\nwhile True: time.sleep(0.001)", IN_TIME),
    Threat("sleep_for_ever_in_an_event_loop", "import asyncio; asyncio.run(asyncio.sleep(1e6))", IN_TIME | ending("OSError")),
    Threat("wait_for_an_event_that_nobody_sets", "import threading; threading.Event().wait()", IN_TIME | ending("RuntimeError")),
    Threat("lock_taken_twice", "import threading; l = threading.Lock(); l.acquire(); l.acquire()", IN_TIME | ending("RuntimeError")),
    Threat("queue_that_stays_empty", "import queue; queue.Queue().get()", IN_TIME | ending("RuntimeError")),
    Threat("clock_read_for_ever", "import time\nwhile True: time.time()", IN_TIME),
    Threat("sort_with_an_endless_key", "def key(x):\n    while True: pass\nsorted([1, 2], key=key)", TIMEOUT),
    Threat("endless_comparison", "class C:\n    def __lt__(self, other):\n        while True: pass\nmin(C(), C())", TIMEOUT),
    Threat("endless_hash", "class C:\n    def __hash__(self):\n        while True: pass\n{C()}", TIMEOUT),
    Threat("colliding_hashes", "class C:\n    def __hash__(self): return 1\n{C() for _ in range(10**5)}", IN_TIME),
    Threat("endless_finally", "try:\n    1 / 0\nfinally:\n    while True: pass", TIMEOUT),
    Threat("endless_decorator_at_compile_time", "def d(f):\n    while True: pass\n@d\ndef f(): pass", TIMEOUT),
    Threat("constant_folding_bomb", "x = " + " ** ".join(["9"] * 12), IN_TIME | ending("MemoryError", "OverflowError")),
)  # fmt: skip
def test_a_cell_that_never_ends_is_ended(attack: Attack, threat: Threat) -> None:
    attack(threat)


@pytest.mark.slow
@threats(
    Threat("ignored_alarm", "import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass"),
    Threat("default_alarm", "import signal; signal.signal(signal.SIGALRM, signal.SIG_DFL)\nwhile True: pass"),
    Threat("own_alarm_handler", "import signal; signal.signal(signal.SIGALRM, lambda *_: None)\nwhile True: pass"),
    Threat("interrupt_forbidden", "import divebell_guest.interruption as c; c.current.allowed = False\nwhile True: pass"),
    Threat("handler_replaced", "import divebell_guest.interruption as c; c.on_interrupt.__code__ = (lambda *_: None).__code__\nwhile True: pass"),
    Threat("limit_forged", "import divebell_guest.interruption as c; c.current.limit = '1e9 s'; c.current.allowed = 0\nwhile 1: 0"),
)  # fmt: skip
def test_a_cell_that_is_deaf_to_the_interrupt_is_killed(attack: Attack, threat: Threat) -> None:
    attack(threat.code, *KILLED)


@pytest.mark.slow
def test_the_state_survives_an_interrupt_and_is_put_back_after_a_kill(short_limits: Limits) -> None:
    with Sandbox(limits=short_limits) as box:
        assert box.run("n = 0").ok
        interrupted = box.run("n = 1\nwhile True: pass")
        assert interrupted.error is not None
        assert (interrupted.error.kind, interrupted.restored, box["n"]) == ("TimeoutError", False, 1)
        killed = box.run("n = 2\nsum(iter(int, 1))")
        assert killed.error is not None
        assert (killed.error.kind, killed.restored, box["n"]) == ("Killed", True, 1)


def test_a_cell_after_an_ignored_alarm_is_still_interrupted_and_not_killed(short_limits: Limits) -> None:
    with Sandbox(limits=short_limits) as box:
        assert box.run("import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN); n = 1").ok
        cell = box.run("n = 2\nwhile True: pass")
        assert cell.error is not None
        assert (cell.error.kind, box["n"]) == ("TimeoutError", 2)


@pytest.mark.slow
def test_many_runaways_at_once_all_end_and_one_that_behaves_is_left_alone(short_limits: Limits) -> None:
    deaf = "sum(iter(int, 1))"  # no bytecode, so no interrupt
    cells: list[Cell] = []

    def runaway() -> None:
        with Sandbox(limits=short_limits) as box:
            cells.append(box.run(deaf))

    threads = [threading.Thread(target=runaway) for _ in range(16)]
    with Sandbox(limits=Limits(cell_seconds=60)) as well_behaved:
        for thread in threads:
            thread.start()
        results = []
        until = time.monotonic() + 2
        while time.monotonic() < until:
            results.append(well_behaved.run("sum(range(1000))").value)
        for thread in threads:
            thread.join(300)
        assert set(results) == {499_500}
    assert [cell.error.kind for cell in cells if cell.error] == ["Killed"] * 16


@pytest.mark.slow
def test_an_interrupted_cell_shows_where_it_was_although_the_interrupt_is_repeated(
    short_limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupt comes again and again until the cell ends, so also while its traceback is being written."""
    monkeypatch.setattr(watchdog, "REPEAT_SECONDS", 0.001)
    with Sandbox(limits=short_limits) as box:
        for _ in range(5):
            cell = box.run("def f(n):\n    if n: f(n - 1)\n    while True: pass\nf(100)")
            assert cell.error is not None
            assert cell.error.kind == "TimeoutError"
            assert "while True: pass" in cell.error.traceback
            assert "0.5 s" in cell.error.message
