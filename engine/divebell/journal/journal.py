"""The journal of a run: what it cannot work out again, written down before the guest sees it.

Why that is enough. A guest is deterministic: its clock, its randomness and its hash order follow from the run's seed,
and all else that it learns it is told at the door. So a run that is told the same again does the same again, byte for
byte, whatever order concurrent calls finished in the first time: the order in which the guest was *told* is written
down. Calls, children and tools are numbered in the order in which the code asks for them, not in which they start.

Guaranteed: a completion is in the file before the guest (or the loop) sees it, so that a run which is resumed after the
death of its process at any moment pays for none twice. The call that was in flight just then is made again, under the
same name (Request.metadata["call"]), for providers that know a request by it. Before a call leaves, what it holds is
written down, and afterwards what it cost: a resumed run counts as spent what was paid, and in full what was in flight.
After the first difference, or where nothing can be written any more, no further call is made, and nothing is written.

What a root model is asked is in our words, and those change from one Divebell to the next. A journal that was made with
other words is repeated all the same: what the root models replied is taken as recorded, and everything that came of it
is compared.

Not guaranteed: that a tool is called once. One that ran when the process died is called again. Nor a
cell that was ended by its time limit: where the interrupt hits depends on the machine, and a repetition says so if the
outcome is another. Nor the last lines after a power cut: they are the operating system's to write (a process's death
takes nothing with it). A journal holds prompts, completions and what cells printed, so it is a file to keep private (it
is made for its owner alone); keys are never in it.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from divebell.cell import Cell
from divebell.errors import DivebellError, JournalError, ModelError, ReplayDiverged
from divebell.journal.file import JournalFile
from divebell.journal.outcomes import (
    are_same,
    completion_as_record,
    completion_of,
    error_as_record,
    error_of,
    first_difference,
    output_limit_of,
    request_digest,
    with_costs,
)
from divebell.journal.records import Cost, Record, Recorded, digest, numbers_of, pack, to_line, unpack
from divebell.models.protocol import STOP, Completion, Request
from divebell.prompts.templates import prompts_digest
from divebell.version import __version__
from divebell_bridge.door import wire
from divebell_bridge.money.errors import BudgetExceeded
from divebell_bridge.money.tally import Tally

_TIMED = frozenset({"TimeoutError", "Killed"})
QUERY_PATH = "0"

_T = TypeVar("_T")


class Journal:
    """One run's journal. Thread-safe.

    recorded: what is served from; None for a run that is made for the first time.
    file: what new records are appended to; None where nothing is written (a replay).
    is_strict: a replay: what is not recorded is a divergence, and children are run again to compare them too.
    other_models: whether the models are others than the run's; their names are not compared then.
    id: what calls are named by, so that a provider can know one that is made again; None for the run's own id.
    """

    def __init__(
        self,
        recorded: Recorded | None,
        file: JournalFile | None,
        *,
        is_strict: bool = False,
        other_models: bool = False,
        id: str | None = None,
    ) -> None:
        self._recorded = recorded
        self._file = file
        self._is_off = recorded is None and file is None
        self.is_strict = is_strict
        self.id = id
        self._models = _model_names(recorded.header) if recorded is not None and other_models else ()
        self._has_other_prompts = recorded is not None and recorded.header.get("prompts") != prompts_digest()
        self._at_door: dict[str, int] = {}
        self._cells: dict[str, int] = {}
        self._stopped: set[str] = set()  # paths whose turns have ended here
        self._failure: JournalError | None = None
        self._paid: dict[tuple[str, str], Tally] = {}
        for cost in self._costs():
            self._paid.setdefault((cost.path, cost.name), Tally()).add(cost.tally)

    @classmethod
    def off(cls) -> "Journal":
        """For a run that keeps none."""
        return cls(None, None)

    @classmethod
    def begin(cls, file: JournalFile, header: Record) -> "Journal":
        """A new journal in the file, which is its own from now on."""
        journal = cls(None, file, id=header["id"])
        try:
            journal._write(header)
        except BaseException:
            file.close()
            raise
        return journal

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()

    @property
    def seed(self) -> int | None:
        """The seed that the run was made with."""
        return None if self._recorded is None else int(self._recorded.header["settings"]["seed"])

    @property
    def is_by_older_rules(self) -> bool:
        """Whether the run was made by a Divebell that took no repeated reply for an answer, and gave no drafts."""
        return self._recorded is not None and "prompts" not in self._recorded.header

    @property
    def recorded(self) -> Recorded | None:
        """What was there before this process."""
        return self._recorded

    def _write(self, record: Record) -> None:
        if self._file is not None:
            if isinstance(self._failure, ReplayDiverged):
                return  # what follows is not the run's
            try:
                self._file.append(to_line(record))
            except JournalError as error:
                raise self._fail(error) from None

    def _fail(self, failure: JournalError) -> JournalError:
        """Remember what makes the rest of the run worthless, the first of it."""
        self._failure = self._failure or failure
        return failure

    def _differs(self, sentence: str) -> JournalError:
        """A difference. In a run that is resumed it is an error too: it would pay for another run."""
        made_by = None if self._recorded is None else self._recorded.header.get("divebell")
        other = "" if made_by == __version__ else f" (the journal is by Divebell {made_by}, this is {__version__})"
        return self._fail(ReplayDiverged(sentence + other))

    def check(self) -> None:
        """Raise the first difference, if there was one, or that the journal could not be read or written."""
        if self._failure is not None:
            raise self._failure

    def _checked(self, read: Callable[[Any], _T], value: object) -> _T:
        """What `read` makes of a recorded value. A damaged one ends the run, whoever hears of it first."""
        try:
            return read(value)
        except JournalError as error:
            raise self._fail(error) from None

    def _costs(self) -> list[Cost]:
        return [] if self._recorded is None else list(self._recorded.costs.values())

    def spent(self) -> Tally:
        """What the recorded calls cost, together; those in flight when a process died, their whole holds."""
        total = Tally()
        for cost in self._costs():
            total.add(cost.tally)
        return total

    def with_recorded(self, path: str, summary: Mapping[str, Any]) -> dict[str, Any]:
        """A run's spending with what is recorded of it and its children. Calls in flight when a process died count as
        uncertain, in full."""
        inside = [cost for cost in self._costs() if cost.path == path or cost.path.startswith(f"{path}.")]
        return with_costs(summary, [(cost.model, cost.tally) for cost in inside])

    def begun(self, run_id: str) -> None:
        """Write down under which id the ledger knows this process's part of the run."""
        self._write({"kind": "run", "id": run_id})

    def call(
        self, path: str, name: str, model: str, request: Request
    ) -> tuple[Completion | DivebellError, Tally, int] | None:
        """The completion or the error that is recorded under that name, what it cost, and the output limit that was
        sent; None if the call is to be made. Raises what ended the run's turns instead, where that is recorded."""
        if self._is_off:
            return None
        self.check()
        if self._recorded is None:
            return None
        record = self._recorded.calls.get((path, name))
        if record is None:
            stop, failure = self._stop(path), self._failed(path)
            if stop is not None and name.startswith("turn "):
                raise stop
            if failure is not None:
                raise failure
            if self.is_strict:
                raise self._missing(path, name)
            return None
        is_ours = not name.startswith("sub-call ") or request.schema is not None  # in our words, not only the code's
        is_same = record.get("request") in [request_digest(each, request) for each in self._models or (model,)]
        if not is_same and not (is_ours and self._has_other_prompts):
            raise self._differs(f"{name} of run {path} asks {model!r} something else than is recorded")
        costs = self._paid.get((path, name)) or Tally()
        if "error" in record:
            return self._checked(error_of, record["error"]), costs, request.max_output_tokens
        limit = self._checked(output_limit_of, record)
        completion = self._checked(completion_of, record)
        if limit is None:  # by a Divebell that took every reply for whole, and the run went on with it so
            return replace(completion, finish_reason=STOP), costs, request.max_output_tokens
        return completion, costs, limit

    def _missing(self, path: str, name: str) -> DivebellError:
        """A turn of the query's own run is what the journal is about. A sub-call or a child may have been given up:
        what the guest was told of it decides, and is compared."""
        sentence = f"the journal ends before {name} of run {path}"
        is_turn = path == QUERY_PATH and not name.startswith("sub-call ")
        return self._differs(sentence) if is_turn else ModelError(sentence)

    def keep_sent(self, path: str, name: str, model: str, hold_id: str, holds: Tally) -> None:
        """Write down that a call leaves now, and what it costs if nobody lives to say what became of it."""
        if not self._is_off:
            holds = _one_call(holds)
            cost = {"hold": hold_id, "holds": numbers_of(holds)}
            self._write({"kind": "sent", "path": path, "name": name, "model": model, **cost})

    def keep_paid(self, path: str, hold_id: str, booked: Tally) -> None:
        """Write down what a call cost of which no completion is kept. A failure to do so is remembered."""
        if not self._is_off:
            paid = numbers_of(_one_call(booked))
            with contextlib.suppress(JournalError):
                self._write({"kind": "paid", "path": path, "hold": hold_id, "paid": paid})

    def keep_call(
        self, path: str, name: str, model: str, request: Request, completion: Completion, hold_id: str, booked: Tally,
        output_limit: int,
    ) -> None:  # fmt: skip
        """Write a completion down, before anybody sees it. output_limit: the one that was sent, in tokens."""
        if self._is_off:
            return
        record: Record = {"kind": "call", "path": path, "name": name, "request": request_digest(model, request)}
        record["limit"] = output_limit
        cost = {"hold": hold_id, "paid": numbers_of(_one_call(booked))}
        self._write({**record, **completion_as_record(completion), **cost})

    def keep_remembered(self, path: str, name: str, model: str, request: Request, completion: Completion) -> None:
        """Write a completion down that came from a memo: a replay may find the memo in another state."""
        if self._is_off:
            return
        record: Record = {"kind": "call", "path": path, "name": name, "request": request_digest(model, request)}
        record["limit"] = request.max_output_tokens
        self._write({**record, **completion_as_record(completion), "memo": model})

    def keep_error(self, path: str, name: str, model: str, request: Request, error: DivebellError) -> None:
        """Write down how a sub-call failed, before the guest is told."""
        if self._is_off:
            return
        record = {"kind": "call", "path": path, "name": name, "error": error_as_record(error)}
        self._write({**record, "request": request_digest(model, request)})

    def keep_failure(self, path: str, error: DivebellError) -> None:
        """Write down how a run, or a child, failed as a whole."""
        if self._recorded is None or path == QUERY_PATH or (path, "failed") not in self._recorded.facts:
            self._write({"kind": "fact", "path": path, "name": "failed", "value": error_as_record(error)})

    def finished_child(self, path: str, *asked: object) -> tuple[str, int] | None:
        """The answer of a child that had ended before this process began, and its turns; its failure is raised. None if
        it is to be run. A replay runs all, to compare them. `asked` is what tells it from others."""
        if self._is_off:
            return None
        is_asked = self.fact(path, "asked", lambda: digest(*asked))
        if is_asked != digest(*asked):
            raise self._differs(f"child {path} is asked something else than is recorded")
        if self._recorded is None or self.is_strict:
            return None
        failure = self._failed(path)
        if failure is not None:
            raise failure
        answer = self._recorded.answers.get(path)
        if answer is None:
            return None
        turns = {name.partition(",")[0] for of, name in self._recorded.calls if of == path and name.startswith("turn ")}
        return answer, len(turns)

    def fact(self, path: str, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, a text, None, or (of a check) a list of texts; or what it gave when the run was made."""
        if self._recorded is not None and (path, name) in self._recorded.facts:
            return self._checked(_texts if name.startswith("check ") else _text, self._recorded.facts[path, name])
        value = make()
        self._write({"kind": "fact", "path": path, "name": name, "value": value})
        return value

    def _stop(self, path: str) -> DivebellError | None:
        """The refusal that ended the run's turns, if one did. A run that is resumed may have more to spend now, and
        goes on with its turns, if it was not at its last answer."""
        recorded = self._recorded
        if recorded is None or (path, "stop") not in recorded.facts:
            return None
        if not self.is_strict and path == QUERY_PATH and (path, "last answer 1") not in recorded.calls:
            return None
        return self._checked(error_of, recorded.facts[path, "stop"])

    def _failed(self, path: str) -> DivebellError | None:
        """How the run failed as a whole, if it did. One that is resumed tries again; its children's ends stand."""
        recorded = self._recorded
        if recorded is None or (path, "failed") not in recorded.facts or (not self.is_strict and path == QUERY_PATH):
            return None
        return self._checked(error_of, recorded.facts[path, "failed"])

    def failed_as(self, error: DivebellError) -> None:
        """In a replay: raise the failure that is recorded, where it has other words, or the difference."""
        if not self.is_strict:
            return
        recorded = self._failed(QUERY_PATH)
        if recorded is None:
            raise self._differs(f"the run fails now: {error}")
        if isinstance(recorded, BudgetExceeded) and isinstance(error, BudgetExceeded):  # of two limits, one came first
            raise recorded
        if str(recorded) != str(error):
            raise self._differs(f"how the run failed: {first_difference(str(recorded), str(error))}")

    def keep_stop(self, path: str, refusal: BudgetExceeded) -> None:
        """Write down why the turns ended, and after how many cells: the last reply may have code, too, and in a replay
        the cell that the limit ended must not be taken for it."""
        self._stopped.add(path)
        if self._stop(path) is None:
            cells = self._cells.get(path, 0)
            self._write({"kind": "fact", "path": path, "name": "cells at stop", "value": cells})
            self._write({"kind": "fact", "path": path, "name": "stop", "value": error_as_record(refusal)})

    def _has_cell(self, path: str) -> bool:
        return self._recorded is not None and (path, self._cells.get(path, 0) + 1) in self._recorded.cells

    def _is_past_stop(self, path: str) -> bool:
        """Whether the recorded turns ended in the next cell, and this run has not come to its last answer yet."""
        recorded = self._recorded
        if recorded is None or path in self._stopped or (path, "last answer 1") not in recorded.calls:
            return False
        cells = recorded.facts.get((path, "cells at stop"))
        return type(cells) is int and self._cells.get(path, 0) >= cells

    def before_cell(self, path: str) -> None:
        """Raise what ended the run in its next cell, if something did: it has no outcome to repeat."""
        if self._recorded is None or (self._has_cell(path) and not self._is_past_stop(path)):
            return
        ended = self._stop(path) or self._failed(path)
        if ended is not None:
            raise ended

    def cell(self, path: str, code: str, cell: Cell) -> None:
        """Write a cell's outcome down, or compare it with what is recorded."""
        if self._is_off:
            return
        self._cells[path] = number = self._cells.get(path, 0) + 1
        told = {
            "error": None if cell.error is None else [cell.error.kind, cell.error.message, cell.error.traceback],
            "stdout": cell.stdout,
            "stderr": cell.stderr,
            "repr": cell.repr,
            "final": cell.final,
            "exit_status": cell.exit_status,
        }
        recorded = None if self._recorded is None else self._recorded.cells.get((path, number))
        if recorded is None:
            self._write({"kind": "cell", "path": path, "number": number, "code": digest(code), **told})
            if self.is_strict and path == QUERY_PATH:
                self._differs(f"the journal ends before cell {number} of run {path}")
            return
        if recorded.get("code") != digest(code):
            self._differs(f"cell {number} of run {path} is other code than is recorded")
        error = recorded.get("error")
        kinds = [*(error[:1] if isinstance(error, list) else ()), *([] if cell.error is None else [cell.error.kind])]
        is_timed = any(kind == timed for kind in kinds for timed in _TIMED)
        why = " (its time limit ended it, and where that hits is not repeatable)" if is_timed else ""
        for name, value in told.items():
            if name == "error" and self.is_by_older_rules and len(kinds) == 2 and kinds[0] == kinds[1]:
                continue  # the same error, which was worded otherwise then
            if recorded.get(name) != value:
                difference = first_difference(recorded.get(name), value)
                self._differs(f"{name} of cell {number} of run {path}{why}: {difference}")

    def tool(self, path: str, number: int) -> dict[str, object] | None:
        """What came of the run's tool call of that number, if it is recorded."""
        if self._is_off:
            return None
        self.check()
        record = None if self._recorded is None else self._recorded.tools.get((path, number))
        if record is None:
            if self.is_strict:  # as for sub-calls, what the guest was told decides
                return {"kind": wire.TOOL_ERROR, "message": f"the journal ends before tool call {number} of run {path}"}
            return None
        outcome = self._checked(unpack, record.get("outcome"))
        if not isinstance(outcome, dict):
            raise self._fail(JournalError(f"the outcome of tool call {number} of run {path} in the journal is none"))
        return outcome

    def keep_tool(self, path: str, number: int, outcome: dict[str, object]) -> None:
        """Write down what came of a tool call, before the guest sees it."""
        if not self._is_off:
            self._write({"kind": "tool", "path": path, "number": number, "outcome": pack(outcome)})

    def was_given_up(self, path: str, what: str) -> bool:
        """Whether the guest gave that call up, the first time: it will again, and it is not to be made."""
        return self._recorded is not None and (path, f"given up: {what}") in self._recorded.facts

    def keep_given_up(self, path: str, what: str) -> None:
        """Write down that the guest gave a call up. A failure to do so is remembered."""
        if not self._is_off and not self.was_given_up(path, what):
            with contextlib.suppress(JournalError):
                self._write({"kind": "fact", "path": path, "name": f"given up: {what}", "value": None})

    def told(self, path: str, op: str, packed: bytes) -> tuple[bool, Any]:
        """Whether the run's next answer at the door is recorded, and the answer."""
        at = self._at_door.get(path, 0)
        records = [] if self._recorded is None else self._recorded.doors.get(path, [])
        if at >= len(records):
            return False, None
        record = records[at]
        if record.get("op") != op or record.get("request") != digest(packed):
            raise self._differs(f"request {at + 1} at the door of run {path} is {op}, and another is recorded")
        self._at_door[path] = at + 1
        return True, self._checked(unpack, record.get("answer"))

    def tell(self, path: str, op: str, packed: bytes, answer: object) -> None:
        """Write down what the guest is told now."""
        if self._is_off:
            return
        self._at_door[path] = self._at_door.get(path, 0) + 1
        record = {"kind": "door", "path": path, "op": op, "request": digest(packed), "answer": pack(answer)}
        self._write(record)

    def same(self, path: str, op: str, recorded: object, answer: object) -> None:
        """Compare what a call gave again with what the guest was told of it."""
        if self.is_strict and not are_same(recorded, answer):
            self._differs(f"what {op} gave in run {path}: {first_difference(recorded, answer)}")

    def answer(self, path: str, text: str) -> None:
        """Write the answer down, or compare it."""
        if self._is_off:
            return
        recorded = None if self._recorded is None else self._recorded.answers.get(path)
        if recorded is None:
            self._write({"kind": "answer", "path": path, "text": text})
        elif recorded != text:
            self._differs(f"the answer of run {path}: {first_difference(recorded, text)}")
        # An older Divebell asked its sandbox about an answer in the reply's text where now the text alone decides.
        if self.is_strict and self._has_cell(path) and not self.is_by_older_rules:
            self._differs(f"run {path} ends after {self._cells.get(path, 0)} cells, and more are recorded")


def _one_call(booked: Tally) -> Tally:
    """The meter counts a call when it is held, and what it costs when it has ended; a journal both at once."""
    both = Tally(calls=1)
    both.add(booked)
    return both


def _model_names(header: Record) -> tuple[str, ...]:
    models = header["models"]
    return tuple(dict.fromkeys([*models["levels"], *models["named"].values()]))


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise JournalError("a fact of the journal is no text")
    return value


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise JournalError("a fact of the journal is no list of texts")
    return value
