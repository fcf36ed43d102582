"""What a host offers to its sandbox; and the host of a plain sandbox: the application's own `llm` function and tools.

A run of an RLM has a host of its own (run/host.py).
"""

from collections.abc import Callable
from typing import Any, Protocol

from divebell.sandbox.clock import Clock
from divebell.sandbox.llm_function import LLMFunction
from divebell.sandbox.tool_runner import ToolRunner
from divebell.sandbox.tools import Tools
from divebell.sandbox.workers import MAX_ASYNC_CALLS, LoopThread
from divebell_bridge.door import wire
from divebell_bridge.door.door import Door, Host, RefusedError, StartedCall
from divebell_bridge.door.requests import Call, ChildQuery, Outcome, Query, ToolCall
from divebell_bridge.money.amounts import Limit


class SandboxHost(Host, Protocol):
    """A host as a sandbox takes it. A fork of the sandbox has a copy (copy.copy)."""

    def open_door(self, clock: Clock, *, tool_calls: int) -> Door:
        """The door through which the sandbox's code asks this host. tool_calls: how many a cell may make."""
        ...

    def tool_descriptions(self) -> list[dict[str, object]]:
        """Name, signature and documentation of each tool that the code may call; see tools.py."""
        ...

    def set_tools(self, tools: Tools) -> None:
        """Answer calls of these tools from now on. The sandbox describes them to the guest."""
        ...


class CallableHost:
    """Answers llm_query with a function of the application's, and calls its tools."""

    takes_references = False

    def __init__(
        self, llm: Callable[..., Any] | None, *, tools: Tools | None = None, tool_seconds: float = 60.0
    ) -> None:
        self._llm = None if llm is None else LLMFunction(llm)
        self._tools = ToolRunner(tools or Tools({}), tool_seconds, LoopThread(MAX_ASYNC_CALLS, "divebell-tool"))

    def open_door(self, clock: Clock, *, tool_calls: int) -> Door:
        return Door(self, clock, tool_calls=tool_calls)

    def tool_descriptions(self) -> list[dict[str, object]]:
        return self._tools.tools.descriptions

    def set_tools(self, tools: Tools) -> None:
        self._tools = self._tools.with_tools(tools)

    def query(self, queries: list[Query]) -> list[Outcome]:
        return self._find_llm().answer_all(queries)

    def child(self, children: list[ChildQuery]) -> list[Outcome]:
        raise _no_children()

    def start(self, call: Call, done: Callable[[Outcome], None]) -> StartedCall:
        if isinstance(call, ToolCall):
            return self._tools.start(call, done)
        if isinstance(call, ChildQuery):
            raise _no_children()
        return self._find_llm().start(call, done)

    def _find_llm(self) -> LLMFunction:
        if self._llm is None:
            raise RefusedError(
                wire.UNAVAILABLE, "this sandbox has no language model: give it one with Sandbox(llm=...)"
            )
        return self._llm

    def check_answer(self, value: object) -> str | None:
        """There is no schema to check it by."""
        return None

    def budget(self) -> dict[str, object]:
        return {**dict.fromkeys(limit.unit for limit in Limit), "seconds": None, "depth": 0}


def _no_children() -> RefusedError:
    return RefusedError(wire.UNAVAILABLE, "a plain sandbox has no child RLMs; llm_query is there")
