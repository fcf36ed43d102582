"""Threads for the functions of an application that sandboxes call: its `llm`, its tools.

Guaranteed: the number of threads is bounded, there are none while there is nothing to do, and no owner's function runs
on another owner's threads. Not guaranteed: an end. A function that never returns keeps its thread; the threads are
daemons, so that it does not keep the process alive.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, TypeVar

MAX_ASYNC_CALLS = 64  # of an application's async functions at once, on one loop

_T = TypeVar("_T")


class Workers:
    """Runs functions on at most `most` threads, the rest in order as these get free."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._lock = threading.Lock()
        self._jobs: OrderedDict[object, Callable[[], None]] = OrderedDict()
        self._threads = 0

    def start(self, function: Callable[[], None]) -> Callable[[], None]:
        """Run the function, which must not raise, in a copy of this context. Returns a function that removes it from
        the queue; once it runs it cannot be stopped."""
        context = copy_context()
        place = object()
        with self._lock:
            self._jobs[place] = lambda: context.run(function)
            is_thread_needed = self._threads < self._most
            if is_thread_needed:
                self._threads += 1
        if is_thread_needed:
            try:
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
            except BaseException:
                with self._lock:
                    self._threads -= 1
                raise

        def cancel() -> None:
            with self._lock:
                self._jobs.pop(place, None)

        return cancel

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._threads -= 1
                    return
                _, job = self._jobs.popitem(last=False)
            job()


class LoopThread:
    """An event loop on a thread, which exists while it has coroutines; at most `most` of them run at once."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places = asyncio.Semaphore(most)  # a new one with each loop, to which it belongs
        self._running = 0

    def start(self, coroutine: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        """Run the coroutine, which must not raise, in a copy of this context. Returns a function that cancels it."""
        context = copy_context()
        tasks: list[asyncio.Task[None]] = []
        is_cancelled = False

        async def run(places: asyncio.Semaphore) -> None:
            async with places:
                await coroutine()

        def begin(places: asyncio.Semaphore) -> None:
            if is_cancelled:
                self._end_one()
                return
            task = asyncio.get_running_loop().create_task(run(places), context=context)
            tasks.append(task)
            task.add_done_callback(lambda _: self._end_one())

        def end() -> None:
            for task in tasks:
                task.cancel()

        with self._lock:
            if self._loop is None:
                self._loop, self._places = asyncio.new_event_loop(), asyncio.Semaphore(self._most)
                threading.Thread(target=self._run, args=(self._loop,), name=self._name, daemon=True).start()
            loop = self._loop
            self._running += 1
            loop.call_soon_threadsafe(begin, self._places)

        def cancel() -> None:
            nonlocal is_cancelled
            is_cancelled = True
            with self._lock:
                if self._loop is loop:
                    loop.call_soon_threadsafe(end)

        return cancel

    def submit(self, function: Callable[[], Coroutine[Any, Any, _T]], done: Callable[[_T], None]) -> Callable[[], None]:
        """As `start`, and give the result to `done`, on the loop's thread."""

        async def run() -> None:
            done(await function())

        return self.start(run)

    def _end_one(self) -> None:
        """On the loop's thread: the loop ends with the last coroutine."""
        with self._lock:
            self._running -= 1
            if self._running == 0 and self._loop is not None:
                self._loop.stop()
                self._loop = None

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.run_forever()
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
