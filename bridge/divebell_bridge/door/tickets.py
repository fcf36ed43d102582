"""Calls that a cell has started and not yet collected: the door's submit and wait.

A guest has one thread; this is how it has many calls in flight. It starts calls and gets numbers for them, goes on, and
waits until one of them is done. A number is valid in one cell, and is collected once.

Guaranteed: at most MAX_OPEN_CALLS are open at once, with at most MAX_REQUEST_BYTES of requests and MAX_KEPT_BYTES of
outcomes between them, whatever the guest does; `wait` ends when `stop` is called from any thread, and `clear` cancels
what is left. Not guaranteed: that a cancelled call stops at once, or costs nothing. That is the host's part.

Bounds count what the guest sent (the packed request) and the characters and bytes of replies.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from divebell_bridge.door import wire
from divebell_bridge.door.bounds import MAX_COLLECTED_BYTES, MAX_OPEN_CALLS, MAX_WAIT_SECONDS
from divebell_bridge.door.reading import RefusedError
from divebell_bridge.door.requests import Call, Outcome

MAX_REQUEST_BYTES = 256 << 20
MAX_KEPT_BYTES = 256 << 20
_TIMEOUT = "TimeoutError"


@dataclass(frozen=True)
class StartedCall:
    """A call that is running. `cancel` gives it up, from any thread, and may be called more than once; after `seconds`,
    if any, the door answers in its place."""

    cancel: Callable[[], None]
    seconds: float | None = None


class _Ticket:
    __slots__ = ("deadline", "message", "outcome", "outcome_bytes", "request_bytes", "started")

    def __init__(self, request_bytes: int) -> None:
        self.request_bytes = request_bytes
        self.started: StartedCall | None = None
        self.deadline: float | None = None
        self.outcome: Outcome | None = None
        self.outcome_bytes = 0


class Tickets:
    """The open calls of one cell. `start` is Host.start: it starts a call, and reports its outcome later, from any
    thread."""

    def __init__(self, start: Callable[[Call, Callable[[Outcome], None]], StartedCall]) -> None:
        self._start = start
        self._changed = threading.Condition()
        self._open: dict[int, _Ticket] = {}
        self._done: dict[int, _Ticket] = {}  # those of _open whose outcome is there, in that order
        self._timed: dict[int, _Ticket] = {}  # those of _open that have a deadline
        self._next = 1
        self._request_bytes = 0
        self._kept_bytes = 0
        self._is_stopped = False

    def submit(self, calls: "list[Call]", request_bytes: int) -> list[int]:
        """Start the calls and return their numbers, in order. `request_bytes` is what all of them together take of the
        host's memory. RefusedError("Busy") where there is no room before some of the open calls have been collected."""
        with self._changed:
            self._check_running()
            if len(self._open) + len(calls) > MAX_OPEN_CALLS:
                raise RefusedError(
                    wire.BUSY, f"at most {MAX_OPEN_CALLS:,} calls can be open at once: wait for some of them"
                )
            if self._open and self._request_bytes + request_bytes > MAX_REQUEST_BYTES:
                raise RefusedError(wire.BUSY, f"open calls hold {MAX_REQUEST_BYTES:,} bytes of prompts: wait for some")
            share = request_bytes // max(len(calls), 1) + 1
            numbers = list(range(self._next, self._next + len(calls)))
            self._next += len(calls)
            for number in numbers:
                self._open[number] = _Ticket(share)
                self._request_bytes += share
        for number, call in zip(numbers, calls, strict=True):
            self._begin(number, call)
        return numbers

    def _begin(self, number: int, call: Call) -> None:
        """Outside of the lock: the host may report the outcome at once."""
        try:
            started = self._start(call, lambda outcome: self._finish(number, outcome))
        except RefusedError as refused:
            self._finish(number, {"kind": refused.kind, "message": str(refused)})
            return
        except BaseException as error:  # a fault of the host: nobody else would answer this ticket
            message = f"the host failed to start the call ({type(error).__name__})"
            self._finish(number, {"kind": wire.MODEL_ERROR, "message": message})
            if not isinstance(error, Exception):
                raise
            return
        with self._changed:
            ticket = self._open.get(number)
            if ticket is not None:
                ticket.started = started
                if started.seconds is not None:
                    ticket.deadline = time.monotonic() + started.seconds
                    self._timed[number] = ticket
                    self._changed.notify_all()
                return
        started.cancel()  # the cell has ended in the meantime

    def _finish(self, number: int, outcome: Outcome) -> None:
        with self._changed:
            ticket = self._open.get(number)
            if ticket is None or ticket.outcome is not None:
                return
            try:
                size = _size(outcome)
            except wire.WireError as error:
                outcome, size = {"kind": wire.MODEL_ERROR, "message": f"what came back is no plain data: {error}"}, 0
            if self._kept_bytes + size > MAX_KEPT_BYTES:
                outcome = {
                    "kind": wire.MODEL_ERROR,
                    "message": f"the reply was dropped: replies that nobody has waited for are over {MAX_KEPT_BYTES:,} "
                    "bytes",
                }
                size = 0
            ticket.outcome, ticket.outcome_bytes = outcome, size
            self._kept_bytes += size
            self._done[number] = ticket
            self._changed.notify_all()

    def wait(self, numbers: "list[int] | None", seconds: float | None) -> list[tuple[int, Outcome]]:
        """Those of `numbers` (None: of all that are open) that are done, with their outcomes; each is returned once.
        Blocks until one is done, or `seconds` have passed: then the list is empty. RefusedError if one is not open."""
        until = time.monotonic() + (MAX_WAIT_SECONDS if seconds is None else seconds)
        with self._changed:
            if numbers is not None:
                self._check_open(numbers)
            if not (self._open if numbers is None else numbers):
                raise RefusedError(wire.BAD_REQUEST, "there is no open call to wait for")
            while True:
                self._check_running()
                now = time.monotonic()
                wake_at = self._expire(now)
                outcomes = self._collect(numbers)
                if outcomes or now >= until:
                    return outcomes
                self._changed.wait(min(until, wake_at) - now)

    def _expire(self, now: float) -> float:
        """Give each call that took too long the outcome of a timeout. Returns when the next deadline is."""
        next_at = now + threading.TIMEOUT_MAX / 2
        for number, ticket in self._timed.items():
            assert ticket.deadline is not None
            assert ticket.started is not None
            if ticket.outcome is not None:
                continue
            if now < ticket.deadline:
                next_at = min(next_at, ticket.deadline)
                continue
            ticket.started.cancel()
            ticket.outcome = outcome_of_timeout(ticket.started.seconds or 0.0)
            self._done[number] = ticket
        return next_at

    def _collect(self, numbers: "list[int] | None") -> list[tuple[int, Outcome]]:
        outcomes: list[tuple[int, Outcome]] = []
        room = MAX_COLLECTED_BYTES
        for number in list(self._done) if numbers is None else [n for n in numbers if n in self._done]:
            ticket = self._done[number]
            if outcomes and ticket.outcome_bytes > room:
                break
            room -= ticket.outcome_bytes
            assert ticket.outcome is not None
            outcomes.append((number, ticket.outcome))
            self._forget(number)
        return outcomes

    def cancel(self, numbers: list[int]) -> None:
        """Give up calls; their outcomes are dropped. RefusedError if one is not open: then none is given up."""
        with self._changed:
            self._check_open(numbers)
            forgotten = [self._forget(number) for number in numbers]
        _cancel(forgotten)

    def clear(self) -> None:
        """Cancel all open calls, and get ready for the next cell."""
        if not self._open:
            return
        with self._changed:
            forgotten = [self._forget(number) for number in list(self._open)]
        _cancel(forgotten)

    def stop(self) -> None:
        """End a wait, now, and refuse all else until `resume`. From any thread."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    @property
    def is_stopped(self) -> bool:
        return self._is_stopped

    def resume(self) -> None:
        self._is_stopped = False

    def _check_running(self) -> None:
        if self._is_stopped:
            raise RefusedError(wire.UNAVAILABLE, "the cell was cancelled")

    def _check_open(self, numbers: list[int]) -> None:
        if not all(number in self._open for number in numbers):
            raise RefusedError(
                wire.BAD_REQUEST, "there is no open call of that number: it never was, or was told already"
            )

    def _forget(self, number: int) -> _Ticket:
        ticket = self._open.pop(number)
        self._done.pop(number, None)
        self._timed.pop(number, None)
        self._request_bytes -= ticket.request_bytes
        self._kept_bytes -= ticket.outcome_bytes
        return ticket


def outcome_of_timeout(seconds: float) -> Outcome:
    """The outcome of a tool that took too long."""
    return {"kind": wire.TOOL_ERROR, "message": f"it did not end within {seconds:g} s", "error": _TIMEOUT}


def is_timeout(outcome: object) -> bool:
    """Whether the outcome says that a tool took too long; one that raised a TimeoutError itself says the same."""
    return isinstance(outcome, dict) and outcome.get("kind") == wire.TOOL_ERROR and outcome.get("error") == _TIMEOUT


def _cancel(forgotten: list[_Ticket]) -> None:
    for ticket in forgotten:
        if ticket.started is not None and ticket.outcome is None:
            ticket.started.cancel()


def _size(outcome: Outcome) -> int:
    """Its size, in characters or bytes. WireError if it is not plain data that can be sent to the guest."""
    text = outcome.get("text")
    return len(text) if isinstance(text, str) else len(wire.encode(outcome))
