"""How many calls of one model run at once, over all threads and event loops that use it.

First come, first served: a place that becomes free goes to whoever waits longest, never to one who comes just then.
Whoever is cancelled while waiting leaves the queue; if it had been given a place at that moment, the place goes on to
the next. A loop that has ended takes no place with it.

Waiting counts against a request's own timeout, and is not bounded otherwise: see OpenAIModel.complete.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from divebell.errors import ConfigurationError


class _Waiter:
    """One call in the queue. `granted` is set under the limit's lock; `woken` belongs to the waiter's own loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.woken: asyncio.Future[None] = self.loop.create_future()
        self.granted = False

    def wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


class ConcurrencyLimit:
    """At most `places` holders at once. ConfigurationError where that is no number above 0."""

    def __init__(self, places: int) -> None:
        if type(places) is not int or places < 1:
            raise ConfigurationError(f"max_concurrency must be a whole number above 0, not {places!r}")
        self._free = places
        self._waiting: deque[_Waiter] = deque()
        # Of the thread and re-entrant, because the garbage collector may end an abandoned call, and so give its place
        # back, at any moment: while this very thread holds the lock, too.
        self._lock = threading.RLock()

    @property
    def free(self) -> int:
        """How many places nobody holds."""
        return self._free

    @property
    def waiting(self) -> int:
        """How many calls wait for a place."""
        return len(self._waiting)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place for the length of the block; waits for one first."""
        await self._acquire()
        try:
            yield
        finally:
            self._release()

    async def _acquire(self) -> None:
        waiter = _Waiter()
        with self._lock:
            if self._free and not self._waiting:
                self._free -= 1
                return
            self._waiting.append(waiter)
        try:
            await waiter.woken
        except BaseException:
            with self._lock:
                granted = waiter.granted
                if not granted:
                    self._waiting.remove(waiter)
            if granted:
                self._release()
            raise

    def _release(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._free += 1
                    return
                waiter = self._waiting.popleft()
                waiter.granted = True
            try:
                waiter.loop.call_soon_threadsafe(waiter.wake)
            except RuntimeError:  # its loop has ended without it
                continue
            return
