"""The host of a run's sandbox: metered sub-calls, children, tools and the budget.

The guest's thread calls in here; the work happens on the run's event loop (tasks.py). Each call has a number, in the
order in which the code asks, by which the journal knows it.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from divebell.errors import DivebellError, IncompleteReply, JournalError, RequestError
from divebell.events import EventListener, ToolEnded
from divebell.journal.base import Journal, NoJournal
from divebell.journal.entries import FactEntry, ToolEntry
from divebell.run.recorded_door import RecordedDoor
from divebell.run.tasks import RunTasks
from divebell.sandbox.clock import Clock
from divebell.sandbox.tool_runner import ToolRunner
from divebell.sandbox.tools import Tools
from divebell_bridge.door import wire
from divebell_bridge.door.door import Door, StartedCall
from divebell_bridge.door.requests import Call, ChildQuery, Image, Outcome, Query, ToolCall
from divebell_bridge.door.tickets import outcome_of_timeout
from divebell_bridge.money.errors import BudgetExceeded

UNKNOWN_TOOL = "unknown"


class CallHandler(Protocol):
    """Answers what the code asks of models and children: SubCalls is one."""

    def number(self, call: Query | ChildQuery) -> int:
        """The call's number. On the guest's thread, in the order in which the code asks."""
        ...

    async def query(
        self,
        prompt: str,
        model: str | None,
        schema: Mapping[str, Any] | None = None,
        images: tuple[Image, ...] = (),
        *,
        number: int,
    ) -> object:
        """The reply: text, or plain data where there is a schema."""
        ...

    async def child(self, prompt: str, source: object, model: str | None, *, number: int) -> object:
        """The child's answer. `source` is its context: plain data, a ContextReference or a ContextItem, or None."""
        ...

    def left(self) -> dict[str, object]:
        """What is left of the budget, as plain data."""
        ...


class AnswerChecker(Protocol):
    """Checks the fields that SUBMIT received: Answers is one."""

    def check(self, fields: object) -> str | None:
        """Why the fields do not fit the output schema; None if they do. On the guest's thread."""
        ...


class RunHost:
    """The host of one run. It must be constructed on the run's event loop; `tasks.close` ends its work in progress.

    tool_seconds: how long one call of a tool may take.
    report: receives an event for each call of a tool, on the loop.
    journal, path: the journal that records the guest's answers, and the run's path in it.
    """

    takes_references = True

    def __init__(
        self,
        calls: CallHandler,
        answers: AnswerChecker,
        *,
        tools: Tools | None = None,
        tool_seconds: float = 60.0,
        report: EventListener | None = None,
        journal: Journal | None = None,
        path: str = "0",
    ) -> None:
        self._calls = calls
        self._answers = answers
        self.tasks = RunTasks()
        self.journal = journal or NoJournal()
        self.path = path
        self._tools = ToolRunner(tools or Tools({}), tool_seconds, self.tasks)
        self._tool_calls = 0
        self._report = report

    def open_door(self, clock: Clock, *, tool_calls: int) -> Door:
        return RecordedDoor(self, clock, self.journal, self.path, self.tasks, tool_calls=tool_calls)

    def tool_descriptions(self) -> list[dict[str, object]]:
        return self._tools.tools.descriptions

    def set_tools(self, tools: Tools) -> None:
        self._tools = self._tools.with_tools(tools)

    def query(self, queries: list[Query]) -> list[Outcome]:
        return self._answer_all([*queries])

    def child(self, children: list[ChildQuery]) -> list[Outcome]:
        return self._answer_all([*children])

    def _answer_all(self, calls: list[Query | ChildQuery]) -> list[Outcome]:
        return self.tasks.run_all([functools.partial(self._answer, call, self._calls.number(call)) for call in calls])

    def start(self, call: Call, done: Callable[[Outcome], None]) -> StartedCall:
        if isinstance(call, ToolCall):
            self._tool_calls += 1
            return self._start_tool(call, self._tool_calls, done)
        number = self._calls.number(call)
        name = f"{'child' if isinstance(call, ChildQuery) else 'call'} {number}"
        if self.journal.was_given_up(self.path, name):
            return StartedCall(lambda: None)
        cancel = self.tasks.submit(functools.partial(self._answer, call, number), done)
        return StartedCall(functools.partial(self._give_up, name, cancel))

    def _start_tool(self, call: ToolCall, number: int, done: Callable[[Outcome], None]) -> StartedCall:
        """Start a tool, unless its outcome is recorded."""
        tool_call = _ToolCall(self, call, number, done, self._tools.tools, self._report)
        outcome = self.journal.find_tool_outcome(self.path, number)
        name = f"tool {number}"
        if outcome is None and self.journal.was_given_up(self.path, name):
            outcome = outcome_of_timeout(self._tools.seconds)
        if outcome is not None:
            tool_call.pass_on(outcome)
            return StartedCall(lambda: None)
        started = self._tools.start(call, tool_call.finish)
        return StartedCall(functools.partial(self._give_up, name, started.cancel), started.seconds)

    def _give_up(self, name: str, cancel: Callable[[], None]) -> None:
        """The guest gives a call up: write that down, on the loop, and cancel the call."""
        self.tasks.call_soon(functools.partial(self._record_given_up, name))
        cancel()

    def _record_given_up(self, name: str) -> None:
        """Record that the guest gave the call up, unless the run's end is the reason."""
        if not self.tasks.is_closed and not self.journal.was_given_up(self.path, name):
            with contextlib.suppress(JournalError):  # the journal remembers it, and the next call raises it
                self.journal.write(FactEntry.of_given_up(self.path, name))

    def check_answer(self, value: object) -> str | None:
        return self._answers.check(value)

    def budget(self) -> dict[str, object]:
        return self._calls.left()

    async def _answer(self, call: Query | ChildQuery, number: int) -> Outcome:
        """The outcome of the call. Raises nothing but cancellation and faults of the host."""
        try:
            if isinstance(call, ChildQuery):
                reply = await self._calls.child(call.prompt, call.context, call.model, number=number)
            else:
                reply = await self._calls.query(call.prompt, call.model, call.schema, call.images, number=number)
        except BudgetExceeded as error:
            return {"kind": wire.BUDGET_EXCEEDED, "message": str(error)}
        except IncompleteReply as error:
            return {"kind": wire.INCOMPLETE_REPLY, "message": str(error), "partial": error.text}
        except RequestError as error:
            return {"kind": wire.BAD_REQUEST, "message": str(error)}
        except DivebellError as error:
            return {"kind": wire.MODEL_ERROR, "message": str(error)}
        has_schema = isinstance(call, Query) and call.schema is not None
        return {"text": reply} if type(reply) is str and not has_schema else {"value": reply}


class _ToolCall:
    """One call of a tool: its outcome is written down, reported, and then given to the guest."""

    def __init__(
        self,
        host: RunHost,
        call: ToolCall,
        number: int,
        done: Callable[[Outcome], None],
        tools: Tools,
        report: EventListener | None,
    ) -> None:
        self._host = host
        self._call = call
        self._number = number
        self._done = done
        # Any other name is the guest's text, which may come from the context: it must not reach events.
        self._name = call.name if call.name in tools else UNKNOWN_TOOL
        self._report = report
        self._began = time.monotonic()

    def finish(self, outcome: Outcome) -> None:
        """The tool has ended."""
        try:
            self._host.journal.write(ToolEntry(self._host.path, self._number, outcome))
        except DivebellError as error:
            outcome = {"kind": wire.TOOL_ERROR, "message": str(error), "error": "JournalError"}
        self.pass_on(outcome)

    def pass_on(self, outcome: Outcome) -> None:
        """Report the outcome, and give it to the guest."""
        if self._report is not None:
            self._host.tasks.call_soon(functools.partial(self._report, self._event(outcome)))
        self._done(outcome)

    def _event(self, outcome: Outcome) -> ToolEnded:
        failed = "kind" in outcome
        return ToolEnded(
            number=self._number,
            name=self._name,
            arguments=list(self._call.arguments),
            keyword_arguments=dict(self._call.keyword_arguments),
            tool_seconds=time.monotonic() - self._began,
            result=None if failed else outcome.get("value", outcome.get("text")),
            error=str(outcome.get("message")) if failed else None,
            error_type=str(outcome["kind"]) if failed else None,
        )
