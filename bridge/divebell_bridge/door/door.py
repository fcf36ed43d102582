"""The host's side of the door: one request of the guest in, one answer out.

Guaranteed: `Door.answer` never raises, whatever bytes it is given; every field of a request is checked for its type and
its bounds (reading.py) before anything acts on it; an operation that is not in the table below is refused. Not
guaranteed: that the work behind an operation is quick. `query` and `child` run on the guest's thread until they are
done, and the services bound their own waiting; a wait for calls that were submitted ends with `stop`.

A new operation is a name in wire.py, an entry in `_OPERATIONS`, and a method of `Services`.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol

from divebell_bridge.door import reading, wire
from divebell_bridge.door.reading import MAX_BATCH, MAX_MODEL_NAME, Refused
from divebell_bridge.door.requests import Call, ChildQuery, Outcome, Query
from divebell_bridge.door.tickets import LATE, MAX_OPEN, Started, Tickets

__all__ = ["MAX_BATCH", "MAX_MODEL_NAME", "Door", "Outcome", "Refused", "Services", "Started"]

MAX_TOOL_CALLS = 10_000
MAX_ANSWER_BYTES = 16 << 20


class Services(Protocol):
    """What stands behind the door. Methods may raise Refused; anything else that they raise is a fault of the host,
    which the guest is told of without its details."""

    takes_references: bool
    """Whether a ChildQuery may hold a ContextReference or ContextItem; if not, the guest sends the context itself."""

    def query(self, queries: list[Query]) -> list[Outcome]:
        """Make the calls, at once, and wait for all of them; their outcomes in order."""
        ...

    def child(self, children: list[ChildQuery]) -> list[Outcome]: ...

    def start(self, call: Call, done: Callable[[Outcome], None]) -> Started:
        """Start a call, or a tool's, and return; tell `done` its outcome later, from any thread, also after it was
        cancelled. Calls of one cell may wait for each other's places, but not for this thread."""
        ...

    def check_answer(self, value: object) -> str | None:
        """Why the value does not fit the output schema of the run, for the model to read; None if it does."""
        ...

    def tool_descriptions(self) -> list[dict[str, object]]:
        """Name, signature and documentation of each tool that the guest may call; see sandbox/tools.py."""
        ...

    def budget(self) -> dict[str, object]: ...

    def clock(self) -> tuple[int, int]:
        """Real and monotonic time in nanoseconds, each at least 2**32, so that msgpack writes nine bytes for it."""
        ...

    def sleep(self, nanoseconds: int) -> None: ...

    def recorded(self, op: str, packed: bytes) -> tuple[bool, Any]:
        """Whether it is recorded what the guest was told when it asked this, and what: for a run that is repeated."""
        ...

    def record(self, op: str, packed: bytes, told: object, recorded: object) -> None:
        """The guest is about to be told this. `recorded` is what it was told when the run was made, if that is known;
        it is told the same again."""
        ...

    def waited(self, seconds: float) -> None:
        """A wait for calls has ended after so many seconds without any."""
        ...


class Door:
    """Answers the guest's requests with the given services."""

    def __init__(self, services: Services, *, tool_calls: int = MAX_TOOL_CALLS) -> None:
        self._services = services
        self._tool_calls = tool_calls
        self._tool_calls_left = tool_calls
        self._tickets = Tickets(services.start)
        self.charge: Callable[[float], None] | None = None
        """Told the seconds that reading requests and writing answers took: the guest pays for them with its time."""
        self.interrupted: BaseException | None = None
        """A KeyboardInterrupt or cancellation that came while a request was answered; the sandbox raises it on."""

    def answer(self, packed: bytes) -> bytes:
        began = time.perf_counter()
        try:
            try:
                request = wire.decode_bounded(packed)
            finally:
                self._charge(began)
            if not isinstance(request, dict) or request.get("v") != wire.VERSION:
                return wire.failure(wire.BAD_REQUEST, f"a request is a map with v = {wire.VERSION}")
            name = request.get("op")
            operation = _OPERATIONS.get(name) if type(name) is str else None
            if operation is None or type(name) is not str:
                return wire.failure(wire.BAD_REQUEST, f"there is no operation {str(name)[:40]!r}")
            result = self._repeatable(name, operation, request, packed)
            began = time.perf_counter()
            try:
                return wire.success(result)
            finally:
                self._charge(began)
        except Refused as refused:
            return wire.failure(refused.kind, str(refused))
        except wire.WireError as error:
            return wire.failure(wire.BAD_REQUEST, str(error))
        except Exception as error:
            return wire.failure(wire.MODEL_ERROR, f"the host failed to answer ({type(error).__name__})")
        except BaseException as interruption:
            self.interrupted = interruption
            return wire.failure(wire.UNAVAILABLE, "the run was interrupted")

    def _repeatable(
        self,
        op: str,
        operation: "Callable[[Door, dict[str, Any], int], object]",
        request: dict[str, Any],
        packed: bytes,
    ) -> object:
        """Carry the operation out. What depends on time or order is recorded before the guest is told, and a run that
        is repeated tells it again."""
        if op not in _NOT_REPEATABLE:
            return operation(self, request, len(packed))
        is_recorded, recorded = self._services.recorded(op, packed)
        if is_recorded and isinstance(recorded, dict) and "refused" in recorded:
            raise Refused(str(recorded["refused"]), str(recorded.get("message")))
        if is_recorded and op == wire.BUDGET:
            return recorded
        refusal: Refused | None = None
        try:
            result = self._done_again(op, operation, request, packed, recorded if is_recorded else None)
        except Refused as refused:
            refusal, result = refused, {"refused": refused.kind, "message": str(refused)}
        if self._tickets.is_stopped:
            raise Refused(wire.UNAVAILABLE, "the cell was cancelled")
        self._services.record(op, packed, result, recorded if is_recorded else None)
        if refusal is not None and not is_recorded:
            raise refusal
        return recorded if is_recorded else result

    def _done_again(
        self,
        op: str,
        operation: "Callable[[Door, dict[str, Any], int], object]",
        request: dict[str, Any],
        packed: bytes,
        recorded: object,
    ) -> object:
        """Carry the operation out; where it was recorded, so that no more is waited for than was then."""
        if recorded is not None and op == wire.WAIT:
            return self._waited_as_recorded(request, recorded)
        if op == wire.TOOL and _was_late(recorded):
            self._tickets.cancel(self._submitted(wire.TOOL, request, len(packed)))
            return recorded
        return operation(self, request, len(packed))

    def _waited_as_recorded(self, request: dict[str, Any], recorded: object) -> object:
        """Wait for just those calls that had ended by then."""
        if not isinstance(recorded, list) or not all(isinstance(found, list) and len(found) == 2 for found in recorded):
            raise Refused(wire.UNAVAILABLE, "the journal is damaged")
        if not recorded:
            self._services.waited(reading.seconds(request) or 0.0)
        found = []
        for number, outcome in recorded:
            if _was_late(outcome):  # whether it ends at all is another matter each time
                self._tickets.cancel([number])
                found.append((number, outcome))
            else:
                found += self._tickets.wait([number], None)
        return found

    def begin_cell(self) -> None:
        """A cell is about to run: it has all its tool calls, and may wait."""
        self._tool_calls_left = self._tool_calls
        self._tickets.go_on()

    def end_cell(self) -> None:
        """The cell is over, however it ended: what it started and did not collect is cancelled."""
        self._tickets.clear()

    def stop(self) -> None:
        """End the wait of the running cell, if it waits for calls that it submitted. From any thread."""
        self._tickets.stop()

    def _query(self, request: dict[str, Any], _size: int) -> object:
        return self._services.query(reading.queries(request))

    def _child(self, request: dict[str, Any], _size: int) -> object:
        return self._services.child(self._children(request))

    def _children(self, request: dict[str, Any]) -> list[ChildQuery]:
        if request.get("references") is not None and not self._services.takes_references:
            raise Refused(wire.SEND_IN_FULL, "this run's children take no references")
        return reading.children(request)

    def _tool(self, request: dict[str, Any], size: int) -> object:
        [number] = self._submitted(wire.TOOL, request, size)
        [(_, outcome)] = self._tickets.wait([number], None)
        return outcome

    def _submit(self, request: dict[str, Any], size: int) -> object:
        return self._submitted(request.get("call"), request, size)

    def _submitted(self, kind: object, request: dict[str, Any], size: int) -> list[int]:
        calls: list[Call]
        if kind == wire.QUERY:
            calls = [*reading.queries(request)]
        elif kind == wire.CHILD:
            calls = [*self._children(request)]
        elif kind == wire.TOOL:
            calls = [reading.tool_call(request)]
            if self._tool_calls_left <= 0:
                raise Refused(wire.TOOL_ERROR, f"a cell may call tools {self._tool_calls:,} times, and has done so")
            self._tool_calls_left -= 1
        else:
            raise Refused(wire.BAD_REQUEST, "call must be query, child or tool")
        return self._tickets.submit(calls, size)

    def _wait(self, request: dict[str, Any], _size: int) -> object:
        numbers = None if request.get("tickets") is None else reading.tickets(request, MAX_OPEN)
        seconds = reading.seconds(request)
        found = self._tickets.wait(numbers, seconds)
        if not found and seconds is not None:
            self._services.waited(seconds)
        return found

    def _cancel(self, request: dict[str, Any], _size: int) -> object:
        self._tickets.cancel(reading.tickets(request, MAX_OPEN))
        return None

    def _check_answer(self, request: dict[str, Any], size: int) -> object:
        if size > MAX_ANSWER_BYTES:
            raise Refused(wire.BAD_ANSWER, f"the answer has more than {MAX_ANSWER_BYTES:,} bytes")
        return self._services.check_answer(request.get("value"))

    def _budget(self, _request: dict[str, Any], _size: int) -> object:
        return self._services.budget()

    def _clock(self, _request: dict[str, Any], _size: int) -> object:
        return self._services.clock()

    def _sleep(self, request: dict[str, Any], _size: int) -> object:
        nanoseconds = request.get("nanoseconds")
        if type(nanoseconds) is not int or nanoseconds < 0:
            raise Refused(wire.BAD_REQUEST, "nanoseconds must be a whole number, 0 or more")
        self._services.sleep(nanoseconds)
        return None

    def _charge(self, since: float) -> None:
        if self.charge is not None:
            self.charge(time.perf_counter() - since)


def _was_late(outcome: object) -> bool:
    """Whether the guest was told that a tool took too long."""
    return isinstance(outcome, dict) and outcome.get("kind") == wire.TOOL_ERROR and outcome.get("error") == LATE


_NOT_REPEATABLE = frozenset({wire.QUERY, wire.CHILD, wire.TOOL, wire.WAIT, wire.BUDGET})
"""Whose answers depend on time, or on the order in which calls end."""

_OPERATIONS: dict[str, Callable[[Door, dict[str, Any], int], object]] = {
    wire.QUERY: Door._query,
    wire.CHILD: Door._child,
    wire.TOOL: Door._tool,
    wire.SUBMIT: Door._submit,
    wire.WAIT: Door._wait,
    wire.CANCEL: Door._cancel,
    wire.CHECK_ANSWER: Door._check_answer,
    wire.BUDGET: Door._budget,
    wire.CLOCK: Door._clock,
    wire.SLEEP: Door._sleep,
}
