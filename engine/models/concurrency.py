"""How many calls of one model run at once, over all threads and event loops that use it.

First come, first served: a place that becomes free goes to whoever waits longest, never to one who comes just then.
Whoever is cancelled while waiting leaves the queue; if it had been given a place at that moment, the place goes on to
the next. A loop that has ended takes no place with it.

Waiting counts against a request's own timeout, and is not bounded otherwise: see OpenAIModel.complete.
"""

import asyncio
import threading
from collections import deque
from contextlib import suppress
from types import TracebackType

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
    """At most `places` holders at once, each for the length of `async with limit:`.

    ConfigurationError where `places` is no number above 0.
    """

    def __init__(self, places: int) -> None:
        if type(places) is not int or places < 1:
            raise ConfigurationError(f"max_concurrency must be a whole number above 0, not {places!r}")
        self._free = places
        self._waiting: deque[_Waiter] = deque()
        # Re-entrant, because the garbage collector may end an abandoned call, and so give its place back, at any
        # moment: while this very thread holds the lock, too.
        self._lock = threading.RLock()

    @property
    def free(self) -> int:
        """How many places nobody holds."""
        return self._free

    @property
    def waiting(self) -> int:
        """How many calls wait for a place."""
        return len(self._waiting)

    async def __aenter__(self) -> None:
        waiter = _Waiter()
        with self._lock:
            if self._free:  # then nobody waits: a place is handed on, and free only where there was nobody to have it
                self._free -= 1
                return
            self._waiting.append(waiter)
        try:
            await waiter.woken
        except BaseException:
            if self._given_up(waiter):
                self._release()
            raise

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _frames: TracebackType | None
    ) -> None:
        self._release()

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
            except RuntimeError:  # its loop is closed: it will never run, so its place goes on
                if self._given_up(waiter):
                    continue
            return

    def _given_up(self, waiter: _Waiter) -> bool:
        """Whether the waiter, which goes away, had a place to pass on. True once at most."""
        with self._lock:
            granted, waiter.granted = waiter.granted, False
            if not granted:
                with suppress(ValueError):  # neither in the queue any more
                    self._waiting.remove(waiter)
            return granted
