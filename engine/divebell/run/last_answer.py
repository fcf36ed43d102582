"""The last call of a run whose turns a limit has ended: requesting the best answer so far, and reading the reply."""

from dataclasses import dataclass
from typing import Protocol

import anyio

from divebell.cell import Cell
from divebell.errors import BudgetExceeded, ContextTooLongError, RunError
from divebell.journal.base import Journal
from divebell.prompts import TurnMessages
from divebell.replies.replies import Reply, answers_in_code, asks_in_code, parse_reply
from divebell.run import last_call
from divebell.run.answers import Answer, Answers, NoAnswer
from divebell.run.ending import Ending
from divebell.run.history import History
from divebell.run.root_calls import RootCalls, RootReply
from divebell.stop import Stop
from divebell_bridge.money.meter import Meter


@dataclass(frozen=True)
class NoLastAnswer:
    """The last reply is not an answer. text: what it has for a draft. is_cut: whether that was cut off."""

    error: RunError
    text: str = ""
    is_cut: bool = False


class BlockRunner(Protocol):
    """Runs the code of a reply."""

    async def run_cells(self, blocks: tuple[str, ...]) -> list[Cell]:
        """Run the blocks in order, up to the first that fails or calls SUBMIT."""
        ...


class LastAnswer:
    """The last call of one run."""

    def __init__(
        self,
        cells: BlockRunner,
        *,
        root: RootCalls,
        answers: Answers,
        turn_messages: TurnMessages,
        journal: Journal,
        meter: Meter,
    ) -> None:
        self._cells = cells
        self._root = root
        self._answers = answers
        self._turn_messages = turn_messages
        self._journal = journal
        self._meter = meter

    async def request(self, history: History, instruction: str) -> RootReply:
        """The reply to the last call, with as much of the history as the reserve pays for. If the reply is cut off, a
        shorter one is requested once."""
        candidates = last_call.last_messages(
            history.messages, history.opening, instruction, instructions=history.instructions
        )
        failure: BudgetExceeded | ContextTooLongError | None = None
        cut_reply: RootReply | None = None
        attempts = cuts = 0
        for messages in candidates:  # each shorter than the one before
            while True:
                try:
                    reply = await self._root.last(attempts, messages)
                except (BudgetExceeded, ContextTooLongError) as error:
                    attempts += 1
                    failure = failure or error
                    break
                attempts += 1
                if not reply.is_cut or parse_reply(reply.text, is_cut=True).final is not None:
                    return reply
                cut_reply = reply if cut_reply is None or len(reply.text) > len(cut_reply.text) else cut_reply
                if cuts == last_call.MAX_CUT_ATTEMPTS:
                    return cut_reply
                cuts += 1
                messages = last_call.with_request(messages, self._turn_messages.last_cut(reply.limit_tokens))
            if cut_reply is not None:
                return cut_reply
        assert failure is not None
        raise failure

    async def judge(self, reply: RootReply, stop: Stop) -> "Ending | NoLastAnswer":
        """The reply as an answer: its FINAL, or else all of it."""
        parsed = parse_reply(reply.text, is_cut=reply.is_cut)
        attempt = await self._attempt(parsed)
        if isinstance(attempt, Answer):
            return Ending(answer=attempt, stop=stop)
        text = reply.text.strip()
        if reply.is_cut and (not text or self._answers.has_schema):
            limit = f"at its output limit of {reply.limit_tokens:,} tokens" if reply.is_at_its_limit else "by a filter"
            error = RunError(f"the last answer was cut off {limit}: max_output_tokens or the budget allows more")
            return NoLastAnswer(error, text, is_cut=bool(text))
        if not text and not self._journal.is_by_older_rules:
            return NoLastAnswer(RunError("the model's last answer was empty"))
        if attempt is not None and not self._answers.has_schema and not self._journal.is_by_older_rules:
            why = " ".join(attempt.problem.split())[:1000] or "its code failed"
            return NoLastAnswer(RunError(f"the last reply gave no answer: {why}"))
        attempt = self._answers.judge_text(text)
        if isinstance(attempt, Answer):
            return Ending(answer=attempt, stop=stop, is_cut=reply.is_cut)
        misfit = RunError(f"the answer does not fit the schema: {'; '.join(self._answers.last_errors)}"[:2000])
        text = "" if parsed.code_blocks else text
        return NoLastAnswer(misfit, text if parsed.final is None else parsed.final.text or parsed.final.value)

    async def _attempt(self, parsed: Reply) -> Answer | NoAnswer | None:
        """The answer that the last reply gives by a call of FINAL, FINAL_VAR or SUBMIT, in its text or in code, which
        is run; None if it calls none of them."""
        blocks = parsed.code_blocks if any(map(answers_in_code, parsed.code_blocks)) else ()
        if any(map(asks_in_code, blocks)) and not self._journal.is_by_older_rules:
            return NoAnswer("its code asks a model, and the run has ended.")  # the reply would be in no journal
        cells: list[Cell] = []
        if blocks and not self._journal.is_by_older_rules:
            with anyio.move_on_after(last_call.seconds_for_last_call(self._meter.seconds_left)):
                cells = await self._cells.run_cells(blocks)
            attempt = await self._answers.judge_turn(cells, None)
            if isinstance(attempt, Answer) or parsed.final is None:
                return attempt
        return await self._answers.judge_final(parsed.final) if parsed.final is not None else None
