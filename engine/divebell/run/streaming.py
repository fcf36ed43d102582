"""`RunStream`: a run in progress, as an async iterator of its events."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from types import TracebackType
from typing import Any, Generic

from divebell.errors import ConfigurationError
from divebell.events import Event, EventListener
from divebell.run.result import Answer_co, Result
from divebell.trace.stream import EventStream


class RunStream(Generic[Answer_co]):
    """A run's events as they happen; made by RLM.stream and Session.stream. The last event is RunEnded.

        async with rlm.stream(context, query) as events:
            async for event in events:
                ...
        events.result  # the run's Result

    The run begins when the first event is requested. An error that ends it is raised after its last event.
    Leaving `async with`, or `aclose`, cancels a run that is still going. A slow consumer does not slow the run: when it
    is far behind, the oldest events are dropped (EventStream).
    """

    def __init__(self, run: Callable[[EventListener], Coroutine[Any, Any, Result[Answer_co]]]) -> None:
        self._ended: list[Result[Answer_co]] = []
        self._events = _run_with_events(run, self._ended)

    @property
    def result(self) -> Result[Answer_co]:
        """The run's Result. ConfigurationError before the last event, and if the run failed."""
        if not self._ended:
            raise ConfigurationError("the run has no result (yet): read its events to the end first")
        return self._ended[0]

    def __aiter__(self) -> "RunStream[Answer_co]":
        return self

    async def __anext__(self) -> Event:
        return await anext(self._events)

    async def aclose(self) -> None:
        """End the run, if it is still going."""
        await self._events.aclose()

    async def __aenter__(self) -> "RunStream[Answer_co]":
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _frames: TracebackType | None
    ) -> None:
        await self.aclose()


async def _run_with_events(
    run: Callable[[EventListener], Coroutine[Any, Any, Result[Answer_co]]], ended: list[Result[Answer_co]]
) -> AsyncGenerator[Event, None]:
    """The events; then the result is in `ended`. A generator, so that an abandoned stream ends its run."""
    events = EventStream()
    task = asyncio.ensure_future(run(events))
    task.add_done_callback(lambda _: events.close())
    try:
        async for event in events:
            yield event
        ended.append(await task)
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not report it after the consumer has left
