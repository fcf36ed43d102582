"""What stands behind the door of a run's sandbox: metered sub-calls, children, tools, the purse.

The guest's thread calls in here; the work happens on the run's event loop, in tasks of its own. When the run ends,
`close` ends what is in flight, and a thread that waits for it is told so.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel

from divebell.errors import DivebellError, IncompleteReply, JournalError, RequestError
from divebell.events import EventListener, ToolEnded
from divebell.journal.base import Journal, NoJournal, RecordedAnswer
from divebell.journal.entries import FactEntry, ToolEntry
from divebell.sandbox.host import ToolServices
from divebell.sandbox.tools import Tools
from divebell_bridge.door import wire
from divebell_bridge.door.door import Refused, Started
from divebell_bridge.door.requests import Call, ChildQuery, Outcome, Query, ToolCall
from divebell_bridge.door.tickets import late
from divebell_bridge.money.errors import BudgetExceeded

AnswerQuery = Callable[..., Awaitable[object]]
"""query(prompt, model): the reply. Where the code gave them, `schema=` (a JSON Schema; the reply is plain data then)
and `images=` (a tuple of bridge.requests.Image) come beside these."""
AnswerChild = Callable[..., Awaitable[object]]
"""child(prompt, context, model). With references=True `context` may be a ContextReference or a ContextItem."""
CheckAnswer = Callable[[object], str | None]
Left = Callable[[], dict[str, object]]
UNKNOWN_TOOL = "unknown"


class RunServices(ToolServices):
    """The services of one run. Made on its event loop, which is asyncio's.

    check_answer: says why the fields of a SUBMIT do not fit the output schema, or None; runs on the guest's thread.
    tools: what the code may call beside models; tool_seconds: how long one call of a tool may take.
    report: receives an event for each call of a tool, on the loop.
    number: gives each call its number, on the guest's thread, which `query` and `child` then get as `number`.
    journal, path: where it is written down what the guest is told, and as which run's.
    references: whether `child` takes references to parts of this run's context; if not, it gets the parts themselves.
    """

    def __init__(
        self,
        query: AnswerQuery,
        child: AnswerChild,
        left: Left,
        *,
        seeded: bool,
        check_answer: CheckAnswer | None = None,
        tools: Tools | None = None,
        tool_seconds: float = 60.0,
        report: EventListener | None = None,
        number: "Callable[[Query | ChildQuery], int] | None" = None,
        journal: Journal | None = None,
        path: str = "0",
        references: bool = True,
    ) -> None:
        super().__init__(tools, tool_seconds=tool_seconds, seeded=seeded)
        self._query = query
        self._child = child
        self._left = left
        self._check_answer = check_answer
        self.takes_references = references
        self._report = report
        self._number = number
        self._tool_calls = 0
        self._journal = journal or NoJournal()
        self._path = path
        self._token = anyio.lowlevel.current_token()
        self._loop = asyncio.get_running_loop()
        self._scopes: set[anyio.CancelScope] = set()
        self._tasks: set[asyncio.Task[Outcome]] = set()
        self._closed = False
        self._idle = anyio.Event()

    def query(self, queries: list[Query]) -> list[Outcome]:
        return self._all([*queries])

    def child(self, children: list[ChildQuery]) -> list[Outcome]:
        return self._all([*children])

    def start(self, call: Call, done: Callable[[Outcome], None]) -> Started:
        if isinstance(call, ToolCall):
            self._tool_calls += 1
            return self._start_kept_tool(call, self._tool_calls, done)
        number = self._numbered(call)
        name = f"{'child' if isinstance(call, ChildQuery) else 'call'} {number.get('number')}"
        if self._journal.was_given_up(self._path, name):
            return Started(lambda: None)
        cancel = self._start_async(lambda: self._outcome(call, number), done)
        return Started(self._giving_up(name, cancel))

    def _start_kept_tool(self, call: ToolCall, number: int, done: Callable[[Outcome], None]) -> Started:
        """Start a tool, unless it is known what came of it."""
        recorded = self._journal.find_tool_outcome(self._path, number)
        told = self._reporting(call, number, done)
        if recorded is None and self._journal.was_given_up(self._path, f"tool {number}"):
            recorded = late(self._tool_seconds)
        if recorded is not None:
            told(recorded)
            return Started(lambda: None)
        started = self._start_tool(call, self._keeping(number, told))
        return Started(self._giving_up(f"tool {number}", started.cancel), started.seconds)

    def _giving_up(self, name: str, cancel: Callable[[], None]) -> Callable[[], None]:
        """`cancel`, after writing down that the guest gave the call up; not where that is because the run ends, which
        is known on the loop."""

        def keep() -> None:
            if not self._closed and not self._journal.was_given_up(self._path, name):
                with contextlib.suppress(JournalError):  # the journal remembers it, and the next call raises it
                    self._journal.write(FactEntry.of_given_up(self._path, name))

        def given_up() -> None:
            self._on_loop(keep)
            cancel()

        return given_up

    def check_answer(self, value: object) -> str | None:
        return None if self._check_answer is None else self._check_answer(value)

    def budget(self) -> dict[str, object]:
        return self._left()

    def close(self) -> None:
        """Cancel what is in flight and refuse what comes: the run has ended. On the run's event loop.

        Calls from the guest's thread are tasks of their own on the loop, so the run's cancellation does not reach them.
        They end by their scopes: Task.cancel would break into what they shield, such as the settling of a hold.
        """
        self._closed = True
        for scope in self._scopes:
            scope.cancel()
        self._check_idle()

    async def ended(self) -> None:
        """Wait until all that was in flight at `close` has ended, and so has settled what it held."""
        await self._idle.wait()

    def _check_idle(self) -> None:
        if self._closed and not self._scopes and not self._tasks:
            self._idle.set()

    def recorded(self, op: str, packed: bytes) -> tuple[bool, Any]:
        answer = self._journal.find_door_answer(self._path, op, packed)
        return (False, None) if answer is None else (True, answer.value)

    def record(self, op: str, packed: bytes, told: object, recorded: object) -> None:
        if self._closed:  # what the guest is told now comes of the run's end, and is not to be told again
            raise Refused(wire.UNAVAILABLE, "the run has ended")
        known = None if recorded is None else RecordedAnswer(recorded)
        self._journal.keep_door_answer(self._path, op, packed, told, known)

    def _keeping(self, number: int, done: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
        """`done`, after writing the outcome down."""

        def keep(outcome: Outcome) -> None:
            try:
                self._journal.write(ToolEntry(self._path, number, outcome))
            except DivebellError as error:
                outcome = {"kind": wire.TOOL_ERROR, "message": str(error), "error": "JournalError"}
            done(outcome)

        return keep

    def _reporting(self, call: ToolCall, number: int, done: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
        """`done`, after reporting the call."""
        if self._report is None:
            return done
        report, began = self._report, time.monotonic()
        # A name that the application did not give is the guest's text, and may be of the context.
        name = call.name if call.name in self._tools else UNKNOWN_TOOL

        def report_and_pass_on(outcome: Outcome) -> None:
            failed = "kind" in outcome
            event = ToolEnded(
                number=number,
                name=name,
                arguments=list(call.arguments),
                keyword_arguments=dict(call.keyword_arguments),
                tool_seconds=time.monotonic() - began,
                result=None if failed else outcome.get("value", outcome.get("text")),
                error=str(outcome.get("message")) if failed else None,
                error_type=str(outcome["kind"]) if failed else None,
            )
            self._on_loop(lambda: report(event))
            done(outcome)

        return report_and_pass_on

    def _numbered(self, call: "Query | ChildQuery") -> dict[str, int]:
        return {} if self._number is None else {"number": self._number(call)}

    async def _outcome(self, call: "Query | ChildQuery", number: dict[str, int]) -> Outcome:
        """What came of the call. Raises nothing but cancellation and faults of the host."""
        try:
            reply = await self._reply(call, number)
        except BudgetExceeded as error:
            return {"kind": wire.BUDGET_EXCEEDED, "message": str(error)}
        except IncompleteReply as error:
            return {"kind": wire.INCOMPLETE_REPLY, "message": str(error), "partial": error.text}
        except RequestError as error:
            return {"kind": wire.BAD_REQUEST, "message": str(error)}
        except DivebellError as error:
            return {"kind": wire.MODEL_ERROR, "message": str(error)}
        return (
            {"text": reply}
            if type(reply) is str and not (isinstance(call, Query) and call.schema)
            else {"value": reply}
        )

    async def _reply(self, call: "Query | ChildQuery", number: dict[str, int]) -> object:
        if isinstance(call, ChildQuery):
            return await self._child(call.prompt, call.context, call.model, **number)
        given: dict[str, object] = {**number}
        if call.schema is not None:
            given["schema"] = call.schema
        if call.images:
            given["images"] = call.images
        return await self._query(call.prompt, call.model, **given)

    def _start_async(
        self, function: Callable[[], Coroutine[Any, Any, Outcome]], done: Callable[[Outcome], None]
    ) -> Callable[[], None]:
        """Run it as a task on the run's loop, without waiting for that. Whatever becomes of it, `done` is told."""
        scopes: list[anyio.CancelScope] = []
        is_given_up = False

        ended: Outcome = {"kind": wire.UNAVAILABLE, "message": "the run has ended"}

        async def run() -> Outcome:
            with anyio.CancelScope() as scope:
                if self._closed or is_given_up:
                    return ended
                scopes.append(scope)
                self._scopes.add(scope)
                try:
                    return await function()
                finally:
                    self._scopes.discard(scope)
            return ended

        def finish(task: "asyncio.Task[Outcome]") -> None:
            self._tasks.discard(task)
            self._check_idle()
            if task.cancelled():
                done(ended)
            elif (error := task.exception()) is not None:
                done({"kind": wire.MODEL_ERROR, "message": f"the host failed to answer ({type(error).__name__})"})
            else:
                done(task.result())

        def begin() -> None:
            if self._closed or is_given_up:
                done(ended)
                return
            task = self._loop.create_task(run())
            self._tasks.add(task)
            task.add_done_callback(finish)

        def end() -> None:
            for scope in scopes:
                scope.cancel()

        def cancel() -> None:
            nonlocal is_given_up
            is_given_up = True
            self._on_loop(end)

        if not self._on_loop(begin):
            raise Refused(wire.UNAVAILABLE, "the run has ended")
        return cancel

    def _on_loop(self, function: Callable[[], None]) -> bool:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop is closed: the run ended, and everything on it with it
            return False
        return True

    def _all(self, calls: "list[Query | ChildQuery]") -> list[Outcome]:
        numbers = [self._numbered(call) for call in calls]
        return anyio.from_thread.run(self._within_run, calls, numbers, token=self._token)

    async def _within_run(self, calls: "list[Query | ChildQuery]", numbers: list[dict[str, int]]) -> list[Outcome]:
        with anyio.CancelScope() as scope:
            if self._closed:
                raise Refused(wire.UNAVAILABLE, "the run has ended")
            self._scopes.add(scope)
            try:
                return await self._gather(calls, numbers)
            finally:
                self._scopes.discard(scope)
                self._check_idle()
        raise Refused(wire.UNAVAILABLE, "the run has ended")

    async def _gather(self, calls: "list[Query | ChildQuery]", numbers: list[dict[str, int]]) -> list[Outcome]:
        """All at once, in order; one that fails does not stop the others."""
        outcomes: list[Outcome] = [{} for _ in calls]

        async def settle(index: int) -> None:
            outcomes[index] = await self._outcome(calls[index], numbers[index])

        async with anyio.create_task_group() as group:
            for index in range(len(calls)):
                group.start_soon(settle, index)
        return outcomes
