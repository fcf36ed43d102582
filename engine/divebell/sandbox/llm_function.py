"""An application's own function that answers llm_query, as Sandbox(llm=...) takes it."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from divebell.errors import AnswerError, IncompleteReply
from divebell.sandbox.tool_runner import MAX_THREADS
from divebell.sandbox.workers import MAX_ASYNC_CALLS, LoopThread, Workers
from divebell.schemas.values import parse_json
from divebell_bridge.door import wire
from divebell_bridge.door.door import StartedCall
from divebell_bridge.door.requests import Outcome, Query


class LLMFunction:
    """Calls the function for each query: a plain one on threads, an async one on an event loop."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._parameters = _Parameters(function)
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004  (an object whose call is async)
        )
        self._workers = Workers(MAX_THREADS, "divebell-llm")
        self._loop = LoopThread(MAX_ASYNC_CALLS, "divebell-llm")

    def answer_all(self, queries: list[Query]) -> list[Outcome]:
        """Answer them at the same time, and wait for all; the outcomes in order."""
        if self._is_async:
            return _run_async(self._gather, queries)
        if len(queries) == 1:
            return [self._answer(queries[0])]
        with ThreadPoolExecutor(min(MAX_THREADS, max(len(queries), 1)), "divebell-llm") as pool:
            # Each in a copy of this context, which knows that it is inside this sandbox's cell (sandbox.py).
            calls = [pool.submit(copy_context().run, self._answer, query) for query in queries]
            return [call.result() for call in calls]

    def start(self, query: Query, done: Callable[[Outcome], None]) -> StartedCall:
        """Start answering one; `done` receives the outcome later, from another thread."""
        if self._is_async:
            return StartedCall(self._loop.submit(lambda: self._answer_async(query), done))
        return StartedCall(self._workers.start(lambda: done(self._answer_on_worker(query))))

    def _call(self, query: Query) -> Any:
        arguments, keywords = self._parameters.arguments_for(query)
        return self._function(query.prompt, *arguments, **keywords)

    def _answer(self, query: Query) -> Outcome:
        try:
            return _outcome_of_reply(query, self._call(query))
        except Exception as error:
            return _outcome_of_error(error)

    def _answer_on_worker(self, query: Query) -> Outcome:
        """Answer on a worker thread, where nothing else would see an interruption."""
        try:
            return self._answer(query)
        except BaseException as error:
            return {"kind": wire.MODEL_ERROR, "message": f"the llm function ended with {type(error).__name__}"}

    async def _answer_async(self, query: Query) -> Outcome:
        try:
            return _outcome_of_reply(query, await self._call(query))
        except Exception as error:
            return _outcome_of_error(error)

    async def _gather(self, queries: list[Query]) -> list[Outcome]:
        places = asyncio.Semaphore(MAX_ASYNC_CALLS)

        async def answer(query: Query) -> Outcome:
            async with places:
                return await self._answer_async(query)

        return list(await asyncio.gather(*map(answer, queries)))


class _Parameters:
    """How an `llm` function takes what comes with the prompt: the model's name, as `model` or as its second argument;
    the images, as `images`; the schema, as `schema`."""

    def __init__(self, llm: Callable[..., Any]) -> None:
        try:
            parameters = list(inspect.signature(llm).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        parameter_names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self._model_by_name = "model" in parameter_names
        second_parameter = positional[1] if len(positional) >= 2 and not self._model_by_name else None
        self._model_second = (
            second_parameter is not None
            and second_parameter.default is second_parameter.empty
            and second_parameter.name not in ("images", "schema")
        )
        self._images = "images" in parameter_names
        self._schema = "schema" in parameter_names

    def arguments_for(self, query: Query) -> tuple[list[Any], dict[str, Any]]:
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


def _run_async(function: Callable[..., Coroutine[Any, Any, list[Outcome]]], *arguments: Any) -> list[Outcome]:
    """Run the function in an event loop of its own; on another thread, if a loop is running on this one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(function(*arguments))
    with ThreadPoolExecutor(1, "divebell-llm") as pool:
        return pool.submit(copy_context().run, lambda: asyncio.run(function(*arguments))).result()


def _outcome_of_reply(query: Query, text: object) -> Outcome:
    """The outcome of a reply: its text; or, with a schema, its value, of which only the type is checked. (A run checks
    the whole JSON Schema.)"""
    if query.schema is not None:
        return {"value": _parse_reply(text, query.schema) if isinstance(text, str) else _check_plain(text)}
    if not isinstance(text, str):
        raise TypeError(f"the llm function returned {type(text).__name__}, not str")
    return {"text": text}


_JSON_TYPES: dict[object, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip


def _parse_reply(text: str, schema: dict[str, object]) -> object:
    try:
        value = parse_json(text)
    except AnswerError:
        raise TypeError(f"the reply is not the JSON that the schema asks for: {text[:200]!r}") from None
    types = _JSON_TYPES.get(schema.get("type")) if isinstance(schema.get("type"), str) else None
    if types is not None and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
        raise TypeError(f"the reply is JSON, but not of the type {schema['type']}: {text[:200]!r}")
    return _check_plain(value)


def _check_plain(value: object) -> object:
    wire.encode(value)
    return value


def _outcome_of_error(error: Exception) -> Outcome:
    """The outcome of an error: its name and message only, because a host object never crosses the door."""
    name = type(error).__name__
    if isinstance(error, IncompleteReply):
        return {"kind": wire.INCOMPLETE_REPLY, "message": str(error)[:2000], "partial": error.text}
    try:
        message = f"{name}: {error}"[:2000]
    except BaseException:  # the guest waits for this, whatever the error's own description does
        message = f"{name} (its description failed)"
    return {"kind": wire.MODEL_ERROR, "message": message}
