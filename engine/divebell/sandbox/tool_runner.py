"""Runs the tools that an application gave: a plain function on a thread, an async one on an event loop."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from divebell.sandbox.tools import Tools
from divebell.sandbox.workers import Workers
from divebell_bridge.door.door import StartedCall
from divebell_bridge.door.requests import Outcome, ToolCall

MAX_THREADS = 16  # that run plain tools at once, and as many that run a plain `llm` function


class TaskStarter(Protocol):
    """An event loop that runs coroutines for other threads."""

    def submit(
        self, function: Callable[[], Coroutine[Any, Any, Outcome]], done: Callable[[Outcome], None]
    ) -> Callable[[], None]:
        """Run the function on the loop and give `done` its outcome. Returns a function that cancels it."""
        ...


@dataclass(frozen=True)
class ToolRunner:
    """Starts calls of tools.

    After `seconds` the guest gets an error. A plain function that is still running then cannot be stopped: it keeps its
    thread until it ends, and with it one of the MAX_THREADS.
    """

    tools: Tools
    seconds: float
    tasks: TaskStarter
    workers: Workers = field(default_factory=lambda: Workers(MAX_THREADS, "divebell-tool"))

    def with_tools(self, tools: Tools) -> "ToolRunner":
        """A copy with other tools. Calls in progress are not affected."""
        return replace(self, tools=tools)

    def start(self, call: ToolCall, done: Callable[[Outcome], None]) -> StartedCall:
        """Start the call; `done` receives its outcome later, from another thread."""
        tools = self.tools
        if tools.is_async(call):
            cancel = self.tasks.submit(lambda: tools.acall(call), done)
        else:
            cancel = self.workers.start(lambda: done(tools.call(call)))
        return StartedCall(cancel, self.seconds)
