"""`EventStream`: a run's events as an async iterator.

The run never waits for its consumer: at the bound, events are dropped and counted.
"""

import asyncio
import contextlib
import threading
from typing import Literal

from divebell.events import Event
from divebell.trace.buffer import MAX_QUEUED_CHARACTERS, Buffer


class EventStream:
    """Pass it to an RLM as `on_event`, iterate over it in an event loop, and `close` it when the run is over.

    max_events: how many may be queued. drop: which ones are dropped at that bound, the "oldest" or the "newest".

    The run may be in another thread, or in another event loop. Only one consumer iterates at a time.
    """

    def __init__(self, *, max_events: int = 10_000, drop: Literal["oldest", "newest"] = "oldest") -> None:
        self._buffer = Buffer(max_events=max_events, max_characters=MAX_QUEUED_CHARACTERS, drop=drop)
        self._lock = threading.Lock()
        self._closed = False
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    @property
    def dropped(self) -> int:
        """How many events did not fit."""
        return self._buffer.dropped

    def __call__(self, event: Event) -> None:
        """Take an event. Returns at once, and never raises."""
        with self._lock:
            if self._closed:
                self._buffer.dropped += 1
                return
            self._buffer.put(event)
            waiter, self._waiter = self._waiter, None
        _wake(waiter)

    def close(self) -> None:
        """End the iteration, after the events that are queued."""
        with self._lock:
            self._closed = True
            waiter, self._waiter = self._waiter, None
        _wake(waiter)

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> Event:
        while True:
            with self._lock:
                if len(self._buffer):
                    return self._buffer.pop()
                if self._closed:
                    raise StopAsyncIteration
                signal = asyncio.Event()
                self._waiter = (asyncio.get_running_loop(), signal)
            await signal.wait()


def _wake(waiter: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None) -> None:
    if waiter is not None:
        loop, signal = waiter
        with contextlib.suppress(RuntimeError):  # that loop has ended: nobody iterates
            loop.call_soon_threadsafe(signal.set)
