"""A replay's journal: everything is answered from what is recorded, compared with it, and nothing is written.

What a root model is asked is partly in Divebell's own words, and those change from one version to the next. A journal
that was made with other words is repeated all the same: the root models' replies are taken as recorded, and everything
that follows from them is compared.

Guaranteed: after the first difference no further call is served, so that a replay that ends without an error is the
recorded run. Not guaranteed: that a cell which its time limit ended has the same outcome: where the interrupt lands
depends on the machine, and the difference says so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from divebell.cell import Cell
from divebell.errors import DivebellError, JournalError, ModelError, ReplayDivergedError
from divebell.journal.base import RecordedAnswer, RecordedCall, RecordedChild
from divebell.journal.entries import AnswerEntry, CellEntry, Entry, FactEntry
from divebell.journal.outcomes import (
    add_costs,
    are_same,
    completion_of,
    error_of,
    first_difference,
    output_limit_of,
)
from divebell.journal.records import (
    FAILED,
    LAST_ANSWER,
    QUERY_PATH,
    STOP,
    STOP_CELLS,
    Cost,
    JournalContents,
    Record,
    check_name,
    given_up_name,
    unpack,
)
from divebell.models.protocol import STOP as STOPPED
from divebell.models.protocol import Completion, ModelRequest
from divebell.models.request_digest import digest, request_digest
from divebell.options import use_current_names
from divebell.prompts.templates import prompts_digest
from divebell.version import __version__
from divebell_bridge.door import wire
from divebell_bridge.money.errors import BudgetExceeded
from divebell_bridge.money.tally import Tally

_ENDED_BY_TIME = frozenset({"TimeoutError", "Killed"})
_T = TypeVar("_T")


class Player:
    """The journal of a replay. Children are run again too, to be compared. Thread-safe.

    other_models: whether the run is repeated with other models than those in the header: their names are not compared.
    """

    def __init__(self, contents: JournalContents, *, other_models: bool = False) -> None:
        self._contents = contents
        self._models = _model_names(contents.header) if other_models else ()
        self._has_other_prompts = contents.header.get("prompts") != prompts_digest()
        self._requests_at_door: dict[str, int] = {}  # by path, as all of these
        self._cells: dict[str, int] = {}
        self._stopped: set[str] = set()
        self._failure: JournalError | None = None
        self._cost_by_call: dict[tuple[str, str], Tally] = {}
        for cost in self._costs:
            self._cost_by_call.setdefault((cost.path, cost.name), Tally()).add(cost.tally)

    @property
    def id(self) -> str | None:
        return None

    @property
    def is_by_older_rules(self) -> bool:
        return "prompts" not in self._contents.header

    @property
    def _costs(self) -> list[Cost]:
        return list(self._contents.costs.values())

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def write(self, entry: Entry) -> None:
        """A replay writes nothing."""

    def _remember_failure(self, failure: JournalError) -> JournalError:
        """Remember the first error, which ends the run. Returns this error, to be raised."""
        self._failure = self._failure or failure
        return failure

    def _diverge(self, sentence: str) -> JournalError:
        """A difference between this run and the recorded one."""
        writer = self._contents.header.get("divebell")
        other = "" if writer == __version__ else f" (the journal is by Divebell {writer}, this is {__version__})"
        return self._remember_failure(ReplayDivergedError(sentence + other))

    def _read_or_fail(self, read: Callable[[Any], _T], value: object) -> _T:
        """Read a recorded value with `read`. A damaged value fails the whole run."""
        try:
            return read(value)
        except JournalError as error:
            raise self._remember_failure(error) from None

    def add_recorded_costs(self, path: str, summary: Mapping[str, Any]) -> dict[str, Any]:
        """As Journal says. A call that was in flight when its process died counts in full, as an uncertain one."""
        inside = [cost for cost in self._costs if cost.path == path or cost.path.startswith(f"{path}.")]
        return add_costs(summary, [(cost.model, cost.tally) for cost in inside])

    def find_call(self, path: str, name: str, model: str, request: ModelRequest) -> RecordedCall | None:
        self.check()
        record = self._contents.calls.get((path, name))
        if record is None:
            stop, failure = self._find_stop(path), self._find_failure(path)
            if stop is not None and name.startswith("turn "):
                raise stop
            if failure is not None:
                raise failure
            self._check_may_call(path, name)
            return None
        has_our_words = (
            not name.startswith("sub-call ") or request.schema is not None
        )  # in our words, not only the code's
        is_same = record.get("request") in [request_digest(each, request) for each in self._models or (model,)]
        if not is_same and not (has_our_words and self._has_other_prompts):
            raise self._diverge(f"{name} of run {path} asks {model!r} something other than what is recorded")
        cost = self._cost_by_call.get((path, name)) or Tally()
        outcome: Completion | DivebellError
        limit: int | None = None
        if "error" in record:
            outcome = self._read_or_fail(error_of, record["error"])
        else:
            limit = self._read_or_fail(output_limit_of, record)
            outcome = self._read_or_fail(completion_of, record)
            if limit is None:  # an older version took every reply as complete, and the run went on so
                outcome = replace(outcome, finish_reason=STOPPED)
        return RecordedCall(outcome, cost, request.max_output_tokens if limit is None else limit)

    def _check_may_call(self, path: str, name: str) -> None:
        """Raise because the call is not recorded. A turn of the query's own run is what the journal is about; a
        sub-call or a child may have been given up, and then what the guest was answered decides, and is compared."""
        sentence = f"the journal ends before {name} of run {path}"
        if path == QUERY_PATH and not name.startswith("sub-call "):
            raise self._diverge(sentence)
        raise ModelError(sentence)

    def find_child(self, path: str, *facts: object) -> RecordedChild | None:
        if self.keep_fact(path, "asked", digest(*facts)) != digest(*facts):
            raise self._diverge(f"child {path} is asked something other than what is recorded")
        return None

    def find_tool_outcome(self, path: str, number: int) -> dict[str, object] | None:
        self.check()
        record = self._contents.tools.get((path, number))
        if record is None:
            return self._outcome_of_missing_tool(path, number)
        outcome = self._read_or_fail(unpack, record.get("outcome"))
        if not isinstance(outcome, dict):
            raise self._remember_failure(
                JournalError(f"the journal has a malformed outcome of tool call {number} of run {path}")
            )
        return outcome

    def _outcome_of_missing_tool(self, path: str, number: int) -> dict[str, object] | None:
        """As for sub-calls: what the guest was answered decides."""
        return {"kind": wire.TOOL_ERROR, "message": f"the journal ends before tool call {number} of run {path}"}

    def was_given_up(self, path: str, call: str) -> bool:
        return (path, given_up_name(call)) in self._contents.facts

    def find_door_answer(self, path: str, op: str, request: bytes) -> RecordedAnswer | None:
        answered = self._requests_at_door.get(path, 0)
        records = self._contents.doors.get(path, [])
        if answered >= len(records):
            return None
        record = records[answered]
        if record.get("op") != op or record.get("request") != digest(request):
            raise self._diverge(f"request {answered + 1} at the door of run {path} is {op}, and another is recorded")
        self._requests_at_door[path] = answered + 1
        return RecordedAnswer(self._read_or_fail(unpack, record.get("answer")))

    def keep_door_answer(
        self, path: str, op: str, request: bytes, answer: object, recorded: RecordedAnswer | None
    ) -> None:
        if recorded is not None and not are_same(recorded.value, answer):
            self._diverge(f"the outcome of {op} in run {path}: {first_difference(recorded.value, answer)}")

    def keep_fact(self, path: str, name: str, value: str | None) -> str | None:
        if (path, name) in self._contents.facts:
            return self._read_or_fail(_check_text, self._contents.facts[path, name])
        self.write(FactEntry(path, name, value))
        return value

    def keep_check(self, path: str, number: int, errors: Sequence[str]) -> Sequence[str]:
        key = (path, check_name(number))
        if key in self._contents.facts:
            return self._read_or_fail(_check_texts, self._contents.facts[key])
        self.write(FactEntry.of_check(path, number, errors))
        return errors

    def _find_stop(self, path: str) -> DivebellError | None:
        """The refusal that ended the run's turns, if one did."""
        fact = self._contents.facts.get((path, STOP), _NOTHING)
        return None if fact is _NOTHING else self._read_or_fail(error_of, fact)

    def _find_failure(self, path: str) -> DivebellError | None:
        """How the run failed as a whole, if it did."""
        fact = self._contents.facts.get((path, FAILED), _NOTHING)
        return None if fact is _NOTHING else self._read_or_fail(error_of, fact)

    def keep_stop(self, path: str, refusal: BudgetExceeded) -> None:
        """As Journal says, and after how many cells: the last reply may have code too, and in a replay the cell that
        the limit ended must not be taken for it."""
        self._stopped.add(path)
        if self._find_stop(path) is None:
            self.write(FactEntry.of_cells_at_stop(path, self._cells.get(path, 0)))
            self.write(FactEntry.of_stop(path, refusal))

    def keep_failure(self, path: str, error: DivebellError) -> None:
        if path == QUERY_PATH or (path, FAILED) not in self._contents.facts:
            self.write(FactEntry.of_failure(path, error))

    def compare_failure(self, error: DivebellError) -> None:
        """Compare the failure of the replayed run with the recorded one. Raises the recorded failure if they are
        the same, or else ReplayDivergedError."""
        recorded = self._find_failure(QUERY_PATH)
        if recorded is None:
            raise self._diverge(f"the run fails now: {error}")
        if isinstance(recorded, BudgetExceeded) and isinstance(error, BudgetExceeded):  # of two limits, one came first
            raise recorded
        if use_current_names(str(recorded)) != str(error):
            raise self._diverge(f"how the run failed: {first_difference(str(recorded), str(error))}")

    def _has_next_cell(self, path: str) -> bool:
        return (path, self._cells.get(path, 0) + 1) in self._contents.cells

    def _is_past_stop(self, path: str) -> bool:
        """Whether the recorded turns ended in the next cell, and this run has not come to its last answer yet."""
        if path in self._stopped or (path, LAST_ANSWER) not in self._contents.calls:
            return False
        cells = self._contents.facts.get((path, STOP_CELLS))
        return type(cells) is int and self._cells.get(path, 0) >= cells

    def begin_cell(self, path: str) -> None:
        if self._has_next_cell(path) and not self._is_past_stop(path):
            return
        ending = self._find_stop(path) or self._find_failure(path)
        if ending is not None:
            raise ending

    def keep_cell(self, path: str, code: str, cell: Cell) -> None:
        self._cells[path] = number = self._cells.get(path, 0) + 1
        entry = CellEntry(path, number, code, cell)
        recorded = self._contents.cells.get((path, number))
        if recorded is None:
            self._keep_new_cell(entry)
        else:
            self._compare_cell(recorded, entry)

    def _keep_new_cell(self, entry: CellEntry) -> None:
        if entry.path == QUERY_PATH:
            self._diverge(f"the journal ends before cell {entry.number} of run {entry.path}")

    def _compare_cell(self, recorded: Record, entry: CellEntry) -> None:
        now, cell_name = entry.to_record(), f"cell {entry.number} of run {entry.path}"
        if recorded.get("code") != now["code"]:
            self._diverge(f"{cell_name} has other code than is recorded")
        errors = [error for error in (recorded.get("error"), now["error"]) if error is not None]
        kinds = [error[0] for error in errors if isinstance(error, list) and error]
        is_by_time = any(kind == each for kind in kinds for each in _ENDED_BY_TIME)
        reason = " (its time limit ended it, and where that happens is not repeatable)" if is_by_time else ""
        for name in CellEntry.COMPARED:
            if name == "error" and self.is_by_older_rules and len(kinds) == 2 and kinds[0] == kinds[1]:
                continue  # the same error, which had other words then
            if recorded.get(name) != now[name]:
                self._diverge(f"{name} of {cell_name}{reason}: {first_difference(recorded.get(name), now[name])}")

    def keep_answer(self, path: str, text: str) -> None:
        recorded = self._contents.answers.get(path)
        if recorded is None:
            self.write(AnswerEntry(path, text))
        elif recorded != text:
            self._diverge(f"the answer of run {path}: {first_difference(recorded, text)}")
        self._check_has_no_more_cells(path)

    def _check_has_no_more_cells(self, path: str) -> None:
        # An older version asked its sandbox about an answer in the reply's text where now the text alone decides.
        if self._has_next_cell(path) and not self.is_by_older_rules:
            self._diverge(f"run {path} ends after {self._cells.get(path, 0)} cells, and more are recorded")


_NOTHING = object()


def _model_names(header: Record) -> tuple[str, ...]:
    models = header["models"]
    return tuple(dict.fromkeys([*models["levels"], *models["named"].values()]))


def _check_text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise JournalError("the journal has a fact that is not text")
    return value


def _check_texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise JournalError("the journal has a check of an answer that is not a list of texts")
    return value
