"""What a run writes into its journal: a class for each kind of line, with the record that it becomes.

Reading is records.py's, which also describes the kinds. An entry becomes a record only where it is written: a run that
keeps no journal spends nothing on digests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from divebell.cell import Cell
from divebell.errors import DivebellError
from divebell.journal.outcomes import completion_as_record, error_as_record
from divebell.journal.records import FAILED, STOP, STOP_CELLS, Record, check_name, given_up_name, numbers_of, pack
from divebell.models.protocol import Completion, ModelRequest
from divebell.models.request_digest import digest, request_digest
from divebell_bridge.money.tally import Tally


class Entry(Protocol):
    """Something to be written into a journal."""

    def to_record(self) -> Record:
        """The record of its line."""
        ...


@dataclass(frozen=True)
class RunEntry:
    """A process begins the run, or continues it. The ledger knows this process's part by the id."""

    run_id: str

    def to_record(self) -> Record:
        return {"kind": "run", "id": self.run_id}


@dataclass(frozen=True)
class SentEntry:
    """A call leaves now. `worst_case` is what it costs if the process dies before the call ends."""

    path: str
    name: str
    model: str
    hold_id: str
    worst_case: Tally

    def to_record(self) -> Record:
        return {
            "kind": "sent",
            "path": self.path,
            "name": self.name,
            "model": self.model,
            "hold": self.hold_id,
            "holds": _numbers_of_one_call(self.worst_case),
        }


@dataclass(frozen=True)
class PaidEntry:
    """The cost of a call that has no recorded completion."""

    path: str
    hold_id: str
    cost: Tally

    def to_record(self) -> Record:
        return {"kind": "paid", "path": self.path, "hold": self.hold_id, "paid": _numbers_of_one_call(self.cost)}


@dataclass(frozen=True)
class CallEntry:
    """A completion, recorded before anything else sees it. `output_limit_tokens` is the limit that was sent."""

    path: str
    name: str
    model: str
    request: ModelRequest
    completion: Completion
    hold_id: str
    cost: Tally
    output_limit_tokens: int

    def to_record(self) -> Record:
        return {
            "kind": "call",
            "path": self.path,
            "name": self.name,
            "request": request_digest(self.model, self.request),
            "limit": self.output_limit_tokens,
            **completion_as_record(self.completion),
            "hold": self.hold_id,
            "paid": _numbers_of_one_call(self.cost),
        }


@dataclass(frozen=True)
class MemoEntry:
    """A completion that came from a memo: a replay may find the memo in another state."""

    path: str
    name: str
    model: str
    request: ModelRequest
    completion: Completion

    def to_record(self) -> Record:
        return {
            "kind": "call",
            "path": self.path,
            "name": self.name,
            "request": request_digest(self.model, self.request),
            "limit": self.request.max_output_tokens,
            **completion_as_record(self.completion),
            "memo": self.model,
        }


@dataclass(frozen=True)
class FailureEntry:
    """How a call failed, if the run continues with the failure."""

    path: str
    name: str
    model: str
    request: ModelRequest
    error: DivebellError

    def to_record(self) -> Record:
        return {
            "kind": "call",
            "path": self.path,
            "name": self.name,
            "error": error_as_record(self.error),
            "request": request_digest(self.model, self.request),
        }


@dataclass(frozen=True)
class ToolEntry:
    """The outcome of a tool call, recorded before the guest sees it."""

    path: str
    number: int
    outcome: dict[str, object]

    def to_record(self) -> Record:
        return {"kind": "tool", "path": self.path, "number": self.number, "outcome": pack(self.outcome)}


@dataclass(frozen=True)
class DoorEntry:
    """What the guest is answered at the door now. `request` is the request as it came."""

    path: str
    op: str
    request: bytes
    answer: object

    def to_record(self) -> Record:
        request = digest(self.request)
        return {"kind": "door", "path": self.path, "op": self.op, "request": request, "answer": pack(self.answer)}


@dataclass(frozen=True)
class CellEntry:
    """The outcome of a cell. `number` is from 1, by path."""

    path: str
    number: int
    code: str
    cell: Cell

    COMPARED: ClassVar[tuple[str, ...]] = ("error", "stdout", "stderr", "repr", "final", "exit_status")
    """The fields of its record that a repeated cell must have too."""

    def to_record(self) -> Record:
        cell = self.cell
        return {
            "kind": "cell",
            "path": self.path,
            "number": self.number,
            "code": digest(self.code),
            "error": None if cell.error is None else [cell.error.kind, cell.error.message, cell.error.traceback],
            "stdout": cell.stdout,
            "stderr": cell.stderr,
            "repr": cell.repr,
            "final": cell.final,
            "exit_status": cell.exit_status,
        }


@dataclass(frozen=True)
class AnswerEntry:
    """What a run, or a child, answered."""

    path: str
    text: str

    def to_record(self) -> Record:
        return {"kind": "answer", "path": self.path, "text": self.text}


@dataclass(frozen=True)
class FactEntry:
    """Anything else that the run cannot recompute."""

    path: str
    name: str
    value: Any

    @classmethod
    def of_given_up(cls, path: str, call: str) -> "FactEntry":
        """The guest gave a call up: "call 3", "child 1" or "tool 2"."""
        return cls(path, given_up_name(call), None)

    @classmethod
    def of_check(cls, path: str, number: int, errors: Sequence[str]) -> "FactEntry":
        """Why an answer does not fit the schema; no errors where it does. `number` is from 1, by path."""
        return cls(path, check_name(number), list(errors))

    @classmethod
    def of_failure(cls, path: str, error: DivebellError) -> "FactEntry":
        """How a run, or a child, failed as a whole."""
        return cls(path, FAILED, error_as_record(error))

    @classmethod
    def of_stop(cls, path: str, refusal: DivebellError) -> "FactEntry":
        """The refusal that ended a run's turns."""
        return cls(path, STOP, error_as_record(refusal))

    @classmethod
    def of_cells_at_stop(cls, path: str, cells: int) -> "FactEntry":
        """How many cells had run when the turns ended."""
        return cls(path, STOP_CELLS, cells)

    def to_record(self) -> Record:
        return {"kind": "fact", "path": self.path, "name": self.name, "value": self.value}


def _numbers_of_one_call(tally: Tally) -> dict[str, int]:
    """The meter counts a call when it is held, and what it costs when it has ended; a journal both at once."""
    both = Tally(calls=1)
    both.add(tally)
    return numbers_of(both)
