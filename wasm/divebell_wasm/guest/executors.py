"""concurrent.futures without threads: many model calls at once, everything else in order.

What an executor is given runs as a fiber where that is possible: llm_query and its kin, tools, and functions of a cell
that call these (twins.py). Their calls are in flight together, at most `max_workers` of them. A call of llm_query or a
tool starts when it is submitted. Everything else starts, in the order of submission, as soon as somebody waits for a
result, or for anything else; until then its future is pending and can be cancelled. A function that is not a fiber then
runs from its beginning to its end. ProcessPoolExecutor is the same.
"""

import concurrent.futures
import functools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import _base
from typing import Any

from divebell_guest import twins
from divebell_guest.fibers import Fiber
from divebell_guest.interruption import ends_cell
from divebell_guest.tickets import in_flight, pump_until

DEFAULT_WORKERS = 32


class Future(_base.Future[Any]):
    """As CPython's, but to wait for it is to bring things on."""

    def result(self, timeout: float | None = None) -> Any:
        pump_until(self.done, timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        pump_until(self.done, timeout)
        return super().exception(0)


_QueuedCall = tuple[Future, Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Executor(_base.Executor):
    """See the module's docstring. The arguments are those of CPython's executors."""

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: object = "",
        initializer: Callable[..., Any] | None = None,
        initargs: tuple[Any, ...] = (),
        **_options: object,
    ) -> None:
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._max_workers = DEFAULT_WORKERS if max_workers is None else max_workers
        self._initializer = None if initializer is None else functools.partial(initializer, *initargs)
        self._waiting: deque[_QueuedCall] = deque()
        self._active = 0
        self._is_filling = False
        self._is_shut_down = False
        self._cell = in_flight.cells

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        if self._is_shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self._initializer is not None:
            initializer, self._initializer = self._initializer, None
            initializer()
        if self._cell != in_flight.cells:  # what it had in flight ended with an earlier cell
            self._cell, self._active = in_flight.cells, 0
            while self._waiting:
                self._waiting.popleft()[0].cancel()
        future = Future()
        self._waiting.append((future, fn, args, kwargs))
        self._fill()
        return future

    def _fill(self) -> None:
        """Start as many queued calls as there are free workers."""
        if self._is_filling:  # a call that failed at once: the loop below goes on with the next
            return
        self._is_filling = True
        try:
            while self._waiting and self._active < self._max_workers:
                self._begin(*self._waiting.popleft())
        finally:
            self._is_filling = False

    def _begin(self, future: Future, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        if future.cancelled():
            future.set_running_or_notify_cancel()
            return
        self._active += 1
        coroutine_call = twins.as_coroutine_call(function, args, kwargs)
        if coroutine_call is not None and coroutine_call.is_direct:
            self._start_fiber(future, coroutine_call)
        elif coroutine_call is not None:
            in_flight.run_when_waiting(functools.partial(self._start_fiber, future, coroutine_call))
        else:
            in_flight.run_when_waiting(functools.partial(self._run_to_end, future, function, args, kwargs))

    def _start_fiber(self, future: Future, coroutine_call: twins.CoroutineCall) -> None:
        """Start a fiber, and run it up to its first wait."""
        if not future.set_running_or_notify_cancel():
            self._skip_cancelled()
            return
        try:
            coroutine = coroutine_call.coroutine()
        except TypeError as error:
            self._settle(future, None, error)
        else:
            Fiber(coroutine, functools.partial(self._settle, future), coroutine_call.context).step()

    def _run_to_end(self, future: Future, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        """Run a function that is not a fiber to its end."""
        if not future.set_running_or_notify_cancel():
            self._skip_cancelled()
            return
        try:
            value, error = function(*args, **kwargs), None
        except BaseException as raised:
            if ends_cell(raised):
                raise
            value, error = None, raised
        self._settle(future, value, error)

    def _skip_cancelled(self) -> None:
        """Make room for the next call: this one was cancelled before it started."""
        self._active -= 1
        self._fill()

    def _settle(self, future: Future, value: Any, error: BaseException | None) -> None:
        self._active -= 1
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
        self._fill()

    def _is_idle(self) -> bool:
        return self._active == 0 and not self._waiting

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._is_shut_down = True
        if cancel_futures:
            for future, *_ in self._waiting:
                future.cancel()
            self._fill()
        if wait:
            pump_until(self._is_idle)


def wait(fs: Iterable[Any], timeout: float | None = None, return_when: str = _base.ALL_COMPLETED) -> Any:
    """concurrent.futures.wait"""
    futures = set(fs)

    def is_enough() -> bool:
        done = [future for future in futures if future.done()]
        if return_when == _base.FIRST_COMPLETED and done:
            return True
        if return_when == _base.FIRST_EXCEPTION and has_failed(done):
            return True
        return len(done) == len(futures)

    pump_until(is_enough, timeout)
    done = {future for future in futures if future.done()}
    return _base.DoneAndNotDoneFutures(done, futures - done)


def has_failed(done: list[Any]) -> bool:
    return bool([future for future in done if not future.cancelled() and future.exception() is not None])


def as_completed(fs: Iterable[Any], timeout: float | None = None) -> Iterator[Any]:
    """concurrent.futures.as_completed"""
    until = None if timeout is None else time.monotonic() + timeout
    total = left = list(dict.fromkeys(fs))
    while left:
        done = [future for future in left if future.done()]
        left = [future for future in left if not future.done()]
        yield from done
        seconds = None if until is None else until - time.monotonic()
        if not done and not pump_until(functools.partial(_is_one_done, left), seconds):
            raise TimeoutError(f"{len(left)} (of {len(total)}) futures unfinished")


def _is_one_done(futures: list[Any]) -> bool:
    return any(future.done() for future in futures)


class ThreadPoolExecutor(Executor):
    __doc__ = Executor.__doc__


class ProcessPoolExecutor(Executor):
    __doc__ = Executor.__doc__


def install() -> None:
    import concurrent.futures.thread as thread_module
    import sys
    import types

    process_module = types.ModuleType("concurrent.futures.process")
    sys.modules["concurrent.futures.process"] = process_module
    for module in (concurrent.futures, thread_module, process_module):
        vars(module).update(ThreadPoolExecutor=ThreadPoolExecutor, ProcessPoolExecutor=ProcessPoolExecutor)
    vars(concurrent.futures)["process"] = process_module
    for module in (concurrent.futures, _base):
        vars(module).update(wait=wait, as_completed=as_completed)
