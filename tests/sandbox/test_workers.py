"""The threads that call an application's functions: bounded in number, gone when there is nothing to do."""

import asyncio
import threading
from collections.abc import Callable

from divebell.sandbox.workers import LoopThread, Workers


def named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def until(condition: Callable[[], bool]) -> bool:
    """Whether it becomes true; long before this gives up, unless something hangs."""
    waiting = threading.Event()
    return any(condition() or waiting.wait(0.01) for _ in range(30_000))


def test_at_most_so_many_run_at_once_all_run_and_the_threads_end() -> None:
    workers, lock, release = Workers(3, "test-bounded"), threading.Lock(), threading.Event()
    running = most = done = 0

    def job() -> None:
        nonlocal running, most, done
        with lock:
            running += 1
            most = max(most, running)
        release.wait(300)
        with lock:
            running -= 1
            done += 1

    for _ in range(10):
        workers.start(job)
    assert until(lambda: running == 3)
    assert len(named("test-bounded")) == 3
    release.set()
    assert until(lambda: done == 10 and not named("test-bounded"))
    assert most == 3


def test_what_has_not_started_can_be_taken_out_again() -> None:
    workers, release, ran = Workers(1, "test-cancel"), threading.Event(), list[int]()

    def wait() -> None:
        release.wait(300)

    workers.start(wait)
    cancels = [workers.start(lambda n=n: ran.append(n)) for n in range(3)]  # type: ignore[misc]
    cancels[1]()
    cancels[1]()
    release.set()
    assert until(lambda: not named("test-cancel"))
    cancels[0]()
    assert ran == [0, 2]


def test_a_loop_runs_at_most_so_many_and_ends_when_idle_and_starts_again() -> None:
    thread, gate = LoopThread(2, "test-loop"), threading.Event()
    running = most = done = 0

    async def job() -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        while not gate.is_set():
            await asyncio.sleep(0.001)
        running -= 1
        done += 1

    for turn in (1, 2):
        gate.clear()
        for _ in range(5):
            thread.start(job)
        assert until(lambda: running == 2)
        gate.set()
        assert until(lambda turn=turn: done == 5 * turn and not named("test-loop"))  # type: ignore[misc]
    assert most == 2


def test_a_coroutine_can_be_cancelled_before_and_while_it_runs() -> None:
    thread, seen = LoopThread(1, "test-loop-cancel"), list[str]()

    async def job() -> None:
        seen.append("began")
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("ended")

    cancels = [thread.start(job) for _ in range(3)]
    assert until(lambda: seen == ["began"])
    for cancel in reversed(cancels):
        cancel()
        cancel()
    assert until(lambda: not named("test-loop-cancel"))
    assert seen == ["began", "ended"]
