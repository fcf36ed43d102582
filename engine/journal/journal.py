"""The journal of a run: what it cannot work out again, written down before the guest sees it.

Why that is enough. A guest is deterministic: its clock, its randomness and its hash order follow from the run's seed,
and all else that it learns it is told at the door. So a run that is told the same again does the same again, byte for
byte, whatever order concurrent calls finished in the first time: the order in which the guest was *told* is written
down.

Guaranteed: a completion is in the file before the guest (or the loop) sees it, so that a run which is resumed after the
death of its process at any moment pays for none twice. The call that was in flight just then is made again, under the
same name (Request.metadata["call"]), for providers that know a request by it. What was served from the journal costs
nothing and is counted as it was.

Not guaranteed: a cell that was ended by its time limit. Where the interrupt hits depends on the machine; a replay says
so if the outcome is another. A journal holds prompts, completions and what cells printed, so it is a file to keep
private (it is made for its owner alone); keys are never in it.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from divebell.bridge.errors import BudgetExceeded
from divebell.bridge.tally import Tally
from divebell.cell import Cell
from divebell.errors import ConfigurationError, DivebellError, JournalError, ModelError, ReplayDiverged
from divebell.journal.records import Record, Recorded, digest, pack, read, to_line, unpack
from divebell.models.protocol import Completion, Request, Usage, images_of

_SHOWN = 200
_TIMED = frozenset({"TimeoutError", "Killed"})


class Journal:
    """One run's journal. Thread-safe.

    recorded: what is served from; None for a run that is made for the first time.
    file: what new records are appended to; None where nothing is written (a replay).
    is_strict: a replay: what is not recorded is a divergence, and so is an outcome that is another.
    """

    def __init__(self, recorded: Recorded | None, file: int | None, *, is_strict: bool = False) -> None:
        self._recorded = recorded
        self._file = file
        self.is_strict = is_strict
        self._lock = threading.Lock()
        self._at_door: dict[str, int] = {}
        self._cells: dict[str, int] = {}
        self.divergence: JournalError | None = None
        """What makes the rest of the run worthless: the first difference, or that nothing can be written any more."""

    @classmethod
    def off(cls) -> "Journal":
        """For a run that keeps none."""
        return cls(None, None)

    @property
    def is_off(self) -> bool:
        return self._recorded is None and self._file is None

    @classmethod
    def begin(cls, path: Path, header: Record) -> "Journal":
        """A new journal, for its owner alone. JournalError if there is a file of that name already."""
        try:
            file = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o600
            )
        except FileExistsError:
            raise JournalError(f"there is a file {path} already: resume from it, or name another") from None
        except OSError as error:
            raise JournalError(f"cannot write the journal {path}: {error.strerror}") from None
        journal = cls(None, file)
        journal._write(header)
        return journal

    @classmethod
    def resume(cls, path: Path, recorded: Recorded) -> "Journal":
        """Go on in the file, after its last whole line."""
        try:
            file = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0))
            os.ftruncate(file, recorded.whole_bytes)
        except OSError as error:
            raise JournalError(f"cannot go on in the journal {path}: {error.strerror}") from None
        return cls(recorded, file)

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _write(self, record: Record) -> None:
        line = to_line(record)
        with self._lock:
            if self._file is None:
                return
            try:
                while line:
                    line = line[os.write(self._file, line) :]
            except OSError as error:
                failure = JournalError(f"the journal cannot be written: {error.strerror}")
                self.divergence = self.divergence or failure
                raise failure from None

    def _differs(self, sentence: str) -> ReplayDiverged:
        """Remember the first difference. In a run that is resumed it is an error too: it would pay for another run."""
        difference = ReplayDiverged(sentence)
        self.divergence = self.divergence or difference
        return difference

    def check(self) -> None:
        """Raise the first difference, if there was one, or that the journal could not be written."""
        if self.divergence is not None:
            raise self.divergence

    def spent(self) -> Tally:
        """What the recorded calls cost, together."""
        total = Tally()
        for record in self._recorded.calls.values() if self._recorded is not None else ():
            total.add(_tally(record))
        return total

    def call(
        self, path: str, name: str, model: str, request: Request
    ) -> tuple[Completion | DivebellError, Tally] | None:
        """The completion or the error that is recorded under that name, and what it cost; None if the call is to be
        made."""
        if self._recorded is None:
            return None
        record = self._recorded.calls.get((path, name))
        if record is None:
            stop = self.stop(path)
            if stop is not None and name.startswith("turn "):
                raise stop
            failure = self._recorded.facts.get((path, "failed"))
            if failure is not None:
                raise _error(failure)
            if self.is_strict:
                raise self._missing(path, f"{name} of run {path}")
            return None
        if record.get("request") != request_digest(model, request):
            raise self._differs(f"{name} of run {path} asks {model!r} something else than is recorded")
        if "error" in record:
            return _error(record["error"]), _tally(record)
        return _completion(record), _tally(record)

    def _missing(self, path: str, what: str) -> DivebellError:
        """A child that was given up has no end in the journal; what its parent was told of it decides."""
        if path == "0":
            return self._differs(f"the journal ends before {what}")
        return ModelError(f"the journal ends before {what}")

    def keep_call(
        self, path: str, name: str, model: str, request: Request, completion: Completion, booked: Tally
    ) -> None:
        """Write a completion down, before anybody sees it."""
        if self.is_off:
            return
        usage = completion.usage
        self._write(
            {
                "kind": "call",
                "path": path,
                "name": name,
                "model": model,
                "request": request_digest(model, request),
                "text": completion.text,
                "finish_reason": completion.finish_reason,
                "usage": None if usage is None else vars(usage),
                "booked": _as_numbers(booked),
            }
        )

    def keep_error(
        self, path: str, name: str, model: str, request: Request, error: DivebellError, booked: Tally
    ) -> None:
        """Write down how a sub-call failed, and what it cost, before the guest is told."""
        if self.is_off:
            return
        record = {"kind": "call", "path": path, "name": name, "model": model, "error": _as_record(error)}
        self._write({**record, "request": request_digest(model, request), "booked": _as_numbers(booked)})

    def keep_failure(self, path: str, error: DivebellError) -> None:
        """Write down how a child failed as a whole."""
        self._write({"kind": "fact", "path": path, "name": "failed", "value": _as_record(error)})

    def fact(self, path: str, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, which is JSON; or what it gave when the run was made."""
        if self._recorded is not None and (path, name) in self._recorded.facts:
            return self._recorded.facts[path, name]
        value = make()
        self._write({"kind": "fact", "path": path, "name": name, "value": value})
        return value

    def stop(self, path: str) -> BudgetExceeded | None:
        """The refusal that ended the run's turns, if one did, and nothing more of its turns is recorded."""
        found = None if self._recorded is None else self._recorded.facts.get((path, "stop"))
        error = None if found is None else _error(found)
        return error if isinstance(error, BudgetExceeded) else None

    def keep_stop(self, path: str, refusal: BudgetExceeded) -> None:
        """Write down why the turns ended."""
        if self.stop(path) is None:
            self._write({"kind": "fact", "path": path, "name": "stop", "value": _as_record(refusal)})

    def has_cell(self, path: str) -> bool:
        """Whether the outcome of the run's next cell is recorded."""
        return self._recorded is not None and (path, self._cells.get(path, 0) + 1) in self._recorded.cells

    def cell(self, path: str, code: str, cell: Cell) -> None:
        """Write a cell's outcome down, or compare it with what is recorded."""
        if self.is_off:
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
            record = {"kind": "cell", "path": path, "number": number, "code": digest(code), **told}
            self._write(record)
            if self.is_strict and path == "0":
                self._differs(f"the journal ends before cell {number} of run {path}")
            return
        if recorded.get("code") != digest(code):
            self._differs(f"cell {number} of run {path} is other code than is recorded")
        for name, value in told.items():
            if recorded.get(name) != value and (self.is_strict or path == "0"):
                timed = (
                    isinstance(recorded.get("error"), list) and recorded["error"][:1] and recorded["error"][0] in _TIMED
                )
                why = " (its time limit ended it, and where that hits is not repeatable)" if timed else ""
                self._differs(
                    f"{name} of cell {number} of run {path}{why}: {_first_difference(recorded.get(name), value)}"
                )

    def tool(self, path: str, number: int) -> dict[str, object] | None:
        """What came of the run's tool call of that number, if it is recorded."""
        record = None if self._recorded is None else self._recorded.tools.get((path, number))
        if record is None:
            if self.is_strict:
                raise self._missing(path, f"tool call {number} of run {path}")
            return None
        outcome = unpack(record.get("outcome"))
        return outcome if isinstance(outcome, dict) else {}

    def keep_tool(self, path: str, number: int, outcome: dict[str, object]) -> None:
        """Write down what came of a tool call, before the guest sees it."""
        if self.is_off:
            return
        self._write({"kind": "tool", "path": path, "number": number, "outcome": pack(outcome)})

    def told(self, path: str, op: str, packed: bytes) -> tuple[bool, Any]:
        """Whether the run's next answer at the door is recorded, and the answer."""
        at = self._at_door.get(path, 0)
        records = [] if self._recorded is None else self._recorded.doors.get(path, [])
        if at >= len(records):
            return False, None
        record = records[at]
        if record.get("op") != op or record.get("request") != digest(packed):
            self._differs(f"request {at + 1} at the door of run {path} is {op}, and another is recorded")
            return False, None
        self._at_door[path] = at + 1
        return True, unpack(record.get("answer"))

    def tell(self, path: str, op: str, packed: bytes, answer: object) -> None:
        """Write down what the guest is told now."""
        if self.is_off:
            return
        self._at_door[path] = self._at_door.get(path, 0) + 1
        record = {"kind": "door", "path": path, "op": op, "request": digest(packed), "answer": pack(answer)}
        self._write(record)

    def same(self, path: str, op: str, recorded: object, answer: object) -> None:
        """Compare what a call gave again with what the guest was told of it."""
        if self.is_strict and pack(recorded) != pack(answer):
            self._differs(f"what {op} gave in run {path}: {_first_difference(recorded, answer)}")

    def answer(self, path: str, text: str) -> None:
        """Write the answer down, or compare it."""
        recorded = None if self._recorded is None else self._recorded.answer
        if path == "0" and recorded is not None and recorded.get("text") != text:
            self._differs(f"the answer: {_first_difference(recorded.get('text'), text)}")
        if recorded is None or path != "0":
            self._write({"kind": "answer", "path": path, "text": text})


def request_digest(model: str, request: Request) -> str:
    """What tells a request from another: what is sent, and to whom."""
    messages = [
        [message["role"], message["content"] if isinstance(message["content"], str) else [*message["content"]]]
        for message in request.messages
    ]
    images = [image["data"] for message in request.messages for image in images_of(message)]
    return digest(model, messages, images, request.max_output_tokens, request.temperature, request.schema)


def _as_numbers(booked: Tally) -> dict[str, int]:
    return {name: getattr(booked, name) for name in Tally.__slots__}


def _tally(record: Record) -> Tally:
    booked = record.get("booked")
    if not isinstance(booked, dict) or not all(type(booked.get(name)) is int for name in Tally.__slots__):
        return Tally()
    return Tally(**{name: booked[name] for name in Tally.__slots__})


def _completion(record: Record) -> Completion:
    text, usage, finish = record.get("text"), record.get("usage"), record.get("finish_reason")
    if not isinstance(text, str) or not isinstance(finish, str):
        raise JournalError(f"the completion of {record.get('name')!r} in the journal is no completion")
    try:
        return Completion(text=text, usage=None if usage is None else Usage(**usage), finish_reason=finish)
    except TypeError:
        raise JournalError(f"the usage of {record.get('name')!r} in the journal is none") from None


def _as_record(error: DivebellError) -> Record:
    if not isinstance(error, BudgetExceeded):
        return {"class": "ModelError", "message": str(error)}
    figures = {
        name: None if getattr(error, name) is None else str(getattr(error, name)) for name in ("cap", "spent", "held")
    }
    return {"class": "BudgetExceeded", "message": str(error), "limit": error.limit, "path": error.path, **figures}


def _error(record: Any) -> DivebellError:
    if not isinstance(record, dict) or not isinstance(record.get("message"), str):
        raise JournalError("an error in the journal is none")
    if record.get("class") != "BudgetExceeded":
        return ModelError(record["message"])
    return BudgetExceeded(
        record["message"],
        limit=str(record.get("limit")),
        path=str(record.get("path")),
        cap=record.get("cap"),
        spent=record.get("spent"),
        held=record.get("held"),
    )


def _first_difference(recorded: object, now: object) -> str:
    """Where two outcomes part, with a little around it."""
    one, other = (value if isinstance(value, str) else repr(value) for value in (recorded, now))
    at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    begin = max(at - 20, 0)
    return f"recorded {one[begin : at + _SHOWN]!r}, now {other[begin : at + _SHOWN]!r}, from character {at}"


def open_journal(journal: Path | None, resume: Path | None, header: Record) -> tuple[Journal, Recorded | None]:
    """The journal that a run was told to write or to go on from, and what is recorded in it.

    ConfigurationError where it is of another run, JournalError where it cannot be read or written.
    """
    if journal is not None and resume is not None:
        raise ConfigurationError("give a journal to begin, or one to resume, not both")
    if journal is not None:
        return Journal.begin(journal, header), None
    assert resume is not None
    if not resume.exists() or resume.stat().st_size == 0:
        resume.unlink(missing_ok=True)
        return Journal.begin(resume, header), None
    recorded = read(resume)
    for name, what in (("query", "question"), ("context", "context"), ("models", "set of models")):
        if recorded.header.get(name) != header[name]:
            raise ConfigurationError(f"the journal {resume} is of a run with another {what}: name another file")
    return Journal.resume(resume, recorded), recorded
