"""One RLM at work: its sandbox, its host, its events, and the Result that comes of it.

One `Run` is the query's own, or a child's. Each has its own sandbox and its own meter, a child's with an allotment of
its parent's budget; they share the query's models. The history is append-only, so that a provider's prefix cache serves
every turn after the first, until it outgrows the model's window (history.py). turns.py has the turns.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256

import anyio

from divebell.context import Context
from divebell.errors import DivebellError
from divebell.events import Event, RunEnded, RunStarted
from divebell.prompts import PromptFacts, ToolFacts, TurnMessages, budget_line, opening_messages
from divebell.run.answers import Answer
from divebell.run.ending import Ending
from divebell.run.history import History
from divebell.run.host import RunHost
from divebell.run.levels import ResolvedLevel
from divebell.run.pace import Pace
from divebell.run.result import Result
from divebell.run.root_calls import RootCalls
from divebell.run.session_state import SessionState
from divebell.run.setup import QueryScope
from divebell.run.subcalls import SubCalls
from divebell.run.tasks import in_thread
from divebell.run.turns import TurnLoop
from divebell.sandbox.sandbox import Sandbox
from divebell.sandbox.tools import Tools
from divebell_bridge.money.meter import Meter

__all__ = ["Run", "SessionState"]


class Run:
    """One RLM at work. `depth` is its level: 0 for the query's own; its meter knows its place in the tree.

    level: its root model and tools; by default those of the setup for this depth.
    session: the sandbox and the history to continue with; by default the run has its own, and they end with it.
    pace_above: the pace of its parent, if it is a child.
    """

    def __init__(
        self,
        scope: QueryScope,
        meter: Meter,
        *,
        context: Context,
        query: str,
        depth: int,
        level: ResolvedLevel | None = None,
        session: SessionState | None = None,
        pace_above: Pace | None = None,
    ) -> None:
        setup = scope.setup
        self.scope = scope
        self.meter = meter
        self.context = context
        self.depth = depth
        self._query = query
        self._level = level or setup.levels.at(depth)
        self._owns_session = session is None
        self._session = session or SessionState()
        self._schema = setup.schema if depth == 0 else None
        self._turn_messages = TurnMessages(
            schema_text=None if self._schema is None else self._schema.describe(),
            schema_fields=() if self._schema is None else self._schema.field_names,
        )
        self._subcalls = SubCalls(self)
        self._began = scope.started
        self._pace = Pace(setup.seconds, above=pace_above)
        self._loop = TurnLoop(
            scope,
            meter,
            self._level,
            root=RootCalls(scope, meter, self._level, report=self.report, pace=self._pace),
            schema=self._schema,
            turn_messages=self._turn_messages,
            pace=self._pace,
            session=self._session,
            report=self.report,
        )

    def report(self, event: Event) -> None:
        """Complete the event with its run, turn and time, and pass it to the listener."""
        listener = self.scope.listener
        if listener is None:
            return
        complete_event = replace(
            event,
            path=self.meter.path,
            turn=self._loop.turn,
            seconds=time.monotonic() - self.scope.started,
            run_id=self.meter.run_id,
            metadata=self.scope.metadata,
        )
        with contextlib.suppress(Exception):
            listener(complete_event)

    async def answer(self) -> Result:
        """Run to the end. Raises BudgetExceeded, ModelError or RunError if there is neither an answer nor a draft.

        However it ends, even by cancellation, the last event that it reports is RunEnded."""
        self._began = time.monotonic()
        self.report(
            RunStarted(
                query=self._query,
                context=self.context.describe(),
                depth=self.depth,
                model=self._level.model.name,
            )
        )
        try:
            async with self._open_sandbox() as host:
                ending = await self._loop.run_to_the_end(host)
                if ending.error is None:  # a run that failed may be resumed, and come to an answer
                    self.scope.journal.keep_answer(self.meter.path, ending.answer.text)
                self.scope.journal.check()
        except BaseException as error:
            self._report_failure(error)
            raise
        result = self._make_result(ending)
        self.report(
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

    async def run_child(self, meter: Meter, context: Context, query: str, level: ResolvedLevel) -> Result:
        """Run a child of this run to its end."""
        child = Run(
            self.scope,
            meter,
            context=context,
            query=query,
            depth=self.depth + 1,
            level=level,
            pace_above=self._pace,
        )
        return await child.answer()

    def result_of_failure(self, error: DivebellError) -> Result | None:
        """What there is of a run that was ended from outside with this error; None if there is nothing, or if the
        error is to be raised."""
        draft = self._find_draft()
        return self._make_result(Ending(answer=Answer(draft, None), error=error)) if draft else None

    def _find_draft(self) -> str:
        return self._loop.draft() if self.scope.setup.options.on_exhausted == "answer" else ""

    def _make_result(self, ending: Ending) -> Result:
        answered = "answered" if ending.stop is None else "exhausted"
        return Result(
            answer=ending.answer.text,
            value=ending.answer.value,
            status=answered if ending.error is None else "failed",
            stopped_by=ending.stop,
            is_cut=ending.is_cut,
            error=ending.error,
            iterations=len(self._loop.finished),
            seconds=time.monotonic() - self._began,
            spend=self.scope.journal.add_recorded_costs(self.meter.path, self.meter.summary()),
            turns=tuple(self._loop.finished),
            run_id=self.meter.run_id,
            metadata=self.scope.metadata,
        )

    def _report_failure(self, error: BaseException) -> None:
        was_cancelled = isinstance(error, asyncio.CancelledError)
        self.report(
            RunEnded(
                answer=self._find_draft() if was_cancelled else "",
                status="failed",
                stopped_by=None,
                spend=self.meter.summary(),
                error="the run was cancelled, or its time was up" if was_cancelled else str(error),
                error_type=type(error).__name__,
            )
        )

    @contextlib.asynccontextmanager
    async def _open_sandbox(self) -> AsyncIterator[RunHost]:
        """Open the sandbox, with the history in it and a host behind its door. On leaving, everything in flight has
        ended."""
        setup, journal = self.scope.setup, self.scope.journal
        tools = Tools.of(self._level.tools)
        host = RunHost(
            self._subcalls,
            self._loop.answers,
            tools=tools,
            tool_seconds=setup.tool_seconds,
            report=self.report,
            journal=journal,
            path=self.meter.path,
        )
        try:
            await in_thread(self._serve, host)
            await in_thread(self._begin_history, tools)
            yield host
        finally:
            host.tasks.close()
            box = self._session.box  # also where the run was cancelled while the sandbox was being made
            with anyio.CancelScope(shield=True):
                if self._owns_session and box is not None:
                    box.cancel()
                    await in_thread(box.close)
                await host.tasks.wait_closed()

    def _serve(self, host: RunHost) -> None:
        """Put the host behind the door of the session's sandbox, or of a new one."""
        session, setup = self._session, self.scope.setup
        if session.box is not None:
            session.box.serve(host)
        else:
            session.box = Sandbox(
                self.context, limits=setup.limits, seed=self._find_seed(), engine=setup.engine, host=host
            )

    def _find_seed(self) -> int | None:
        """The sandbox's seed. A child has its own, because siblings would draw the same numbers otherwise."""
        seed, path = self.scope.setup.options.seed, self.meter.path
        if seed is None or path == "0":
            return seed
        return int.from_bytes(sha256(f"{seed}/{path}".encode()).digest()[:8], "big")

    def _begin_history(self, tools: Tools) -> None:
        """Begin the history, also in the sandbox, as `history`."""
        session = self._session
        if session.history.full:
            session.history.append_question(self._turn_messages.question(self._query))
        else:
            session.history = History(opening_messages(self._prompt_facts(tools), self._query))
            session.open_box.bind("history", [])
        session.send_history()

    def _prompt_facts(self, tools: Tools) -> PromptFacts:
        setup, context, meter = self.scope.setup, self.context, self.meter
        return PromptFacts(
            context_type=context.type_name,
            context_description=context.describe(),
            context_preview=context.preview() if setup.options.show_preview else None,
            context_notes=context.notes,
            tools=[
                ToolFacts(name=str(tool["name"]), signature=str(tool["signature"]), doc=str(tool["documentation"]))
                for tool in tools.descriptions
            ],
            schema_text=None if self._schema is None else self._schema.describe(),
            schema_fields=() if self._schema is None else self._schema.field_names,
            can_have_children=self.depth < setup.max_depth,
            depth=self.depth,
            max_depth=setup.max_depth,
            options=setup.options,
            prompt=self._level.prompt,
            cell_seconds=setup.limits.cell_seconds,
            budget_line=self.scope.journal.keep_fact(meter.path, "budget line", budget_line(meter.left())),
            models=list(setup.levels.models),
        )
