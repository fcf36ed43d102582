"""The host's side of the door: one request of the guest in, one answer out.

Guaranteed: `Door.answer` never raises, whatever bytes it is given; every field of a request is checked for its type and
its bounds (reading.py) before anything acts on it; an operation that is not in the table below is refused. Not
guaranteed: that the work behind an operation is quick. `query` and `child` run on the guest's thread until they are
done, and the host bounds its own waiting; a wait for calls that were submitted ends with `stop`.

A new operation is a name in wire.py, an entry in `_OPERATIONS`, and a method of `Host`.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol

from divebell_bridge.door import reading, wire
from divebell_bridge.door.bounds import CELL_TOOL_CALLS, MAX_ANSWER_BYTES
from divebell_bridge.door.reading import RefusedError
from divebell_bridge.door.requests import Call, ChildQuery, Outcome, Query
from divebell_bridge.door.tickets import StartedCall, Tickets

__all__ = ["Door", "DoorClock", "Host", "Outcome", "RefusedError", "StartedCall"]


class Host(Protocol):
    """What the host offers to the guest. Methods may raise RefusedError; anything else that they raise is a fault of
    the host, of which the guest learns no details."""

    @property
    def takes_references(self) -> bool:
        """Whether a ChildQuery may hold a ContextReference or ContextItem; if not, the guest sends the context
        itself."""
        ...

    def query(self, queries: list[Query]) -> list[Outcome]:
        """Make the calls, at the same time, and wait for all of them; their outcomes in order."""
        ...

    def child(self, children: list[ChildQuery]) -> list[Outcome]:
        """Run the children, at the same time, and wait for all of them; their outcomes in order."""
        ...

    def start(self, call: Call, done: Callable[[Outcome], None]) -> StartedCall:
        """Start a call, or a tool's, and return; `done` receives its outcome later, from any thread, also after it was
        cancelled. Calls of one cell may wait for each other's places, but not for this thread."""
        ...

    def check_answer(self, value: object) -> str | None:
        """Why the value does not fit the output schema of the run, for the model to read; None if it does."""
        ...

    def budget(self) -> dict[str, object]:
        """What is left to spend; None for what is not limited."""
        ...


class DoorClock(Protocol):
    """The time of the guest."""

    def read(self) -> tuple[int, int]:
        """Real and monotonic time in nanoseconds, each at least 2**32, so that msgpack writes nine bytes for it."""
        ...

    def sleep(self, nanoseconds: int) -> None:
        """Sleep."""
        ...

    def pass_time(self, seconds: float) -> None:
        """Note that a wait for calls timed out after this many seconds."""
        ...


class Door:
    """Answers the guest's requests with what the host offers."""

    def __init__(self, host: Host, clock: DoorClock, *, tool_calls: int = CELL_TOOL_CALLS) -> None:
        self._host = host
        self._clock = clock
        self._tool_calls = tool_calls
        self._tool_calls_left = tool_calls
        self._tickets = Tickets(host.start)
        self.charge_seconds: Callable[[float], None] | None = None
        """Receives the seconds that reading requests and writing answers took: the guest pays for them with its
        time."""
        self.interrupted: BaseException | None = None
        """A KeyboardInterrupt or cancellation that came while a request was answered; the sandbox raises it again."""

    def answer(self, packed: bytes) -> bytes:
        """The answer to a request, as bytes."""
        began = time.perf_counter()
        at_work_seconds = 0.0
        try:
            request = wire.decode_bounded(packed)
            if not isinstance(request, dict) or request.get("v") != wire.VERSION:
                return wire.failure(wire.BAD_REQUEST, f"a request is a map with v = {wire.VERSION}")
            op = request.get("op")
            if type(op) is not str or op not in _OPERATIONS:
                return wire.failure(wire.BAD_REQUEST, f"there is no operation {str(op)[:40]!r}")
            began_work = time.perf_counter()
            try:
                result = self.carry_out(op, request, packed)
            finally:
                at_work_seconds = time.perf_counter() - began_work
            return wire.success(result)
        except RefusedError as refused:
            return wire.failure(refused.kind, str(refused))
        except wire.WireError as error:
            return wire.failure(wire.BAD_REQUEST, str(error))
        except Exception as error:
            return wire.failure(wire.MODEL_ERROR, f"the host failed to answer ({type(error).__name__})")
        except BaseException as interruption:
            self.interrupted = interruption
            return wire.failure(wire.UNAVAILABLE, "the run was interrupted")
        finally:
            if self.charge_seconds is not None:
                self.charge_seconds(time.perf_counter() - began - at_work_seconds)

    def carry_out(self, op: str, request: dict[str, Any], packed: bytes) -> object:
        """Do one operation of the table, and return its result as plain data. `packed` is the request as it was
        received."""
        return _OPERATIONS[op](self, request, len(packed))

    @property
    def is_stopped(self) -> bool:
        """Whether the running cell was stopped, so that it waits for nothing any more."""
        return self._tickets.is_stopped

    def begin_cell(self) -> None:
        """Get ready for a cell: it may make all its tool calls, and wait for calls."""
        self._tool_calls_left = self._tool_calls
        self._tickets.resume()

    def end_cell(self) -> None:
        """Cancel what the cell started and did not collect, however it ended."""
        self._tickets.clear()

    def stop(self) -> None:
        """End the wait of the running cell, if it waits for calls that it submitted. From any thread."""
        self._tickets.stop()

    def _query(self, request: dict[str, Any], _size: int) -> object:
        return self._host.query(reading.read_queries(request))

    def _child(self, request: dict[str, Any], _size: int) -> object:
        return self._host.child(self._children(request))

    def _children(self, request: dict[str, Any]) -> list[ChildQuery]:
        if request.get("references") is not None and not self._host.takes_references:
            raise RefusedError(wire.SEND_IN_FULL, "this run's children take no references")
        return reading.read_children(request)

    def _tool(self, request: dict[str, Any], size: int) -> object:
        [number] = self._submit_calls(wire.TOOL, request, size)
        [(_, outcome)] = self._tickets.wait([number], None)
        return outcome

    def _submit(self, request: dict[str, Any], size: int) -> object:
        return self._submit_calls(request.get("call"), request, size)

    def _submit_calls(self, kind: object, request: dict[str, Any], size: int) -> list[int]:
        calls: list[Call]
        if kind == wire.QUERY:
            calls = [*reading.read_queries(request)]
        elif kind == wire.CHILD:
            calls = [*self._children(request)]
        elif kind == wire.TOOL:
            calls = [reading.read_tool_call(request)]
            if self._tool_calls_left <= 0:
                raise RefusedError(
                    wire.TOOL_ERROR, f"a cell may call tools {self._tool_calls:,} times, and has done so"
                )
            self._tool_calls_left -= 1
        else:
            raise RefusedError(wire.BAD_REQUEST, "call must be query, child or tool")
        return self._tickets.submit(calls, size)

    def _wait(self, request: dict[str, Any], _size: int) -> object:
        numbers = None if request.get("tickets") is None else reading.read_tickets(request)
        seconds = reading.read_seconds(request)
        ended = self._tickets.wait(numbers, seconds)
        if not ended and seconds is not None:
            self._clock.pass_time(seconds)
        return ended

    def _cancel(self, request: dict[str, Any], _size: int) -> object:
        self._tickets.cancel(reading.read_tickets(request))
        return None

    def _check_answer(self, request: dict[str, Any], size: int) -> object:
        if size > MAX_ANSWER_BYTES:
            raise RefusedError(wire.BAD_ANSWER, f"the answer has more than {MAX_ANSWER_BYTES:,} bytes")
        return self._host.check_answer(request.get("value"))

    def _budget(self, _request: dict[str, Any], _size: int) -> object:
        return self._host.budget()

    def _read_clock(self, _request: dict[str, Any], _size: int) -> object:
        return self._clock.read()

    def _sleep(self, request: dict[str, Any], _size: int) -> object:
        nanoseconds = request.get("nanoseconds")
        if type(nanoseconds) is not int or nanoseconds < 0:
            raise RefusedError(wire.BAD_REQUEST, "nanoseconds must be a whole number, 0 or more")
        self._clock.sleep(nanoseconds)
        return None


_OPERATIONS: dict[str, Callable[[Door, dict[str, Any], int], object]] = {
    wire.QUERY: Door._query,
    wire.CHILD: Door._child,
    wire.TOOL: Door._tool,
    wire.SUBMIT: Door._submit,
    wire.WAIT: Door._wait,
    wire.CANCEL: Door._cancel,
    wire.CHECK_ANSWER: Door._check_answer,
    wire.BUDGET: Door._budget,
    wire.CLOCK: Door._read_clock,
    wire.SLEEP: Door._sleep,
}
