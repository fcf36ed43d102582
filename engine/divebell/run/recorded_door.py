"""A run's door: what its guest is answered is written into the journal, and answered again when the run is repeated.

Most answers follow from the request alone. Those of TIME_DEPENDENT operations depend on time, or on the order in which
calls end: each is recorded before the guest has it. Where it is recorded already, the operation is carried out all the
same, so that calls are numbered, waited for and compared as they were, but the guest receives the recorded answer.
"""

from typing import Any

from divebell.journal.base import Journal, RecordedAnswer
from divebell.run.tasks import RunTasks
from divebell_bridge.door import reading, wire
from divebell_bridge.door.door import Door, DoorClock, Host, RefusedError
from divebell_bridge.door.tickets import is_timeout

TIME_DEPENDENT = frozenset({wire.QUERY, wire.CHILD, wire.TOOL, wire.WAIT, wire.BUDGET})


class RecordedDoor(Door):
    """The door of the run with this path in the journal. `tasks` are the run's: after its end nothing is recorded."""

    def __init__(
        self, host: Host, clock: DoorClock, journal: Journal, path: str, tasks: RunTasks, *, tool_calls: int
    ) -> None:
        super().__init__(host, clock, tool_calls=tool_calls)
        self._journal = journal
        self._path = path
        self._tasks = tasks

    def carry_out(self, op: str, request: dict[str, Any], packed: bytes) -> object:
        if op not in TIME_DEPENDENT:
            return super().carry_out(op, request, packed)
        recorded = self._journal.find_door_answer(self._path, op, packed)
        if recorded is None:
            return self._carry_out_now(op, request, packed)
        return self._carry_out_again(op, request, packed, recorded)

    def _carry_out_now(self, op: str, request: dict[str, Any], packed: bytes) -> object:
        try:
            answer = super().carry_out(op, request, packed)
        except RefusedError as refused:
            self._keep(op, packed, _refusal_as_record(refused))
            raise
        self._keep(op, packed, answer)
        return answer

    def _carry_out_again(self, op: str, request: dict[str, Any], packed: bytes, recorded: RecordedAnswer) -> object:
        """Do again what was done then, and no more: a call that had not ended by then is not waited for."""
        recorded_value = recorded.value
        if isinstance(recorded_value, dict) and "refused" in recorded_value:
            raise RefusedError(str(recorded_value["refused"]), str(recorded_value.get("message")))
        if op == wire.BUDGET:
            return recorded_value
        answer: object
        try:
            if op == wire.WAIT:
                answer = self._wait_again(request, recorded_value)
            elif op == wire.TOOL and is_timeout(recorded_value):
                numbers = super().carry_out(wire.SUBMIT, {**request, "call": wire.TOOL}, packed)
                super().carry_out(wire.CANCEL, {"tickets": numbers}, b"")
                answer = recorded_value
            else:
                answer = super().carry_out(op, request, packed)
        except RefusedError as refused:
            answer = _refusal_as_record(refused)
        self._keep(op, packed, answer, recorded)
        return recorded_value

    def _wait_again(self, request: dict[str, Any], recorded: object) -> object:
        """Wait for exactly those calls that had ended by then."""
        if not isinstance(recorded, list) or not all(isinstance(each, list) and len(each) == 2 for each in recorded):
            raise RefusedError(wire.UNAVAILABLE, "the journal is damaged")
        if not recorded:
            self._clock.pass_time(reading.read_seconds(request) or 0.0)
        ended: list[object] = []
        for number, outcome in recorded:
            if is_timeout(outcome):  # whether the tool ends at all may be different each time
                super().carry_out(wire.CANCEL, {"tickets": [number]}, b"")
                ended.append((number, outcome))
            else:
                answer = super().carry_out(wire.WAIT, {"tickets": [number]}, b"")
                ended += answer if isinstance(answer, list) else []
        return ended

    def _keep(self, op: str, packed: bytes, answer: object, recorded: RecordedAnswer | None = None) -> None:
        """RefusedError if the answer comes of the end of the cell or the run: it is not to be repeated."""
        if self.is_stopped:
            raise RefusedError(wire.UNAVAILABLE, "the cell was cancelled")
        if self._tasks.is_closed:
            raise RefusedError(wire.UNAVAILABLE, "the run has ended")
        self._journal.keep_door_answer(self._path, op, packed, answer, recorded)


def _refusal_as_record(refused: RefusedError) -> dict[str, object]:
    return {"refused": refused.kind, "message": str(refused)}
