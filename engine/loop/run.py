"""The loop: root model, code, cells, observation, until there is an answer.

One `Run` is one RLM: the query's own, or a child's. Each has its own sandbox and its own meter, a child's with an
allotment of its parent's budget; they share the query's models. The history is append-only, so that a provider's prefix
cache serves every turn after the first, until it outgrows the model's window (history.py).

A run whose turns are ended by a limit makes one last call, out of what was kept back for it, for the best answer so
far.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from hashlib import sha256

import anyio

from divebell.bridge.errors import BudgetExceeded
from divebell.bridge.meter import Meter
from divebell.cell import Cell
from divebell.context import Context
from divebell.errors import ModelError, RunError
from divebell.events import Event
from divebell.loop import landing, observation
from divebell.loop.allotments import Allotments
from divebell.loop.answers import Answer, Answers
from divebell.loop.calls import Calls, patiently
from divebell.loop.history import History
from divebell.loop.prompts import PromptFacts, ToolFacts, Turns, budget_line, opening_messages
from divebell.loop.replies import parse_reply, strip_thinking
from divebell.loop.result import Result, Turn
from divebell.loop.services import RunServices
from divebell.loop.settings import Resolved, Settings
from divebell.loop.stop import Stop
from divebell.loop.subcalls import Numbers, SubCalls
from divebell.loop.threads import in_thread
from divebell.models.protocol import Message, Request
from divebell.sandbox import Sandbox
from divebell.tools import Tools

LEAST_OUTPUT_TOKENS = 1_024
"""How far the root's output limit is lowered where the budget has no room for more; under it the call is refused."""


@dataclass
class SessionState:
    """What outlives a question: the sandbox with its variables, and the history."""

    box: Sandbox | None
    history: History
    told: int = 0
    """How many of the messages the sandbox's `history` has."""


class Run:
    """One RLM at work. `depth` is its level: 0 for the query's own; its meter knows its place in the tree.

    level: who its root model is; by default as the settings have it for this depth.
    session: the sandbox and the history to go on with; by default the run has its own, and they end with it.
    """

    def __init__(
        self,
        settings: Settings,
        calls: Calls,
        meter: Meter,
        *,
        context: Context,
        query: str,
        depth: int,
        started: float,
        level: Resolved | None = None,
        session: "SessionState | None" = None,
    ) -> None:
        self._settings = settings
        self._calls = calls
        self._meter = meter
        self._context = context
        self._query = query
        self._depth = depth
        self._started = started
        self._level = level or settings.level(depth)
        self._owns_session = session is None
        self._session = session or SessionState(box=None, history=History())
        self._turn = 0
        self._prompts_told = 0  # how many of the messages an event has told of
        self._trace: list[Turn] = []
        schema = settings.schema if depth == 0 else None
        self._schema = schema
        self._turns = Turns(
            schema_text=None if schema is None else schema.describe(),
            schema_fields=() if schema is None else schema.field_names,
        )
        self._subcalls = SubCalls(
            settings=settings,
            calls=calls,
            meter=meter,
            context=context,
            depth=depth,
            allotments=Allotments(meter, concurrency=settings.child_concurrency),
            tell=self._tell,
            run_child=self._run_child,
            numbers=Numbers(),
        )

    def _tell(self, kind: str, **data: object) -> None:
        listener = self._settings.listener
        if listener is None:
            return
        seconds = time.monotonic() - self._started
        event = Event(
            kind=kind,
            path=self._meter.path,
            turn=self._turn,
            seconds=seconds,
            data=data,
            run_id=self._meter.run_id,
            metadata=self._settings.labels,
        )
        with contextlib.suppress(Exception):
            listener(event)

    async def answer(self) -> Result:
        """Run to the end. Raises BudgetExceeded, ModelError or RunError where there can be no answer.

        Whatever ends it, cancellation too, the last event that it tells is "answer"."""
        began = time.monotonic()
        self._tell(
            "run", query=self._query, context=self._context.describe(), depth=self._depth, model=self._level.model.name
        )
        try:
            answer, stop = await self._answered()
        except BaseException as error:
            self._tell_failure(error)
            raise
        result = Result(
            answer=answer.text,
            value=answer.value,
            status="answered" if stop is None else "exhausted",
            stopped_by=stop,
            iterations=len(self._trace),
            seconds=time.monotonic() - began,
            spend=self._settings.journal.with_recorded(self._meter.path, self._meter.summary()),
            trace=tuple(self._trace),
            run_id=self._meter.run_id,
            metadata=self._settings.labels,
        )
        self._tell("answer", answer=result.answer, status=result.status, stopped_by=stop, spend=result.spend)
        return result

    def _tell_failure(self, error: BaseException) -> None:
        cancelled = isinstance(error, asyncio.CancelledError)
        failure = {
            "error": "the run was cancelled, or its time was up" if cancelled else str(error),
            "error_type": type(error).__name__,
        }
        self._tell("answer", answer="", status="failed", stopped_by=None, spend=self._meter.summary(), **failure)

    async def _answered(self) -> tuple[Answer, Stop | None]:
        """The answer, and the limit that ended the turns, if one did; all that the run had at work has ended then."""
        settings = self._settings
        tools = Tools.of(self._level.tools)
        services = RunServices(
            self._subcalls.query,
            self._subcalls.child,
            self._left,
            seeded=settings.seed is not None,
            check_answer=self._check_answer,
            tools=tools,
            tool_seconds=settings.tool_seconds,
            tell=self._tell,
            number=self._subcalls.number,
            journal=settings.journal,
            path=self._meter.path,
        )
        try:
            box = await in_thread(self._sandbox, services)
            self._answers = Answers(
                self._schema,
                self._turns,
                lambda code: self._run_cell(box, code),
                max_repairs=settings.max_repairs,
                fact=lambda name, make: settings.journal.fact(self._meter.path, name, make),
            )
            answer, stop = await self._to_the_end(box, services, tools)
            settings.journal.answer(self._meter.path, answer.text)
            settings.journal.check()
            return answer, stop
        finally:
            services.close()
            made = self._session.box  # also where the run was cancelled while the sandbox was being made
            with anyio.CancelScope(shield=True):
                if self._owns_session and made is not None:
                    made.cancel()
                    await in_thread(made.close)
                await services.ended()

    def _sandbox(self, services: RunServices) -> Sandbox:
        session, settings = self._session, self._settings
        if session.box is not None:
            session.box.serve(services)
        else:
            session.box = Sandbox(
                self._context, limits=settings.limits, seed=self._seed(), engine=settings.engine, services=services
            )
        return session.box

    def _seed(self) -> int | None:
        """The sandbox's seed: of a child its own, or siblings would draw the same numbers."""
        seed, path = self._settings.seed, self._meter.path
        if seed is None or path == "0":
            return seed
        return int.from_bytes(sha256(f"{seed}/{path}".encode()).digest()[:8], "big")

    def _check_answer(self, fields: object) -> str | None:
        return self._answers.check(fields)

    async def _to_the_end(self, box: Sandbox, services: RunServices, tools: Tools) -> tuple[Answer, Stop | None]:
        """The answer, and the limit that ended the turns, if one did."""
        settings = self._settings
        history = await in_thread(self._opened, box, tools)
        if settings.on_exhausted == "answer":
            reserve = landing.reserve_tokens(history.instructions)
            await patiently(lambda: self._meter.keep_back(self._level.model.name, *reserve))
        journal, path = settings.journal, self._meter.path
        refusal: BudgetExceeded | None = None
        try:
            with anyio.fail_after(self._seconds_for_turns()):
                answer = await self._until_answered(box, history)
            if answer is not None:
                return answer, None
            stop = self._turns_are_over()
        except BudgetExceeded as error:
            refusal, stop = error, Stop.of(error)
        except TimeoutError:
            refusal = self._time_is_up()
            stop = Stop.of(refusal)
        if refusal is not None:
            journal.keep_stop(path, refusal)
        if settings.on_exhausted == "raise":
            raise refusal or RunError(f"no answer after {len(self._trace)} turns: max_iterations allows more")
        services.close()
        self._tell("limit", limit=stop.limit, cap=stop.cap, spent=stop.spent, held=stop.held, account=stop.path)
        return await self._land(history, stop, refusal), stop

    def _opened(self, box: Sandbox, tools: Tools) -> History:
        """The history that the run begins with, also in the sandbox, as `history`."""
        session = self._session
        if session.history.full:
            if session.history.full[-1]["role"] == "user":  # templates of some models refuse two in a row
                session.history.append("assistant", "(That question was not answered.)")
            session.history.append_question(self._turns.question(self._query))
        else:
            session.history = History(opening_messages(self._prompt_facts(tools), self._query))
            box.bind("history", [])
        self._tell_history(box)
        return session.history

    def _tell_history(self, box: Sandbox) -> None:
        session = self._session
        box.append("history", list(session.history.full[session.told :]))
        session.told = len(session.history.full)

    def _prompt_facts(self, tools: Tools) -> PromptFacts:
        settings, context = self._settings, self._context
        return PromptFacts(
            context_type=context.type_name,
            context_description=context.describe(),
            context_preview=context.preview() if settings.preview else None,
            context_notes=context.notes,
            tools=[
                ToolFacts(name=str(tool["name"]), signature=str(tool["signature"]), doc=str(tool["documentation"]))
                for tool in tools.descriptions
            ],
            schema_text=None if self._schema is None else self._schema.describe(),
            schema_fields=() if self._schema is None else self._schema.field_names,
            can_have_children=self._depth < settings.max_depth,
            depth=self._depth,
            max_depth=settings.max_depth,
            sub_characters=settings.sub_characters,
            observation_characters=settings.observation_characters,
            cell_seconds=settings.limits.cell_seconds,
            budget_line=settings.journal.fact(self._meter.path, "budget line", lambda: budget_line(self._meter.left())),
            models=list(settings.models),
            small=self._level.small,
        )

    def _seconds_for_turns(self) -> float | None:
        left, seconds = self._meter.seconds_left, self._settings.seconds
        if left is None or seconds is None:
            return None
        kept = landing.reserved_seconds(seconds, self._depth) if self._settings.on_exhausted == "answer" else 0.0
        return max(left - kept, 0.0)

    def _time_is_up(self) -> BudgetExceeded:
        seconds = self._settings.seconds
        spent = time.monotonic() - self._started
        sentence = f"the run has used its budget of {seconds:g} s"
        return BudgetExceeded(sentence, limit="seconds", cap=seconds, spent=spent, path=self._meter.where)

    def _turns_are_over(self) -> Stop:
        settings, where = self._settings, self._meter.where
        if self._answers.repairs_are_used_up:
            return Stop(limit="repairs", cap=settings.max_repairs, spent=settings.max_repairs, path=where)
        return Stop(limit="iterations", cap=settings.max_iterations, spent=len(self._trace), path=where)

    async def _until_answered(self, box: Sandbox, history: History) -> Answer | None:
        """The answer that the model gives by itself; None when its turns are over."""
        settings = self._settings
        for self._turn in range(1, settings.max_iterations + 1):
            began = time.monotonic()
            history.compact_if_needed(max(settings.window_tokens - self._level.root_output_tokens, 1))
            reply = await self._ask_root(history.messages, history=history)
            parsed = parse_reply(reply)
            cells = await self._run_cells(box, parsed.code_blocks)
            self._trace.append(Turn(reply=reply, cells=tuple(cells), seconds=time.monotonic() - began))
            attempt = await self._answers.of_turn(cells, parsed.final)
            if isinstance(attempt, Answer):
                history.append("assistant", reply)
                return attempt
            problem = "\n\n".join(filter(None, (attempt.problem, self._turns.notes(parsed.notes))))
            seen = self._seen(cells, len(parsed.code_blocks) - len(cells), problem)
            if self._turn < settings.max_iterations:
                seen = self._turns.following(seen, self._turn + 1, settings.max_iterations)
            history.append("assistant", reply)
            history.append("user", seen)
            if self._answers.repairs_are_used_up:
                return None
            await in_thread(self._tell_history, box)
        return None

    def _seen(self, cells: list[Cell], skipped: int, problem: str) -> str:
        """What the model sees of its turn."""
        if not cells:
            return problem or self._turns.no_code()
        seen = observation.of_cells(cells, skipped, self._settings.observation_characters)
        return f"{seen}\n\n{problem}" if problem else seen

    async def _land(self, history: History, stop: Stop, refusal: BudgetExceeded | None) -> Answer:
        """The best answer so far, for what was kept back. Raises the refusal if that is not enough for a call."""
        self._turn += 1
        over = self._turns.landing(stop.limit) if stop.limit in landing.BUDGETS else self._turns.exhausted()
        tries = landing.last_messages(history.messages, history.opening, over, instructions=history.instructions)
        for attempt, messages in enumerate(tries):
            try:
                reply = await self._ask_root(messages, last=attempt)
            except BudgetExceeded as error:
                refusal = refusal or error
                continue
            except ModelError as error:
                if refusal is None:
                    raise
                raise refusal from error
            history.append("assistant", reply)
            return await self._best_answer(reply)
        assert refusal is not None
        raise refusal

    async def _best_answer(self, reply: str) -> Answer:
        """The last reply as an answer: what its FINAL says, or else all of it. RunError if it must fit and does not."""
        final = parse_reply(reply).final
        attempt = await self._answers.of_text(final) if final is not None else None
        if not isinstance(attempt, Answer):
            attempt = self._answers.of_plain(reply.strip())
        if isinstance(attempt, Answer):
            return attempt
        raise RunError(f"the answer does not fit the schema: {'; '.join(self._answers.last_errors)}"[:2000])

    async def _ask_root(
        self, messages: list[Message], *, history: History | None = None, last: int | None = None
    ) -> str:
        """`last`: this is that attempt at the run's last call."""
        level = self._level
        request = Request(
            messages=tuple(messages),
            max_output_tokens=level.root_output_tokens,
            metadata=self._settings.metadata,
            temperature=level.temperature,
        )
        call = await self._calls(
            self._meter,
            level.model,
            request,
            least_output_tokens=LEAST_OUTPUT_TOKENS if last is None else landing.LEAST_OUTPUT_TOKENS,
            name=f"turn {self._turn}" if last is None else f"last answer {last + 1}",
            is_last=last is not None,
        )
        if history is not None and call.completion.usage is not None:
            history.observe(call.completion.usage.input_tokens)
        reply = strip_thinking(call.completion.text)
        told, self._prompts_told = self._prompts_told, len(messages)
        new = tuple(messages[told:]) if len(messages) > told else tuple(messages)
        self._tell("reply", messages=new, reply=reply, **call.facts(level.model.name))
        return reply

    async def _run_cells(self, box: Sandbox, blocks: tuple[str, ...]) -> list[Cell]:
        """All blocks in order, up to the first that fails, or that gives the answer with SUBMIT."""
        cells: list[Cell] = []
        for code in blocks:
            cells.append(await self._run_cell(box, code))
            if not cells[-1].ok or cells[-1].submitted is not None:
                break
        return cells

    async def _run_cell(self, box: Sandbox, code: str) -> Cell:
        journal, path = self._settings.journal, self._meter.path
        journal.before_cell(path)
        self._tell("code", code=code)
        try:
            cell = await in_thread(box.run, code, abandon_on_cancel=True)
        except anyio.get_cancelled_exc_class():
            box.cancel()
            raise
        journal.cell(path, code, cell)
        journal.check()
        self._tell("cell", code=code, cell=cell)
        return cell

    async def _run_child(self, meter: Meter, context: Context, query: str, level: Resolved) -> Result:
        child = Run(
            self._settings,
            self._calls,
            meter,
            context=context,
            query=query,
            depth=self._depth + 1,
            started=self._started,
            level=level,
        )
        return await child.answer()

    def _left(self) -> dict[str, object]:
        return {**self._meter.left(), "depth": self._settings.max_depth - self._depth}
