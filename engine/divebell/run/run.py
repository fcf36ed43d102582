"""One RLM at work: its sandbox, its host, its events, and the Result that comes of it.

One `Run` is the query's own, or a child's. Each has its own sandbox and its own meter, a child's with an allotment of
its parent's budget; they share the query's models. The history is append-only, so that a provider's prefix cache serves
every turn after the first, until it outgrows the model's window (history.py). The turns are turn_loop.py's.
"""

import asyncio
import contextlib
import time
from dataclasses import replace
from hashlib import sha256

import anyio

from divebell.calls.allotments import Allotments
from divebell.calls.metered_calls import Calls
from divebell.context import Context
from divebell.errors import DivebellError
from divebell.events import Event, RunEnded, RunStarted
from divebell.prompts import PromptFacts, ToolFacts, Turns, budget_line, opening_messages
from divebell.run.answers import Answer, Answers
from divebell.run.history import History
from divebell.run.host import RunHost
from divebell.run.pace import Pace
from divebell.run.result import Result
from divebell.run.root_calls import RootCalls
from divebell.run.session_state import SessionState
from divebell.run.settings import Resolved, Settings
from divebell.run.subcalls import Numbers, SubCalls
from divebell.run.threads import in_thread
from divebell.run.turns import Ending, TurnLoop
from divebell.sandbox.sandbox import Sandbox
from divebell.sandbox.tools import Tools
from divebell_bridge.money.meter import Meter

__all__ = ["Run", "SessionState"]


class Run:
    """One RLM at work. `depth` is its level: 0 for the query's own; its meter knows its place in the tree.

    level: who its root model is; by default as the settings have it for this depth.
    session: the sandbox and the history to go on with; by default the run has its own, and they end with it.
    pace_above: of the run that it is a child of.
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
        pace_above: Pace | None = None,
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
            report=self._report,
            run_child=self._run_child,
            numbers=Numbers(),
        )
        self._began = started
        self._pace = Pace(settings.seconds, above=pace_above)
        root = RootCalls(settings, calls, meter, self._level, report=self._report, pace=self._pace)
        self._loop = TurnLoop(
            settings,
            meter,
            self._level,
            root=root,
            turns=self._turns,
            pace=self._pace,
            session=self._session,
            started=started,
            report=self._report,
        )

    def _report(self, event: Event) -> None:
        """Give the event to whoever listens, with where and when it happened."""
        listener = self._settings.listener
        if listener is None:
            return
        placed = replace(
            event,
            path=self._meter.path,
            turn=self._loop.turn,
            seconds=time.monotonic() - self._started,
            run_id=self._meter.run_id,
            metadata=self._settings.labels,
        )
        with contextlib.suppress(Exception):
            listener(placed)

    async def answer(self) -> Result:
        """Run to the end. Raises BudgetExceeded, ModelError or RunError where there is nothing to give.

        Whatever ends it, cancellation too, the last event that it reports is RunEnded."""
        self._began = time.monotonic()
        self._report(
            RunStarted(
                query=self._query,
                context=self._context.describe(),
                depth=self._depth,
                model=self._level.model.name,
            )
        )
        try:
            ending = await self._answered()
        except BaseException as error:
            self._report_failure(error)
            raise
        result = self._result(ending)
        self._report(
            RunEnded(
                answer=result.answer,
                status=result.status,
                stopped_by=result.stopped_by,
                spend=result.spend,
                is_cut=result.is_cut,
                error=None if ending.error is None else str(ending.error),
                error_type=None if ending.error is None else type(ending.error).__name__,
            )
        )
        return result

    def result_of_failure(self, error: DivebellError) -> Result | None:
        """What there is of a run that was ended from outside with this error; None where there is nothing, or where the
        error is to be raised."""
        draft = self._draft()
        return self._result(Ending(answer=Answer(draft, None), error=error)) if draft else None

    def _draft(self) -> str:
        return self._loop.draft() if self._settings.on_exhausted == "answer" else ""

    def _result(self, ending: Ending) -> Result:
        answered = "answered" if ending.stop is None else "exhausted"
        return Result(
            answer=ending.answer.text,
            value=ending.answer.value,
            status=answered if ending.error is None else "failed",
            stopped_by=ending.stop,
            is_cut=ending.is_cut,
            error=ending.error,
            iterations=len(self._loop.trace),
            seconds=time.monotonic() - self._began,
            spend=self._settings.journal.add_recorded_costs(self._meter.path, self._meter.summary()),
            trace=tuple(self._loop.trace),
            run_id=self._meter.run_id,
            metadata=self._settings.labels,
        )

    def _report_failure(self, error: BaseException) -> None:
        was_cancelled = isinstance(error, asyncio.CancelledError)
        self._report(
            RunEnded(
                answer=self._draft() if was_cancelled else "",
                status="failed",
                stopped_by=None,
                spend=self._meter.summary(),
                error="the run was cancelled, or its time was up" if was_cancelled else str(error),
                error_type=type(error).__name__,
            )
        )

    async def _answered(self) -> Ending:
        """How the run ended; all that it had at work has ended then."""
        settings = self._settings
        tools = Tools.of(self._level.tools)
        host = RunHost(
            self._subcalls,
            self,
            tools=tools,
            tool_seconds=settings.tool_seconds,
            report=self._report,
            journal=settings.journal,
            path=self._meter.path,
        )
        try:
            box = await in_thread(self._sandbox, host)
            self._loop.answers = self._answers = Answers(
                self._schema,
                self._turns,
                lambda code: self._loop.run_cell(box, code),
                is_set_on_purpose=lambda name: self._is_set_on_purpose(box, name),
                max_repairs=settings.max_repairs,
                journal=settings.journal,
                path=self._meter.path,
            )
            await in_thread(self._open, box, tools)
            ending = await self._loop.to_the_end(box, host)
            if ending.error is None:  # a run that failed may be resumed, and come to an answer
                settings.journal.keep_answer(self._meter.path, ending.answer.text)
            settings.journal.check()
            return ending
        finally:
            host.tasks.close()
            made = self._session.box  # also where the run was cancelled while the sandbox was being made
            with anyio.CancelScope(shield=True):
                if self._owns_session and made is not None:
                    made.cancel()
                    await in_thread(made.close)
                await host.tasks.wait_closed()

    async def _is_set_on_purpose(self, box: Sandbox, name: str) -> bool:
        """A journal by older rules has answers that came of any variable."""
        return self._settings.journal.is_by_older_rules or await in_thread(box.is_set_on_purpose, name)

    def _sandbox(self, host: RunHost) -> Sandbox:
        session, settings = self._session, self._settings
        if session.box is not None:
            session.box.serve(host)
        else:
            session.box = Sandbox(
                self._context, limits=settings.limits, seed=self._seed(), engine=settings.engine, host=host
            )
        return session.box

    def _seed(self) -> int | None:
        """The sandbox's seed: of a child its own, or siblings would draw the same numbers."""
        seed, path = self._settings.seed, self._meter.path
        if seed is None or path == "0":
            return seed
        return int.from_bytes(sha256(f"{seed}/{path}".encode()).digest()[:8], "big")

    def check(self, fields: object) -> str | None:
        """Why the fields of a SUBMIT do not fit the output schema; None if they do."""
        return self._answers.check(fields)

    def _open(self, box: Sandbox, tools: Tools) -> None:
        """Begin the history, also in the sandbox, as `history`."""
        session = self._session
        if session.history.full:
            session.history.append_question(self._turns.question(self._query))
        else:
            session.history = History(opening_messages(self._prompt_facts(tools), self._query))
            box.bind("history", [])
        session.tell_history(box)

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
            budget_line=settings.journal.keep_fact(self._meter.path, "budget line", budget_line(self._meter.left())),
            models=list(settings.models),
            small=self._level.small,
            instructions=settings.instructions_at(self._depth),
        )

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
            pace_above=self._pace,
        )
        return await child.answer()
