"""What counts as a run's answer: which of the attempts in a turn, and whether it fits the schema.

An answer counts only where all of the turn's code ran without an error. Where a schema was given, an answer that does
not fit it is shown to the model with what is wrong, `max_retries` times in all; a bad SUBMIT raises inside the cell.

Everything here is a model's word, and untrusted: the value of an answer is plain data, and the schema checks it on the
host.
"""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from divebell.cell import Cell
from divebell.errors import AnswerError
from divebell.journal.base import Journal
from divebell.prompts import TurnMessages
from divebell.replies.python_text import stated_values
from divebell.replies.replies import Final
from divebell.run.invented_output import find_invented_output
from divebell.schemas import AnswerSchema
from divebell_bridge.door import wire

# A word in a reply's FINAL(...) is a variable only if the code made one of that name, and on purpose: `json`, `context`
# and what a loop left behind are words.
_VARIABLE_IF_OWN = (
    "FINAL_VAR({name!r}) if {name!r} in [line.partition(':')[0] for line in SHOW_VARS().splitlines()] else None"
)


MAX_PRINTED = 20
MAX_PRINTED_CHARACTERS = 50_000


@dataclass(frozen=True)
class Answer:
    """An answer: its text, and the value that the caller's schema made of it (the text again, without a schema)."""

    text: str
    value: object


@dataclass(frozen=True)
class NoAnswer:
    """There is no answer. `problem` is what to tell the model of an attempt that did not count; empty without one."""

    problem: str = ""


class Cells(Protocol):
    """The sandbox, as far as an answer may need it."""

    async def run_cell(self, code: str) -> Cell:
        """Run one cell."""
        ...

    async def is_set_on_purpose(self, name: str) -> bool:
        """Whether code has given the variable its value by an assignment."""
        ...


class Answers:
    """Judges the attempts of one run. What is wrong with an attempt is a fact in the run's journal."""

    def __init__(
        self,
        schema: AnswerSchema | None,
        turn_messages: TurnMessages,
        cells: Cells,
        *,
        max_retries: int,
        journal: Journal,
        path: str,
    ) -> None:
        self._schema = schema
        self._turn_messages = turn_messages
        self._cells = cells
        self._max_retries = max_retries
        self._lock = threading.Lock()
        self._journal = journal
        self._path = path
        self._checks = 0
        self._misfits = 0
        self._printed: list[str] = []  # by the cells of earlier turns, the last ones
        self._asked_about_invention = False
        self.last_errors: tuple[str, ...] = ()

    @property
    def has_schema(self) -> bool:
        """Whether an answer must fit a schema."""
        return self._schema is not None

    @property
    def retries_are_used_up(self) -> bool:
        """Whether the model has had all its chances to make an answer fit."""
        return self._misfits > self._max_retries

    def check(self, fields: object) -> str | None:
        """For SUBMIT in a cell, on the guest's thread: why these fields do not fit; None if they do."""
        if self._schema is None or not isinstance(fields, dict):
            return None
        schema, submitted = self._schema, fields
        attempt = self._check_fit("", lambda: schema.validate_submitted(submitted))
        return attempt.problem if isinstance(attempt, NoAnswer) else None

    async def judge_turn(
        self, cells: list[Cell], final: Final | None, reply: str = "", blocks: Sequence[str] = ()
    ) -> Answer | NoAnswer:
        """The answer that a turn gave: its cells', or else the one in the reply's text. blocks: the cells' code.

        An answer in the text, or in code that only states it, that rests on an output which the reply made up is not
        taken, once in a run: a model that gives it again means it.
        """
        earlier = self._printed
        self._printed = [*earlier, *(cell.output[:MAX_PRINTED_CHARACTERS] for cell in cells)][-MAX_PRINTED:]
        if any(not cell.ok for cell in cells):
            return NoAnswer(self._turn_messages.failed_code() if final is not None else "")
        answering_cells = [cell for cell in cells if cell.final is not None]
        stated = _answer_stated_by_code(cells, blocks) if answering_cells else final
        if stated is not None and not self._asked_about_invention:
            claimed = find_invented_output(reply, cells[:-1] if answering_cells else cells, stated, earlier=earlier)
            if claimed is not None:
                self._asked_about_invention = True
                return NoAnswer(self._turn_messages.invented_output(claimed))
        if answering_cells:
            return self._judge_cell(answering_cells[-1])
        return NoAnswer() if final is None else await self.judge_final(final)

    async def judge_final(self, final: Final) -> Answer | NoAnswer:
        """The answer in a reply's text, for which the sandbox may have to be asked."""
        if final.kind == "text":
            return self.judge_text(final.value)
        if final.kind in ("variable", "text_or_variable"):
            return await self._judge_variable(final)
        cell = await self._cells.run_cell(final.code)
        if cell.ok and cell.final is not None:
            return self._judge_cell(cell)
        if final.text is not None and not _has_no_value(cell):
            return self.judge_text(final.text)
        error = cell.error.message if cell.error is not None else "it gave no answer"
        return NoAnswer(self._turn_messages.bad_expression(final.value, error))

    async def _judge_variable(self, final: Final) -> Answer | NoAnswer:
        is_variable = final.kind == "variable"
        code = f"FINAL_VAR({final.value!r})" if is_variable else _VARIABLE_IF_OWN.format(name=final.value)
        cell = await self._cells.run_cell(code)
        if cell.ok and cell.final is not None and (is_variable or await self._cells.is_set_on_purpose(final.value)):
            return self._judge_cell(cell)
        if final.text is not None:
            return self.judge_text(final.text)
        reason = cell.error.message if cell.error is not None else f"there is no variable {final.value!r}"
        return NoAnswer(self._turn_messages.no_variable(reason))

    def _judge_cell(self, cell: Cell) -> Answer | NoAnswer:
        assert cell.final is not None
        schema, text, submitted = self._schema, cell.final, cell.submitted
        if schema is None:
            return Answer(text, text)
        if submitted is not None and not schema.is_one_value(submitted):
            named = schema.name_fields(submitted)
            answer_text = text if named is submitted else _to_text(named)
            return self._check_fit(answer_text, lambda: schema.validate_submitted(submitted))
        if submitted is None and not cell.has_final_value:
            return self.judge_text(text)
        value = cell.final_value if submitted is None else submitted["answer"]
        is_number_as_text = schema.is_text and isinstance(value, (int, float))
        return self._check_fit(
            text if is_number_as_text else _to_text(value), lambda: schema.validate_value(value, text)
        )

    def judge_text(self, text: str) -> Answer | NoAnswer:
        """A text as the answer: a whole reply, or what a reply or a cell gave."""
        schema = self._schema
        return Answer(text, text) if schema is None else self._check_fit(text, lambda: schema.validate_text(text))

    def _check_fit(self, text: str, validate: Callable[[], object]) -> Answer | NoAnswer:
        """The answer, if it fits. Its errors are recorded as a fact: a replay does not have the caller's type."""
        value: object = None
        errors: tuple[str, ...] = ()
        try:
            value = validate()
        except AnswerError as error:
            errors = error.errors
        with self._lock:
            self._checks += 1
            kept_errors = self._journal.keep_check(self._path, self._checks, errors)
            if not kept_errors:
                return Answer(text, value)
            self._misfits += 1
            retries_left = self._max_retries - self._misfits + 1
        self.last_errors = tuple(kept_errors)
        return NoAnswer(self._turn_messages.bad_answer(self.last_errors, max(retries_left, 1)))


def _answer_stated_by_code(cells: Sequence[Cell], blocks: Sequence[str]) -> Final | None:
    """The answer of the last cell, where it is not the only one and its code does nothing but state it."""
    if len(cells) < 2 or len(blocks) < len(cells) or cells[-1].final is None:
        return None
    return Final("text", cells[-1].final) if stated_values(blocks[len(cells) - 1]) is not None else None


def _has_no_value(cell: Cell) -> bool:
    """Whether the code ran, and what it gave can be no answer: then it was code, and no text that looks like it."""
    return cell.error is not None and cell.error.kind in (wire.BAD_ANSWER, "NoContent")


def _to_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
