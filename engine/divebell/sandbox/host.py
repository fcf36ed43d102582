"""What stands behind a plain sandbox's door: the application's own `llm` function, a clock, and sleep.

A run of an RLM has richer services (loop/services.py); both share the clock and the tools.
"""

import asyncio
import copy
import functools
import inspect
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from divebell.errors import AnswerError, IncompleteReply
from divebell.runtime.watchdog import Guard
from divebell.sandbox.tools import Tools
from divebell.sandbox.workers import LoopThread, Workers
from divebell.schemas.values import parse_json
from divebell_bridge.door import wire
from divebell_bridge.door.door import Refused, Started
from divebell_bridge.door.requests import Call, ChildQuery, Outcome, Query, ToolCall

MAX_THREADS = 16  # that call a plain `llm` function, or plain tools, at once
MAX_ASYNC_CALLS = 64  # of an async one
_SLEEP_SLICE_SECONDS = 0.05
_FIRST_MONOTONIC_NANOSECONDS = 1 << 40
_SEEDED_START_NANOSECONDS = 1_700_000_000 * 10**9
_SEEDED_STEP_NANOSECONDS = 1_000


class Clock:
    """The guest's time. Real, with a monotonic clock that starts anew and so tells nothing of the host; or, for seeded
    sandboxes, virtual: it moves by a microsecond a reading and by what is slept, and repeats from run to run."""

    def __init__(self, *, seeded: bool) -> None:
        self._seeded = seeded
        self.virtual_nanoseconds = 0
        self._started = time.monotonic_ns()
        self.guard: Guard | None = None
        """Of the instance whose cell runs: sleeping counts against its time."""

    def go_on_from(self, other: "Clock") -> None:
        """Show the time that the other would: for services that take its place."""
        self.virtual_nanoseconds = other.virtual_nanoseconds
        self._started = other._started

    def twin(self) -> "Clock":
        """For a fork: the same services, with a clock of its own that goes on from here."""
        twin = copy.copy(self)
        twin.guard = None
        return twin

    def clock(self) -> tuple[int, int]:
        if not self._seeded:
            return time.time_ns(), time.monotonic_ns() - self._started + _FIRST_MONOTONIC_NANOSECONDS
        self.virtual_nanoseconds += _SEEDED_STEP_NANOSECONDS
        return (
            _SEEDED_START_NANOSECONDS + self.virtual_nanoseconds,
            _FIRST_MONOTONIC_NANOSECONDS + self.virtual_nanoseconds,
        )

    def sleep(self, nanoseconds: int) -> None:
        """Sleep, but never past the cell's deadline. A seeded clock jumps instead."""
        if self._seeded:
            self.virtual_nanoseconds += nanoseconds
        left = nanoseconds / 1e9
        guard = self.guard
        while left > 0 and guard is not None:
            if guard.soft_left_seconds <= 0:
                guard.interrupt()
                return
            piece = min(left, max(guard.soft_left_seconds, 0.001), _SLEEP_SLICE_SECONDS if not self._seeded else left)
            if not self._seeded:
                time.sleep(piece)
            left -= piece
            guard.spend(piece)

    def recorded(self, op: str, packed: bytes) -> tuple[bool, Any]:
        """Nothing is."""
        return False, None

    def record(self, op: str, packed: bytes, told: object, recorded: object) -> None:
        """Nobody keeps a journal."""

    def waited(self, seconds: float) -> None:
        """A seeded clock has only what it is told: the guest's timers would never be due."""
        if self._seeded:
            self.virtual_nanoseconds += int(seconds * 1e9)


class ToolServices(Clock, ABC):
    """Answers calls of tools. A plain one runs on a thread, an async one on an event loop.

    After `tool_seconds` the guest gets an error. A plain function that is still running then cannot be stopped: it
    keeps its thread until it ends, and so one place of the MAX_THREADS.
    """

    takes_references = False

    def __init__(self, tools: Tools | None, *, tool_seconds: float, seeded: bool) -> None:
        super().__init__(seeded=seeded)
        self._tools = tools or Tools({})
        self._tool_seconds = tool_seconds

    @functools.cached_property
    def _workers(self) -> Workers:
        return Workers(MAX_THREADS, "divebell-tool")

    def tool_descriptions(self) -> list[dict[str, object]]:
        return self._tools.descriptions

    def set_tools(self, tools: Tools) -> None:
        """Answer calls of these from now on; calls in flight end as they began. The sandbox tells the guest."""
        self._tools = tools

    def _start_tool(self, call: ToolCall, done: Callable[[Outcome], None]) -> Started:
        if self._tools.is_async(call):
            cancel = self._start_async(lambda: self._tools.acall(call), done)
        else:
            cancel = self._workers.start(lambda: done(self._tools.call(call)))
        return Started(cancel, self._tool_seconds)

    @abstractmethod
    def _start_async(
        self, function: Callable[[], Coroutine[Any, Any, Outcome]], done: Callable[[Outcome], None]
    ) -> Callable[[], None]:
        """Run it on an event loop, and tell `done` what came of it. Returns what cancels it."""

    def check_answer(self, value: object) -> str | None:
        """Nobody gave a schema."""
        return None


class CallableServices(ToolServices):
    """Answers llm_query with a function of the application's."""

    def __init__(
        self,
        llm: Callable[..., Any] | None,
        *,
        tools: Tools | None = None,
        tool_seconds: float = 60.0,
        seeded: bool = False,
    ) -> None:
        super().__init__(tools, tool_seconds=tool_seconds, seeded=seeded)
        self._llm = llm
        self._parameters = _Parameters(llm) if llm is not None else None
        self._is_async = inspect.iscoroutinefunction(llm) or inspect.iscoroutinefunction(
            getattr(llm, "__call__", None)  # noqa: B004  (an object whose call is async)
        )

    @functools.cached_property
    def _llm_workers(self) -> Workers:
        return Workers(MAX_THREADS, "divebell-llm")

    @functools.cached_property
    def _llm_loop(self) -> LoopThread:
        return LoopThread(MAX_ASYNC_CALLS, "divebell-llm")

    @functools.cached_property
    def _tool_loop(self) -> LoopThread:
        return LoopThread(MAX_ASYNC_CALLS, "divebell-tool")

    def query(self, queries: list[Query]) -> list[Outcome]:
        self._check()
        if self._is_async:
            return _run_async(self._gather, queries)
        if len(queries) == 1:
            return [self._call(queries[0])]
        with ThreadPoolExecutor(min(MAX_THREADS, max(len(queries), 1)), "divebell-llm") as pool:
            # Each in a copy of this context, which knows that it is inside this sandbox's cell (sandbox.py).
            calls = [pool.submit(copy_context().run, self._call, query) for query in queries]
            return [call.result() for call in calls]

    def child(self, children: list[ChildQuery]) -> list[Outcome]:
        raise _no_children()

    def start(self, call: Call, done: Callable[[Outcome], None]) -> Started:
        if isinstance(call, ToolCall):
            return self._start_tool(call, done)
        if isinstance(call, ChildQuery):
            raise _no_children()
        self._check()
        query = call
        if self._is_async:
            return Started(_started(self._llm_loop, lambda: self._acall(query), done))
        return Started(self._llm_workers.start(lambda: done(self._call_anyhow(query))))

    def _start_async(
        self, function: Callable[[], Coroutine[Any, Any, Outcome]], done: Callable[[Outcome], None]
    ) -> Callable[[], None]:
        return _started(self._tool_loop, function, done)

    def _check(self) -> None:
        if self._llm is None:
            raise Refused(wire.UNAVAILABLE, "this sandbox has no language model: give it one with Sandbox(llm=...)")

    def _ask(self, query: Query) -> Any:
        assert self._llm is not None
        assert self._parameters is not None
        arguments, keywords = self._parameters.of(query)
        return self._llm(query.prompt, *arguments, **keywords)

    def _call(self, query: Query) -> Outcome:
        try:
            return _reply(query, self._ask(query))
        except Exception as error:
            return _failed(error)

    def _call_anyhow(self, query: Query) -> Outcome:
        """On a thread of ours, where nobody else would hear of an interruption."""
        try:
            return self._call(query)
        except BaseException as error:
            return {"kind": wire.MODEL_ERROR, "message": f"the llm function ended with {type(error).__name__}"}

    async def _acall(self, query: Query) -> Outcome:
        try:
            return _reply(query, await self._ask(query))
        except Exception as error:
            return _failed(error)

    async def _gather(self, queries: list[Query]) -> list[Outcome]:
        places = asyncio.Semaphore(MAX_ASYNC_CALLS)

        async def one(query: Query) -> Outcome:
            async with places:
                return await self._acall(query)

        return list(await asyncio.gather(*map(one, queries)))

    def budget(self) -> dict[str, object]:
        return {"dollars": None, "tokens": None, "calls": None, "seconds": None, "depth": 0}


def _started(
    loop: LoopThread, function: Callable[[], Coroutine[Any, Any, Outcome]], done: Callable[[Outcome], None]
) -> Callable[[], None]:
    async def run() -> None:
        done(await function())

    return loop.start(run)


class _Parameters:
    """How an `llm` function takes what comes beside the prompt: the model's name, by that name or as its second
    argument, and the images, by that name."""

    def __init__(self, llm: Callable[..., Any]) -> None:
        try:
            parameters = list(inspect.signature(llm).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self._model_by_name = "model" in named
        second = positional[1] if len(positional) >= 2 and not self._model_by_name else None
        self._model_second = (
            second is not None and second.default is second.empty and second.name not in ("images", "schema")
        )
        self._images = "images" in named
        self._schema = "schema" in named

    def of(self, query: Query) -> tuple[list[Any], dict[str, Any]]:
        keywords: dict[str, Any] = {}
        if self._model_by_name:
            keywords["model"] = query.model
        if self._images:
            keywords["images"] = list(query.images)
        elif query.images:
            raise TypeError("the llm function takes no images: it has no parameter of that name")
        if self._schema:
            keywords["schema"] = query.schema
        return ([query.model] if self._model_second else []), keywords


def _no_children() -> Refused:
    return Refused(wire.UNAVAILABLE, "a plain sandbox has no child RLMs; llm_query is there")


def _run_async(function: Callable[..., Coroutine[Any, Any, list[Outcome]]], *arguments: Any) -> list[Outcome]:
    """Run to the end in an event loop of its own; on a thread of its own where this one has a loop that runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(function(*arguments))
    with ThreadPoolExecutor(1, "divebell-llm") as pool:
        return pool.submit(copy_context().run, lambda: asyncio.run(function(*arguments))).result()


def _reply(query: Query, text: object) -> Outcome:
    """The text; with a schema its value, of which only the type is checked here: a whole JSON Schema is the loop's."""
    if query.schema is not None:
        return {"value": _parsed(text, query.schema) if isinstance(text, str) else _plain(text)}
    if not isinstance(text, str):
        raise TypeError(f"the llm function returned {type(text).__name__}, not str")
    return {"text": text}


_JSON_TYPES: dict[object, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip


def _parsed(text: str, schema: dict[str, object]) -> object:
    try:
        value = parse_json(text)
    except AnswerError:
        raise TypeError(f"the reply is not the JSON that the schema asks for: {text[:200]!r}") from None
    wanted = _JSON_TYPES.get(schema.get("type")) if isinstance(schema.get("type"), str) else None
    if wanted is not None and (not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted)):
        raise TypeError(f"the reply is JSON, but not of the type {schema['type']}: {text[:200]!r}")
    return _plain(value)


def _plain(value: object) -> object:
    wire.encode(value)
    return value


def _failed(error: Exception) -> Outcome:
    """By name and message only: a host object never crosses."""
    name = type(error).__name__
    if isinstance(error, IncompleteReply):
        return {"kind": wire.INCOMPLETE_REPLY, "message": str(error)[:2000], "partial": error.text}
    try:
        message = f"{name}: {error}"[:2000]
    except BaseException:  # the guest waits for this, whatever the error's own description does
        message = f"{name} (its description failed)"
    return {"kind": wire.MODEL_ERROR, "message": message}
