"""Telling those who wait, in this process, that a ledger gave something back: then they look again at once.

Other processes are not told. So whoever waits looks again by the clock, too, and nothing rests on being told.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Changes:
    """Calls back at each change. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._count = 0

    @contextmanager
    def told(self, callback: Callable[[], None]) -> Iterator[None]:
        """Have it called, on whichever thread makes a change, while the context is open. It must not wait or raise."""
        with self._lock:
            self._count += 1
            key = self._count
            self._callbacks[key] = callback
        try:
            yield
        finally:
            with self._lock:
                del self._callbacks[key]

    def tell(self) -> None:
        """Something changed."""
        with self._lock:
            callbacks = list(self._callbacks.values())
        for callback in callbacks:
            callback()
