"""Carries events from a run's thread to a consumer on a thread of its own.

Guaranteed: `put` never waits for the consumer and never raises, whatever the consumer does: events that do not fit into
the buffer are dropped and counted. The thread exists only while there is something to carry: it ends IDLE_SECONDS after
the last event, and the next event starts it again. Events reach the consumer in order, a batch at a time.

Not guaranteed: that every event arrives. A consumer that raised is not called again; when the process ends, what is
queued has END_SECONDS.
"""

import atexit
import logging
import threading
import time
from collections.abc import Callable

from divebell.events import Event
from divebell.trace.buffer import Buffer

GATHER_SECONDS = 0.02
"""How long a batch is collected: waking the thread for every event would cost the run more than writing does."""
IDLE_SECONDS = 1.0
END_SECONDS = 10.0

_log = logging.getLogger("divebell.trace")


class Pump:
    """`consume` receives a batch, and how many events were dropped before it."""

    def __init__(self, consume: Callable[[list[Event], int], None], *, name: str, buffer: Buffer | None = None) -> None:
        self._consume = consume
        self._name = name
        self._buffer = Buffer() if buffer is None else buffer
        self._condition = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._waits = False
        self._closed = threading.Event()
        self._reported = 0
        self.problem: str | None = None
        """What the consumer raised, if anything; it has received nothing since."""

    @property
    def dropped(self) -> int:
        """How many events did not fit, or came after the end."""
        return self._buffer.dropped

    def put(self, event: Event) -> None:
        with self._condition:
            if self._closed.is_set() or self.problem is not None:
                self._buffer.dropped += 1
                return
            self._buffer.put(event)
            if self._thread is None:
                self._start()
            elif self._waits:
                self._waits = False
                self._condition.notify_all()

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
            atexit.register(self.close)
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            self._buffer.dropped += len(self._buffer.take())
            self.problem = str(error)
            return
        self._thread = thread

    def _work(self) -> None:
        while True:
            with self._condition:
                if not len(self._buffer) and not self._closed.is_set():
                    self._waits = True
                    self._condition.wait(IDLE_SECONDS)
                    self._waits = False
                if not len(self._buffer):
                    break
            self._closed.wait(GATHER_SECONDS)
            with self._condition:
                events = self._buffer.take()
                dropped, self._reported = self.dropped - self._reported, self.dropped
            try:
                self._consume(events, dropped)
            except Exception as error:
                self._give_up(error)
                break
        self._end()

    def _give_up(self, error: Exception) -> None:
        with self._condition:
            self.problem = f"{type(error).__name__}: {error}"
            self._buffer.dropped += len(self._buffer.take())
        _log.warning("%s stopped, the run goes on: %s", self._name, self.problem)

    def _end(self) -> None:
        with self._condition:
            self._thread = None
            atexit.unregister(self.close)
            if len(self._buffer):  # an event was put after _work looked last
                self._start()
            self._condition.notify_all()

    def close(self, seconds: float = END_SECONDS) -> bool:
        """Carry what is queued, then accept no more. Returns whether that was done within `seconds`."""
        until = time.monotonic() + seconds
        self._closed.set()
        with self._condition:
            self._condition.notify_all()
            while self._thread is not None:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._condition.wait(left)
        return True
