"""The turns of one run, and how they end: with an answer, at a limit, or because no call is possible any more.

If a limit ends the turns, the run makes one last call, paid from its reserve, for the best answer so far. If that call
is not possible, or the model fails for good, the run ends with a draft (drafts.py) and the error beside it. With
`on_exhausted="raise"` the error is raised in both cases.
"""

import functools
import time
from dataclasses import replace

import anyio

from divebell.calls.ledger_waiting import aretry_while_busy
from divebell.cell import Cell
from divebell.errors import ContextTooLongError, DivebellError, ModelError, RunError
from divebell.events import CellEnded, CellStarted, EventListener, LimitReached
from divebell.prompts import TurnMessages
from divebell.replies.notes import Note
from divebell.replies.replies import Reply, parse_reply
from divebell.run import drafts, last_call, observation
from divebell.run.answers import Answer, Answers, NoAnswer
from divebell.run.ending import Ending
from divebell.run.history import History
from divebell.run.host import RunHost
from divebell.run.last_answer import LastAnswer, NoLastAnswer
from divebell.run.levels import ResolvedLevel
from divebell.run.pace import Pace
from divebell.run.repetition import SAME_REPLIES, Repetition
from divebell.run.result import Turn
from divebell.run.root_calls import RootCalls, RootReply
from divebell.run.session_state import SessionState
from divebell.run.setup import QueryScope
from divebell.run.tasks import in_thread
from divebell.schemas import AnswerSchema
from divebell.stop import Stop
from divebell_bridge.money.errors import BudgetExceeded, LedgerError
from divebell_bridge.money.meter import Meter


class TurnLoop:
    """The turns of one run, in its sandbox. `turn` is the number of the turn at work, `finished` has those before it.

    report: receives the events.
    """

    def __init__(
        self,
        scope: QueryScope,
        meter: Meter,
        level: ResolvedLevel,
        *,
        root: RootCalls,
        schema: AnswerSchema | None,
        turn_messages: TurnMessages,
        pace: Pace,
        session: SessionState,
        report: EventListener,
    ) -> None:
        self._options = scope.setup.options
        self._journal = scope.journal
        self._started = scope.started
        self._seconds = scope.setup.seconds
        self._meter = meter
        self._level = level
        self._root = root
        self._turn_messages = turn_messages
        self._pace = pace
        self._session = session
        self._report = report
        self._repetition = Repetition()
        self._draft = ""
        self._stale_draft = ""  # of a session's earlier question
        self.turn = 0
        self.finished: list[Turn] = []
        self.answers = Answers(
            schema,
            turn_messages,
            self,
            max_retries=self._options.max_answer_retries,
            journal=scope.journal,
            path=meter.path,
        )
        self._last_answer = LastAnswer(
            self, root=root, answers=self.answers, turn_messages=turn_messages, journal=scope.journal, meter=meter
        )

    def draft(self) -> str:
        """The draft so far, without asking the sandbox; empty if there is none."""
        return self._draft or drafts.draft_of_turns(self.finished)

    async def _read_draft(self) -> None:
        draft = await drafts.read_draft(self._session.open_box, self._meter.seconds_left)
        if draft and draft != self._stale_draft:
            self._draft = draft

    async def run_to_the_end(self, host: RunHost) -> Ending:
        """Make turn after turn, and the last call if a limit ended them. Raises the error if there is no draft."""
        options, history = self._options, self._session.history
        if options.on_exhausted == "answer":
            plans = last_call.reserve_plans(history.instructions, self._level.root_output_tokens)
            keep_back = functools.partial(self._meter.keep_back, self._level.model.name, plans)
            await aretry_while_busy(keep_back, also_unavailable=True)
        self._stale_draft = await drafts.read_draft(self._session.open_box) if history.is_a_later_question else ""
        refusal: DivebellError | None = None
        try:
            with anyio.fail_after(self._seconds_for_turns()) as scope:
                self._pace.changed = lambda: self._end_turns_in_time(scope)
                ending = await self._take_turns(history)
            if ending is not None:
                return ending
            stop = self._stop_after_turns()
        except BudgetExceeded as error:
            refusal, stop = error, Stop.of(error)
        except ContextTooLongError as error:
            if not self.finished:
                raise
            refusal, stop = error, Stop(limit="window", cap=error.limit_tokens, path=self._meter.account)
        except (ModelError, LedgerError) as error:
            return await self._end_with_draft(error)
        except TimeoutError:
            refusal = self._timeout_refusal()
            stop = Stop.of(refusal)
        finally:
            self._pace.changed = lambda: None
        if isinstance(refusal, BudgetExceeded):
            self._journal.keep_stop(self._meter.path, refusal)
        if options.on_exhausted == "raise":
            raise refusal or RunError(f"no answer after {len(self.finished)} turns: {self._explain_stop(stop)}")
        host.tasks.close()
        self._report_limit(stop)
        return await self._request_last_answer(history, stop, refusal)

    def _report_limit(self, stop: Stop) -> None:
        self._report(LimitReached(limit=stop.limit, cap=stop.cap, spent=stop.spent, held=stop.held, account=stop.path))

    def _explain_stop(self, stop: Stop) -> str:
        if stop.limit == "repeats":
            return f"the model gave the same reply {SAME_REPLIES} times, with neither code nor an answer"
        return "max_answer_retries allows more" if stop.limit == "repairs" else "max_iterations allows more"

    def _seconds_for_turns(self) -> float | None:
        left = self._meter.seconds_left
        if left is None or self._seconds is None:
            return None
        reserve_seconds = self._pace.kept_back_seconds if self._options.on_exhausted == "answer" else 0.0
        return max(left - reserve_seconds, 0.0)

    def _end_turns_in_time(self, scope: anyio.CancelScope) -> None:
        seconds = self._seconds_for_turns()
        if seconds is not None:
            scope.deadline = min(scope.deadline, anyio.current_time() + seconds)

    def _timeout_refusal(self) -> BudgetExceeded:
        seconds = self._seconds
        spent = time.monotonic() - self._started
        sentence = f"the run has used its budget of {seconds:g} s"
        return BudgetExceeded(sentence, limit="seconds", cap=seconds, spent=spent, account=self._meter.account)

    def _stop_after_turns(self) -> Stop:
        options, account = self._options, self._meter.account
        if self.answers.retries_are_used_up:
            return Stop(limit="repairs", cap=options.max_answer_retries, spent=options.max_answer_retries, path=account)
        if options.on_exhausted == "raise" and len(self.finished) < options.max_iterations:
            return Stop(limit="repeats", cap=SAME_REPLIES, spent=SAME_REPLIES, path=account)
        return Stop(limit="iterations", cap=options.max_iterations, spent=len(self.finished), path=account)

    async def _take_turns(self, history: History) -> Ending | None:
        """Take turns until the model answers. Returns the answer as an Ending; None if the turns end without one."""
        options = self._options
        for self.turn in range(1, options.max_iterations + 1):
            began = time.monotonic()
            reply = await self._root.turn(self.turn, history)
            parsed = parse_reply(reply.text, is_cut=reply.is_cut, tool_calls=reply.completion.tool_calls)
            cells = await self.run_cells(parsed.code_blocks)
            self.finished.append(Turn(reply=reply.text, cells=tuple(cells), seconds=time.monotonic() - began))
            judged_text = "" if self._journal.is_by_older_rules else reply.text
            attempt = await self.answers.judge_turn(cells, parsed.final, judged_text, parsed.code_blocks)
            history.append("assistant", reply.text)
            if isinstance(attempt, Answer):
                return Ending(answer=attempt)
            repeated = self._judge_repeated(reply, parsed)
            if isinstance(repeated, Ending):
                return repeated
            problem = repeated.problem if repeated is not None else attempt.problem
            message = self._compose_observation(reply, parsed, cells, problem)
            if self.turn < options.max_iterations:
                message = self._turn_messages.following(message, self.turn + 1, options.max_iterations)
            history.append("user", message)
            if self.answers.retries_are_used_up or (repeated is not None and options.on_exhausted == "raise"):
                return None
            await in_thread(self._session.send_history)
        return None

    def _judge_repeated(self, reply: RootReply, parsed: Reply) -> "Ending | NoAnswer | None":
        """Judge a reply that the model keeps repeating: an Ending if it is the answer, NoAnswer if it does not fit the
        schema or no answer may come of it; None if the reply is not a repeated one."""
        if parsed.code_blocks or parsed.final is not None or reply.is_cut or self._journal.is_by_older_rules:
            return None
        if not self._repetition.is_repeated(reply.text):
            return None
        if self._options.on_exhausted == "raise":
            return NoAnswer()
        attempt = self.answers.judge_text(reply.text.strip())
        if isinstance(attempt, NoAnswer):
            return attempt
        stop = Stop(limit="repeats", cap=SAME_REPLIES, spent=SAME_REPLIES, path=self._meter.account)
        self._report_limit(stop)
        return Ending(answer=attempt, stop=stop)

    def _compose_observation(self, reply: RootReply, parsed: Reply, cells: list[Cell], problem: str) -> str:
        """What the model sees of its turn."""
        notes = self._turn_messages.notes(
            _collect_notes(reply, parsed), output_tokens=reply.limit_tokens, wanted_tokens=reply.wanted_tokens
        )
        remarks = "\n\n".join(filter(None, (problem, notes)))
        if not cells:
            return remarks or self._turn_messages.no_code()
        skipped = len(parsed.code_blocks) - len(cells)
        output = observation.describe_cells(cells, skipped, self._options.max_shown_characters)
        return f"{output}\n\n{remarks}" if remarks else output

    async def _request_last_answer(self, history: History, stop: Stop, refusal: DivebellError | None) -> Ending:
        """The best answer so far, paid from the reserve; the draft if no call is possible or the model fails."""
        self.turn += 1
        instruction = (
            self._turn_messages.landing(stop.limit)
            if stop.limit in last_call.BUDGETS
            else self._turn_messages.exhausted()
        )
        try:
            with anyio.fail_after(last_call.seconds_for_last_call(self._meter.seconds_left)):
                reply = await self._last_answer.request(history, instruction)
        except (BudgetExceeded, ModelError) as error:
            if refusal is not None:
                refusal.__cause__ = error
            return await self._end_with_draft(refusal or error, stop)
        except TimeoutError:
            return await self._end_with_draft(refusal or self._timeout_refusal(), stop)
        history.append("assistant", reply.text)
        ending = await self._last_answer.judge(reply, stop)
        if isinstance(ending, NoLastAnswer):
            return await self._end_with_draft(ending.error, stop, text=ending.text, is_cut=ending.is_cut)
        return ending

    async def _end_with_draft(
        self, error: DivebellError, stop: Stop | None = None, *, text: str = "", is_cut: bool = False
    ) -> Ending:
        """`text`, or else the draft, with the error. Raises the error if there is neither, or if `on_exhausted` says
        so."""
        if self._options.on_exhausted == "raise" or self._journal.is_by_older_rules:
            raise error
        if not text:
            await self._read_draft()
        draft = text or self.draft()
        if not draft:
            raise error
        return Ending(answer=Answer(draft, None), stop=stop, is_cut=is_cut, error=error)

    async def run_cells(self, blocks: tuple[str, ...]) -> list[Cell]:
        """Run the blocks in order, up to the first that fails or calls SUBMIT."""
        cells: list[Cell] = []
        for code in blocks:
            cells.append(await self.run_cell(code))
            if not cells[-1].ok or cells[-1].submitted is not None:
                break
        return cells

    async def run_cell(self, code: str) -> Cell:
        """Run one cell, write its outcome into the journal, and report it."""
        journal, path, box = self._journal, self._meter.path, self._session.open_box
        journal.begin_cell(path)
        self._report(CellStarted(code=code))
        try:
            cell = await in_thread(box.run, code, abandon_on_cancel=True)
        except anyio.get_cancelled_exc_class():
            box.cancel()
            raise
        journal.keep_cell(path, code, cell)
        journal.check()
        self._report(CellEnded(code=code, cell=cell))
        return cell

    async def is_set_on_purpose(self, name: str) -> bool:
        """Whether code has given the variable its value by an assignment. Always True for a journal by older rules,
        under which any variable could be the answer."""
        box = self._session.open_box
        return self._journal.is_by_older_rules or await in_thread(box.is_set_on_purpose, name)


def _collect_notes(reply: RootReply, parsed: Reply) -> list[Note]:
    """The reply's notes, with one for how it ended: cut off by its limit or a filter, only thoughts, or empty."""
    if reply.is_empty:
        return [Note("only_thoughts" if reply.is_at_its_limit else "withheld" if reply.is_cut else "empty")]
    if not reply.is_cut or reply.is_at_its_limit:
        return list(parsed.notes)
    limit_templates = ("cut", "only_thoughts")
    return [replace(note, template="withheld") if note.template in limit_templates else note for note in parsed.notes]
