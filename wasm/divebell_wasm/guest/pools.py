"""A stand-in for multiprocessing, which this interpreter lacks: its pools are executors, its processes are threads.

Only what code that maps a function over a list uses. A "process" shares everything with the code that made it.
"""

import functools
import queue
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from divebell_guest.executors import Executor, Future, as_completed, wait


class AsyncResult:
    """What the _async methods of a pool return."""

    def __init__(
        self, futures: list[Future], *, is_list: bool, callback: Any = None, error_callback: Any = None
    ) -> None:
        self._futures = futures
        self._is_list = is_list
        self._callback, self._error_callback = callback, error_callback
        self._left = len(futures)
        for future in futures:
            future.add_done_callback(self._count_down)

    def _count_down(self, _future: Any) -> None:
        self._left -= 1
        if self._left:
            return
        if self.successful():
            if self._callback is not None:
                self._callback(self.get())
        elif self._error_callback is not None:
            self._error_callback(next(f.exception() for f in self._futures if f.exception() is not None))

    def get(self, timeout: float | None = None) -> Any:
        self.wait(timeout)
        results = [future.result(0) for future in self._futures]
        return results if self._is_list else results[0]

    def wait(self, timeout: float | None = None) -> None:
        wait(self._futures, timeout)

    def ready(self) -> bool:
        return not [future for future in self._futures if not future.done()]

    def successful(self) -> bool:
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return not [future for future in self._futures if future.exception() is not None]


class Pool:
    """multiprocessing.Pool, and ThreadPool."""

    def __init__(
        self,
        processes: int | None = None,
        initializer: Any = None,
        initargs: Any = (),
        *_others: object,
        **_more: object,
    ) -> None:
        self._executor = Executor(processes, "", initializer, tuple(initargs))

    def _all(self, function: Callable[..., Any], items: Iterable[Any]) -> list[Future]:
        return [self._executor.submit(function, item) for item in items]

    def apply(self, func: Callable[..., Any], args: Any = (), kwds: Any = None) -> Any:
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Any = (),
        kwds: Any = None,
        callback: Any = None,
        error_callback: Any = None,
    ) -> AsyncResult:
        future = self._executor.submit(func, *args, **(kwds or {}))
        return AsyncResult([future], is_list=False, callback=callback, error_callback=error_callback)

    def map(self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        return self.map_async(func, iterable).get()  # type: ignore[no-any-return]

    def map_async(
        self,
        func: Any,
        iterable: Iterable[Any],
        chunksize: Any = None,
        callback: Any = None,
        error_callback: Any = None,
    ) -> AsyncResult:
        futures = self._all(func, iterable)
        return AsyncResult(futures, is_list=True, callback=callback, error_callback=error_callback)

    def starmap(self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        return self.starmap_async(func, iterable).get()  # type: ignore[no-any-return]

    def starmap_async(
        self,
        func: Any,
        iterable: Iterable[Any],
        chunksize: Any = None,
        callback: Any = None,
        error_callback: Any = None,
    ) -> AsyncResult:
        futures = [self._executor.submit(functools.partial(func, *arguments)) for arguments in iterable]
        return AsyncResult(futures, is_list=True, callback=callback, error_callback=error_callback)

    def imap(self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int = 1) -> Iterator[Any]:
        futures = self._all(func, iterable)
        return (future.result() for future in futures)

    def imap_unordered(self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int = 1) -> Iterator[Any]:
        return (future.result() for future in as_completed(self._all(func, iterable)))

    def close(self) -> None:
        self._executor.shutdown(wait=False)

    def terminate(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def join(self) -> None:
        self._executor.shutdown()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_error: object) -> None:
        self.terminate()


def _cpu_count() -> int:
    return 1


def install() -> None:
    shared: dict[str, Any] = {
        "Pool": Pool, "Process": threading.Thread, "Queue": queue.Queue, "JoinableQueue": queue.Queue,
        "SimpleQueue": queue.Queue, "Lock": threading.Lock, "RLock": threading.RLock, "Event": threading.Event,
        "Semaphore": threading.Semaphore, "Condition": threading.Condition, "cpu_count": _cpu_count,
        "current_process": threading.current_thread,
    }  # fmt: skip
    names: dict[str, dict[str, Any]] = {
        "multiprocessing": {**shared, "TimeoutError": TimeoutError, "freeze_support": lambda: None},
        "multiprocessing.pool": {"Pool": Pool, "ThreadPool": Pool, "AsyncResult": AsyncResult},
        "multiprocessing.dummy": shared,
    }
    for name, contents in names.items():
        module = sys.modules[name] = types.ModuleType(name, __doc__)
        vars(module).update(contents)
    package: Any = sys.modules["multiprocessing"]
    package.__path__ = []
    package.pool, package.dummy = sys.modules["multiprocessing.pool"], sys.modules["multiprocessing.dummy"]
