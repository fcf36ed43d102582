"""asyncio without sockets or threads: an event loop that waits at the door.

Tasks, timers, gather, TaskGroup, wait_for, queues and the rest are CPython's own; only where a loop would wait for
sockets, this one waits for calls (tickets.py). `asyncio.run` and `run_until_complete` also work while a loop runs, as
model-written code often has it: the inner one runs to its end first, and the outer one goes on after it.

Everything here belongs to one cell. At its end unfinished tasks are cancelled and timers dropped.
"""

import asyncio
import contextlib
import heapq
from asyncio import base_events, events, runners, tasks, unix_events
from collections.abc import Coroutine
from typing import Any, NoReturn

from divebell_guest import interruption
from divebell_guest.executors import Executor
from divebell_guest.fibers import current
from divebell_guest.tickets import in_flight

POLL_EVERY = 16  # turns of a busy loop; a look at the door costs more than most turns
ROUNDS_TO_END = 20  # that cancelled tasks get at the end of a cell
_MOST_SECONDS = 24 * 3600.0


class _DoorSelector:
    """In place of a selector: waits for calls."""

    def __init__(self) -> None:
        self._turns = 0

    def select(self, timeout: float | None) -> list[object]:
        if timeout == 0 and not in_flight.jobs:
            self._turns += 1
            if self._turns % POLL_EVERY or not in_flight.open:
                return []
        in_flight.pump(timeout)
        return []


class Loop(base_events.BaseEventLoop):
    """See the module's docstring."""

    def __init__(self, selector: object = None) -> None:
        """`selector` is what asyncio.SelectorEventLoop takes. There is nothing here that it could wait for."""
        super().__init__()
        self._selector = _DoorSelector()
        self._executor: Executor | None = None

    def _check_running(self) -> None:
        """Only this loop must not run already: another one may, and waits until this one is done."""
        if self.is_running():
            raise RuntimeError("This event loop is already running")

    def _process_events(self, event_list: object) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def run_forever(self) -> None:
        in_flight.is_used = True
        outer, fiber, current.fiber = events._get_running_loop(), current.fiber, None
        if self not in state.loops:
            state.loops.append(self)
        events._set_running_loop(None)
        try:
            super().run_forever()
        finally:
            events._set_running_loop(outer)
            current.fiber = fiber

    def run_until_complete(self, future: Any) -> Any:
        if not self.is_running():
            return super().run_until_complete(future)
        task = tasks.ensure_future(future, loop=self)
        fiber, current.fiber = current.fiber, None
        running, outer = tasks._swap_current_task(self, None), events._get_running_loop()  # type: ignore[attr-defined]
        events._set_running_loop(self)
        try:
            while not task.done():
                self._run_once()
        finally:
            events._set_running_loop(outer)
            tasks._swap_current_task(self, running)  # type: ignore[attr-defined]
            current.fiber = fiber
        return task.result()

    def _run_once(self) -> None:
        """As the base class's, but a callback may run the loop itself, and so empty the queue."""
        scheduled: list[Any] = self._scheduled  # type: ignore[attr-defined]
        ready: Any = self._ready  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            self._drop_timer(scheduled)
        timeout: float | None = None
        if ready or self._stopping:  # type: ignore[attr-defined]
            timeout = 0
        elif scheduled:
            timeout = min(max(0.0, scheduled[0]._when - self.time()), _MOST_SECONDS)
        self._selector.select(timeout)
        if scheduled:
            end = self.time() + self._clock_resolution  # type: ignore[attr-defined]
            while scheduled and scheduled[0]._when < end:
                handle = heapq.heappop(scheduled)
                handle._scheduled = False
                ready.append(handle)
        before = interruption.current.raised
        for _ in range(len(ready)):
            if not ready:
                break
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()
            handle = None  # else an error that it holds would hold its frames, and so itself
            interrupt_error = interruption.current.raised
            if interrupt_error is not None and interrupt_error is not before:  # a task took it for its own error
                raise interrupt_error

    def _drop_timer(self, scheduled: list[Any]) -> None:
        self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
        heapq.heappop(scheduled)._scheduled = False

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        self._check_closed()  # type: ignore[attr-defined]
        if self.get_debug():
            self._check_callback(func, "run_in_executor")  # type: ignore[attr-defined]
        if executor is None:
            if self._executor is None:
                self._executor = Executor()
            executor = self._executor
        return asyncio.wrap_future(executor.submit(func, *args), loop=self)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None

    def drop_all(self) -> None:
        """Forget what is scheduled, without running any of it."""
        self._ready.clear()  # type: ignore[attr-defined]
        self._scheduled.clear()  # type: ignore[attr-defined]
        for task in _tasks_of(self):
            task._log_destroy_pending = False


def _tasks_of(loop: Loop) -> list[Any]:
    return [task for task in tasks.all_tasks(loop) if not task.done()]


class _State:
    """The loops that ran in this cell."""

    __slots__ = ("loops",)

    def __init__(self) -> None:
        self.loops: list[Loop] = []


class Policy(events.AbstractEventLoopPolicy):
    """Makes loops of the kind above. There is always one: code that asks for it need not have made it."""

    def __init__(self) -> None:
        self._loop: events.AbstractEventLoop | None = None

    def get_event_loop(self) -> events.AbstractEventLoop:
        if self._loop is None or self._loop.is_closed():
            self._loop = Loop()
        return self._loop

    def set_event_loop(self, loop: events.AbstractEventLoop | None) -> None:
        self._loop = loop

    def new_event_loop(self) -> events.AbstractEventLoop:
        return Loop()

    def get_child_watcher(self) -> Any:
        raise NotImplementedError("there are no processes here")

    def set_child_watcher(self, watcher: Any) -> None:
        raise NotImplementedError("there are no processes here")


state = _State()
policy = Policy()
home: list[Loop] = []  # the loop of top-level awaits; empty until the first of them


def run(main: Coroutine[Any, Any, Any], *, debug: bool | None = None, loop_factory: Any = None) -> Any:
    """asyncio.run, also while a loop runs."""
    outer = events._get_running_loop()
    events._set_running_loop(None)
    try:
        with runners.Runner(debug=debug, loop_factory=loop_factory) as runner:
            return runner.run(main)
    finally:
        events._set_running_loop(outer)


def run_cell(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a cell that has awaits at its top level."""
    if not home or home[0].is_closed() or home[0].is_running():
        home[:] = [Loop()]
    events._set_running_loop(None)
    policy.set_event_loop(home[0])
    return home[0].run_until_complete(main)


def finish() -> None:
    """The end of a cell that succeeded: cancel what still runs, and let it see that."""
    for loop in state.loops:
        for _ in range(ROUNDS_TO_END):
            left = [] if loop.is_closed() else _tasks_of(loop)
            if not left:
                break
            for task in left:
                task.cancel("its cell has ended")
            loop.call_soon(loop.stop)
            # The SystemExit that ended the cell is raised again by a TaskGroup that is cancelled.
            with contextlib.suppress(SystemExit):
                loop.run_forever()


def abandon() -> None:
    """The end of any cell: forget what is left, without running it."""
    for loop in state.loops:
        if not loop.is_closed():
            loop.drop_all()
    state.loops.clear()
    events._set_running_loop(None)
    current.fiber = None


# What asyncio's own loops can do besides, and why this one cannot.
_NOT_HERE = {
    "there is no network in this sandbox, and there are no pipes": (
        "add_reader", "remove_reader", "add_writer", "remove_writer", "connect_read_pipe", "connect_write_pipe",
        "create_unix_connection", "create_unix_server", "sock_recv", "sock_recv_into", "sock_recvfrom",
        "sock_recvfrom_into", "sock_sendall", "sock_sendto", "sock_connect", "sock_accept", "sock_sendfile",
    ),
    "there are no processes in this sandbox": ("subprocess_exec", "subprocess_shell"),
    "there are no signals in this sandbox": ("add_signal_handler", "remove_signal_handler"),
}  # fmt: skip


def _make_refusal(name: str, why: str) -> Any:
    def refuse(self: Loop, *_arguments: object, **_options: object) -> NoReturn:
        raise NotImplementedError(why)

    refuse.__name__, refuse.__qualname__ = name, f"Loop.{name}"
    return refuse


def install() -> None:
    for why, names in _NOT_HERE.items():
        for name in names:
            setattr(Loop, name, _make_refusal(name, why))
    events.set_event_loop_policy(policy)
    for module in (asyncio, runners):
        vars(module)["run"] = run
    # Code that makes a loop by its class, or makes a new default policy, gets the one that works here.
    for module in (asyncio, unix_events):
        vars(module).update(
            EventLoop=Loop, SelectorEventLoop=Loop, _UnixSelectorEventLoop=Loop, DefaultEventLoopPolicy=Policy
        )
