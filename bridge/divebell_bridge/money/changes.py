"""Notifying those who wait, in this process, that a ledger gave something back, so that they look again at once.

Other processes are not notified. So whoever waits also looks again by the clock, and nothing depends on a notification.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Changes:
    """The callbacks of those who wait for a ledger. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._count = 0

    @contextmanager
    def listen(self, callback: Callable[[], None]) -> Iterator[None]:
        """While the context is open, the callback is called at each change, on the thread that makes it. It must not
        wait or raise."""
        with self._lock:
            self._count += 1
            key = self._count
            self._callbacks[key] = callback
        try:
            yield
        finally:
            with self._lock:
                del self._callbacks[key]

    def notify(self) -> None:
        """Something changed: call the callbacks."""
        with self._lock:
            callbacks = list(self._callbacks.values())
        for callback in callbacks:
            callback()
