"""Many calls in flight with one thread: calls are started at the door, and waited for together.

Everything that waits in this guest ends in `pump`: the event loop (event_loop.py) when it has nothing to run, a future
whose result is asked for (executors.py), a thread that is joined (threads.py). Each pump brings on whatever is waiting,
whoever asked, so they may be mixed and nested as code likes. What waits for something that cannot happen any more gets
a RuntimeError instead of waiting until the cell's time is up.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from divebell_guest import bounds, wire
from divebell_guest.door import Refusal, Unavailable, ask, error_of

STUCK = "this would wait for ever: nothing is running here that could end it"

Outcome = dict[str, Any]
OnDone = Callable[[Outcome], None]


class Tickets:
    """The calls and jobs of the cell that runs."""

    __slots__ = ("cells", "is_used", "jobs", "open", "queue")

    def __init__(self) -> None:
        self.is_used = False  # by this cell: set by whatever waits for calls, or might leave something behind
        self.cells = 0  # how many left something behind; what belongs to an earlier cell does not continue
        self.open: dict[int, OnDone] = {}  # by ticket: who receives the outcome
        self.queue: deque[tuple[str, dict[str, object], OnDone]] = deque()  # calls for which the host has no room yet
        self.jobs: deque[Callable[[], None]] = deque()  # functions that run when somebody waits

    def start(self, call: str, arguments: dict[str, object], on_done: OnDone) -> int | None:
        """Start one call; `on_done` receives its outcome during a later pump. None where it has to wait for room."""
        self.is_used = True
        if self.queue or len(self.open) >= bounds.MAX_OPEN_CALLS:
            self.queue.append((call, arguments, on_done))
            return None
        return self._submit(call, arguments, on_done)

    def _submit(self, call: str, arguments: dict[str, object], on_done: OnDone) -> int | None:
        try:
            [ticket] = ask(wire.SUBMIT, call=call, **arguments)
        except Refusal as refusal:
            if refusal.kind != wire.BUSY or not self.open:
                raise
            self.queue.append((call, arguments, on_done))
            return None
        self.open[ticket] = on_done
        return ticket  # type: ignore[no-any-return]

    def run_when_waiting(self, job: Callable[[], None]) -> None:
        """Queue the job, to run as soon as somebody waits."""
        self.is_used = True
        self.jobs.append(job)

    def cancel(self, ticket: int | None, on_done: OnDone) -> None:
        """Give a call up, if its outcome has not come. `ticket` is what `start` returned."""
        for waiting in [entry for entry in self.queue if entry[2] is on_done]:
            self.queue.remove(waiting)
        numbers = [number for number, other in self.open.items() if other is on_done] if ticket is None else [ticket]
        for number in numbers:
            if self.open.pop(number, None) is not None:
                ask(wire.CANCEL, tickets=[number])

    def _start_queued(self) -> None:
        while self.queue and len(self.open) < bounds.MAX_OPEN_CALLS:
            before = len(self.queue)
            call, arguments, on_done = self.queue.popleft()
            try:
                self._submit(call, arguments, on_done)
            except Exception as error:
                on_done({"raised": error})
            if len(self.queue) == before:  # no room: it is at the end now, which is as good a place
                return

    def pump(self, seconds: float | None = None) -> bool:
        """Run a job, or wait for a call to end: for the given seconds at most, or as long as it takes (None). False if
        nothing happened."""
        if self.jobs:
            self.jobs.popleft()()
            return True
        if not self.open and self.queue:
            self._start_queued()
        if not self.open:
            if seconds is None:
                raise RuntimeError(STUCK)
            if seconds > 0:
                time_sleep(seconds)
            return False
        try:
            outcomes = ask(wire.WAIT, tickets=None, seconds=seconds)
        except Unavailable:
            self.clear()
            raise
        for ticket, outcome in outcomes:
            on_done = self.open.pop(ticket, None)
            if on_done is not None:
                on_done(outcome)
        if self.queue:
            self._start_queued()
        return bool(outcomes)

    def clear(self) -> None:
        """Forget everything: the cell has ended, and the host cancels its calls itself."""
        self.cells += 1
        self.is_used = False
        self.open.clear()
        self.queue.clear()
        self.jobs.clear()


time_sleep = time.sleep
in_flight = Tickets()


def result_of(outcome: Outcome) -> Any:
    """The reply or value of a call; raises where it failed."""
    if "text" in outcome:
        return outcome["text"]
    if "value" in outcome:
        return outcome["value"]
    if "raised" in outcome:
        raise outcome["raised"]
    raise error_of(outcome)


def pump_until(is_done: Callable[[], bool], seconds: float | None = None) -> bool:
    """Pump until `is_done` returns True, or the seconds have passed. Returns whether it is done."""
    if is_done():
        return True
    if seconds is None:
        while not is_done():
            in_flight.pump()
        return True
    until = time.monotonic() + seconds
    while not is_done():
        left = until - time.monotonic()
        if left <= 0:
            return False
        in_flight.pump(left)
    return True
