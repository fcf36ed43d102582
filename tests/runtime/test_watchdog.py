"""What a cell's time is: its thread's processor time, and a wider bound by the clock."""

import threading
import time
from collections.abc import Callable

import pytest

from divebell import ConfigurationError, Limits, Sandbox, thread_clock
from divebell.runtime import watchdog
from divebell.runtime.watchdog import REPEAT_SECONDS, Guard, State, Watchdog


class Clocks:
    """Time as a test wants it: `processor` of the guest's thread, `wall` of everybody."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.processor, self.wall = 100.0, 1_000.0
        monkeypatch.setattr(watchdog, "this_threads_clock", lambda: lambda: self.processor)
        monkeypatch.setattr(time, "monotonic", lambda: self.wall)
        monkeypatch.setattr(Watchdog, "wake_by", lambda *_: None)

    def pass_by(self, *, processor: float, wall: float) -> None:
        self.processor += processor
        self.wall += wall


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


class Watched:
    """A guard, and what was done to its guest."""

    def __init__(self) -> None:
        self.interrupts = self.kills = 0
        self.guard = Guard(Watchdog(), self._interrupt, self._kill)

    def _interrupt(self) -> None:
        self.interrupts += 1

    def _kill(self) -> None:
        self.kills += 1


@pytest.fixture
def watched(clocks: Clocks) -> Watched:
    made = Watched()
    made.guard.allow(2.0, 1.0, 10.0)
    assert made.guard.enter()
    return made


def test_a_guest_that_gets_little_of_the_processor_is_left_alone(clocks: Clocks, watched: Watched) -> None:
    clocks.pass_by(processor=1.5, wall=19.0)
    assert watched.guard.check(clocks.wall) == pytest.approx(clocks.wall + 0.5)  # it may use 0.5 s by then
    assert (watched.interrupts, watched.kills) == (0, 0)


def test_processor_time_is_what_ends_a_cell(clocks: Clocks, watched: Watched) -> None:
    clocks.pass_by(processor=2.0, wall=2.0)
    assert watched.guard.check(clocks.wall) == pytest.approx(clocks.wall + REPEAT_SECONDS)
    assert (watched.interrupts, watched.kills) == (1, 0)
    clocks.pass_by(processor=1.0, wall=1.0)
    watched.guard.check(clocks.wall)
    assert (watched.interrupts, watched.kills, watched.guard.state) == (1, 1, State.KILLED)
    assert not watched.guard.leave()


def test_the_clock_on_the_wall_ends_a_guest_that_does_not_get_to_run(clocks: Clocks, watched: Watched) -> None:
    clocks.pass_by(processor=0.0, wall=20.0)
    watched.guard.check(clocks.wall)
    assert (watched.interrupts, watched.kills) == (1, 0)
    clocks.pass_by(processor=0.0, wall=10.0)
    watched.guard.check(clocks.wall)
    assert watched.kills == 1


def test_neither_clock_runs_while_the_host_answers(clocks: Clocks, watched: Watched) -> None:
    clocks.pass_by(processor=1.0, wall=5.0)
    assert watched.guard.leave()
    clocks.pass_by(processor=50.0, wall=500.0)
    assert watched.guard.enter()
    clocks.pass_by(processor=0.5, wall=10.0)
    watched.guard.check(clocks.wall)
    assert watched.interrupts == 0
    assert watched.guard.left_seconds == pytest.approx(1.0)
    clocks.pass_by(processor=0.5, wall=0.5)
    watched.guard.check(clocks.wall)
    assert watched.interrupts == 1


def test_a_sleep_counts_on_both(clocks: Clocks, watched: Watched) -> None:
    watched.guard.leave()
    watched.guard.spend(1.5)
    assert watched.guard.left_seconds == pytest.approx(0.5)
    watched.guard.spend(1.6)
    assert not watched.guard.enter()
    assert watched.kills == 1


def test_what_was_cancelled_is_killed_at_the_next_look_whatever_was_left(clocks: Clocks, watched: Watched) -> None:
    watched.guard.expire()
    watched.guard.check(clocks.wall)
    assert watched.kills == 1


def test_a_thread_that_is_gone_is_not_looked_at(clocks: Clocks, watched: Watched) -> None:
    """As in a forked child, where only the thread that forked goes on."""

    def gone() -> float:
        raise OSError

    watched.guard._processor_clock = gone
    assert watched.guard.check(clocks.wall + 1e6) == float("inf")
    assert (watched.interrupts, watched.kills) == (0, 0)


@pytest.mark.skipif(not thread_clock.can_read_threads, reason="a thread's clock cannot be read here")
def test_a_threads_clock_is_its_own_and_is_read_from_others() -> None:
    clocks: list[Callable[[], float]] = []
    ready, done = threading.Event(), threading.Event()

    def wait() -> None:
        clocks.append(thread_clock.this_threads_clock())
        ready.set()
        done.wait(300)

    thread = threading.Thread(target=wait)
    thread.start()
    ready.wait(300)
    mine = thread_clock.this_threads_clock()
    before = mine()
    while mine() < before + 0.2:  # compute
        pass
    assert clocks[0]() < 0.2  # it has only waited
    done.set()
    thread.join()

    def read_until_the_thread_is_gone() -> None:
        """For a moment the system still has a thread that was joined."""
        until = time.monotonic() + 300
        while time.monotonic() < until:
            clocks[0]()

    with pytest.raises(OSError):  # noqa: PT011  (EINVAL by Linux, others by others)
        read_until_the_thread_is_gone()


@pytest.mark.slow
def test_where_threads_have_no_readable_clock_wall_time_is_the_limit(alone: Callable[..., str]) -> None:
    script = """
from divebell import Limits, Sandbox
with Sandbox(limits=Limits(cell_seconds=0.3, grace_seconds=60)) as box:
    print(box.run("while True: pass").error.message)
with Sandbox(limits=Limits(cell_seconds=0.3, grace_seconds=0.1)) as box:
    print(box.run("sum(iter(int, 1))").error.kind)
"""
    told, kind = alone(script, DIVEBELL_WALL_CLOCK="1").splitlines()
    assert told == "the cell ran longer than its limit of 0.3 s"
    assert kind == "Killed"


def test_the_error_names_both_limits() -> None:
    with Sandbox(limits=Limits(cell_seconds=0.25, grace_seconds=60, wall_factor=8)) as box:
        cell = box.run("while True: pass")
    assert cell.error is not None
    assert "0.25 s" in cell.error.message
    if thread_clock.can_read_threads:
        assert cell.error.message.endswith("its limit of 0.25 s of processor time, sleep included, or 2 s by the clock")


SQLITE = "import sqlite3\ndb = sqlite3.connect(':memory:')\ndef endless(*_):\n    while True: pass\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (f"{SQLITE}db.create_function('f', 0, endless)\ndb.execute('select f()')", "OperationalError"),
        (f"{SQLITE}db.set_progress_handler(endless, 1)\ndb.execute('select 1')", "OperationalError"),
        ("try:\n    while True: pass\nexcept TimeoutError: pass\n1 / 0", "ZeroDivisionError"),
        (
            "class Odd:\n    def __del__(self):\n        while True: pass\nodd = Odd(); del odd\n1 / 0",
            "ZeroDivisionError",
        ),
        ("try:\n    while True: pass\nexcept TimeoutError: 1 / 0", "ZeroDivisionError"),
    ],
)
def test_an_error_in_the_place_of_the_interrupt_names_the_limit(code: str, kind: str) -> None:
    with Sandbox(limits=Limits(cell_seconds=0.25, grace_seconds=60)) as box:
        cell, next_cell = box.run(code), box.run("1 / 0")
    assert cell.error is not None
    assert next_cell.error is not None
    assert cell.error.kind == kind
    assert cell.error.traceback.count("the cell ran longer than its limit of 0.25 s") == 1
    assert "limit" not in next_cell.error.traceback


@pytest.mark.parametrize("factor", [0.5, 0, -1, 10_001, float("nan"), True, "2"])
def test_a_wall_factor_that_makes_no_sense_is_refused(factor: object) -> None:
    with pytest.raises(ConfigurationError, match=r"Limits\.wall_factor must be a number"):
        Limits(wall_factor=factor)  # type: ignore[arg-type]
