"""Between a run's event loop and the threads of its guests: the loop has their work done on threads, and they have
tasks done on the loop. What is in flight when the run ends, ends with it.

Guaranteed: after `close` nothing new begins, and `wait_closed` returns when everything in flight has ended, and so has
settled what it held. Not guaranteed: that a cancelled task ends at once: what it shields, such as the settling of a
hold, runs to its end.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread

from divebell_bridge.door import wire
from divebell_bridge.door.door import RefusedError
from divebell_bridge.door.requests import Outcome

_T = TypeVar("_T")
_HAS_ENDED = "the run has ended"
_guest_threads: anyio.CapacityLimiter | None = None
"""Not among anyio's forty threads: a parent keeps its thread while its children run, so a bound here could starve them.
They are bounded by max_concurrent_children and the depth."""


async def in_thread(function: Callable[..., _T], *arguments: Any, abandon_on_cancel: bool = False) -> _T:
    """Call the function in a thread for guests, and wait for it."""
    global _guest_threads
    if _guest_threads is None:
        _guest_threads = anyio.CapacityLimiter(float("inf"))
    return await anyio.to_thread.run_sync(
        function, *arguments, abandon_on_cancel=abandon_on_cancel, limiter=_guest_threads
    )


class RunTasks:
    """The tasks of one run. Made on its event loop, which is asyncio's; `run_all` and `submit` are for other threads.

    Such tasks are outside of the run's own cancellation. They end by their scopes: Task.cancel would break into what
    they shield.
    """

    def __init__(self) -> None:
        self._token = anyio.lowlevel.current_token()
        self._loop = asyncio.get_running_loop()
        self._scopes: set[anyio.CancelScope] = set()
        self._tasks: set[asyncio.Task[Outcome]] = set()
        self._idle = anyio.Event()
        self.is_closed = False

    def close(self) -> None:
        """End the run's work: cancel what is in flight, and refuse new tasks. Call it on the run's event loop."""
        self.is_closed = True
        for scope in self._scopes:
            scope.cancel()
        self._check_idle()

    async def wait_closed(self) -> None:
        """Wait until everything that was in flight at `close` has ended."""
        await self._idle.wait()

    def _check_idle(self) -> None:
        if self.is_closed and not self._scopes and not self._tasks:
            self._idle.set()

    def call_soon(self, function: Callable[[], None]) -> bool:
        """Have the loop call the function. False where the loop is closed: the run ended, and everything on it."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            return False
        return True

    def run_all(self, functions: list[Callable[[], Coroutine[Any, Any, Outcome]]]) -> list[Outcome]:
        """Run them on the loop at the same time, and wait for all; the outcomes in order. RefusedError if the run ends
        before."""
        return anyio.from_thread.run(self._run_all, functions, token=self._token)

    async def _run_all(self, functions: list[Callable[[], Coroutine[Any, Any, Outcome]]]) -> list[Outcome]:
        if self.is_closed:
            raise RefusedError(wire.UNAVAILABLE, _HAS_ENDED)
        outcomes: dict[int, Outcome] = {}

        async def run_one(index: int) -> None:
            outcomes[index] = await functions[index]()

        group = anyio.create_task_group()
        self._scopes.add(group.cancel_scope)
        try:
            async with group:
                for index in range(len(functions)):
                    group.start_soon(run_one, index)
        finally:
            self._scopes.discard(group.cancel_scope)
            self._check_idle()
        if len(outcomes) < len(functions):  # cancelled by `close`
            raise RefusedError(wire.UNAVAILABLE, _HAS_ENDED)
        return [outcomes[index] for index in range(len(functions))]

    async def run_in_scope(
        self, function: Callable[[], Coroutine[Any, Any, Outcome]], scope: anyio.CancelScope
    ) -> Outcome | None:
        """The function's outcome; None if the run, or the scope, has ended first."""
        with scope:
            if self.is_closed:
                return None
            self._scopes.add(scope)
            try:
                return await function()
            finally:
                self._scopes.discard(scope)
        return None

    def submit(
        self, function: Callable[[], Coroutine[Any, Any, Outcome]], done: Callable[[Outcome], None]
    ) -> Callable[[], None]:
        """Run the function as a task on the loop, and return a function that cancels it. Whatever becomes of the task,
        `done` receives an outcome. RefusedError if the run has ended."""
        task = _Task(self, function, done)
        if not self.call_soon(task.begin):
            raise RefusedError(wire.UNAVAILABLE, _HAS_ENDED)
        return task.cancel

    def begin(self, task: "_Task") -> None:
        """Run the task. On the loop."""
        running = self._loop.create_task(task.run())
        self._tasks.add(running)
        running.add_done_callback(task.finish)

    def forget(self, running: "asyncio.Task[Outcome]") -> None:
        """The task has ended. On the loop."""
        self._tasks.discard(running)
        self._check_idle()


class _Task:
    """One call that was submitted. All but `cancel` is on the loop."""

    def __init__(
        self, tasks: RunTasks, function: Callable[[], Coroutine[Any, Any, Outcome]], done: Callable[[Outcome], None]
    ) -> None:
        self._tasks = tasks
        self._function = function
        self._done = done
        self._scope: anyio.CancelScope | None = None
        self._is_cancelled = False

    def begin(self) -> None:
        if self._tasks.is_closed or self._is_cancelled:
            self._done(_outcome_of_end())
        else:
            self._tasks.begin(self)

    async def run(self) -> Outcome:
        if self._is_cancelled:
            return _outcome_of_end()
        self._scope = anyio.CancelScope()
        outcome = await self._tasks.run_in_scope(self._function, self._scope)
        return _outcome_of_end() if outcome is None else outcome

    def finish(self, running: "asyncio.Task[Outcome]") -> None:
        self._tasks.forget(running)
        if running.cancelled():
            self._done(_outcome_of_end())
        elif (error := running.exception()) is not None:
            message = f"the host failed to answer ({type(error).__name__})"
            self._done({"kind": wire.MODEL_ERROR, "message": message})
        else:
            self._done(running.result())

    def cancel(self) -> None:
        """From any thread."""
        self._is_cancelled = True
        self._tasks.call_soon(self._end)

    def _end(self) -> None:
        if self._scope is not None:
            self._scope.cancel()


def _outcome_of_end() -> Outcome:
    return {"kind": wire.UNAVAILABLE, "message": _HAS_ENDED}
