"""threading without threads: a thread's function runs when something waits, or as a fiber.

A thread starts at the first moment when something waits: a `join`, a queue's `get`, an event, the end of the cell. A
function that asks models, or calls tools, is interleaved with others wherever it asks (twins.py). Any other function
runs from its beginning to its end. A daemon of that kind runs when it is joined or asked whether it lives,
or else not at all, as at the end of a program. Exceptions go to threading.excepthook. A thread that waits for what only
a thread that it interrupted could do cannot go on: it gets a RuntimeError.

threading.Lock itself is CPython's: to take one twice waits until the cell's time is up.
"""

import threading
from _thread import allocate_lock
from collections.abc import Callable
from typing import Any

from divebell_guest import twins
from divebell_guest.fibers import Fiber
from divebell_guest.interruption import ends_cell
from divebell_guest.tickets import in_flight, pump_until

_STATE = "_divebell_state"


class _State:
    """How far a thread has come."""

    __slots__ = ("deferred", "is_done")

    def __init__(self) -> None:
        self.is_done = False
        self.deferred: Callable[[], None] | None = None  # what runs it, where only a join does


def _start(self: threading.Thread) -> None:
    """Start the thread's activity."""
    if not getattr(self, "_initialized", False):
        raise RuntimeError("thread.__init__() not called")
    if _STATE in self.__dict__:
        raise RuntimeError("threads can only be started once")
    state = self.__dict__[_STATE] = _State()
    self._started.set()  # type: ignore[attr-defined]
    function, args, kwargs = self.run, (), {}
    if type(self).run is threading.Thread.run and self._target is not None:  # type: ignore[attr-defined]
        function, args, kwargs = self._target, self._args, self._kwargs  # type: ignore[attr-defined]

    def settle(_value: object, error: BaseException | None) -> None:
        state.is_done = True
        if error is not None and not isinstance(error, SystemExit):
            threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, self)))

    coroutine_call = twins.as_coroutine_call(function, args, kwargs)

    def start_fiber() -> None:
        try:
            coroutine = coroutine_call.coroutine()  # type: ignore[union-attr]
        except TypeError as error:
            settle(None, error)
        else:
            Fiber(coroutine, settle, coroutine_call.context, is_daemon=self.daemon).step()  # type: ignore[union-attr]

    def run() -> None:
        if state.is_done:
            return
        ident = threading.get_ident()
        outer = threading._active[ident]  # type: ignore[attr-defined]
        threading._active[ident] = self  # type: ignore[attr-defined]
        error: BaseException | None = None
        try:
            self.run()
        except BaseException as raised:
            if ends_cell(raised):
                raise
            error = raised
        finally:
            threading._active[ident] = outer  # type: ignore[attr-defined]
        settle(None, error)

    if coroutine_call is not None:
        in_flight.run_when_waiting(start_fiber)
    elif self.daemon:
        state.deferred = run
    else:
        in_flight.run_when_waiting(run)


def _join(self: threading.Thread, timeout: float | None = None) -> None:
    """Wait until the thread terminates."""
    state = self.__dict__.get(_STATE)
    if state is None:
        raise RuntimeError("cannot join thread before it is started")
    _queue_deferred(state)
    pump_until(lambda: state.is_done, timeout)


def _is_alive(self: threading.Thread) -> bool:
    """Return whether the thread is alive."""
    state = self.__dict__.get(_STATE)
    if state is None:
        return False
    _queue_deferred(state)
    if not state.is_done and (in_flight.jobs or in_flight.open):
        in_flight.pump(0)
    return not state.is_done


def _queue_deferred(state: _State) -> None:
    if state.deferred is not None:
        run, state.deferred = state.deferred, None
        in_flight.run_when_waiting(run)


def _wait(self: Any, timeout: float | None = None) -> bool:
    """Wait until notified or until a timeout occurs."""
    if not self._is_owned():
        raise RuntimeError("cannot wait on un-acquired lock")
    waiter = allocate_lock()
    waiter.acquire()
    self._waiters.append(waiter)
    saved = self._release_save()
    is_notified = False
    try:
        is_notified = pump_until(lambda: waiter.acquire(False), timeout)
        return is_notified
    finally:
        self._acquire_restore(saved)
        if not is_notified and waiter in self._waiters:
            self._waiters.remove(waiter)


def install() -> None:
    thread: Any = threading.Thread
    thread.start, thread.join, thread.is_alive = _start, _join, _is_alive
    condition: Any = threading.Condition
    condition.wait = _wait
