"""A conversation about one context; and how it and `RLM` run to the end where no event loop is."""

import threading
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

import anyio
import sniffio

from divebell.context import Context, Source
from divebell.errors import ConfigurationError, SandboxClosed
from divebell.events import EventListener
from divebell.metadata import check_metadata
from divebell.models.protocol import Message
from divebell.run.history import History
from divebell.run.listeners import combine_listeners, guard_listener
from divebell.run.question import Questions, check_query, prepared
from divebell.run.result import Answer_co, Result
from divebell.run.session_state import SessionState
from divebell.run.streaming import RunStream

_T = TypeVar("_T")


class Session(Generic[Answer_co]):
    """Made by RLM.session. Questions are asked one after another; each keeps the variables that cells have defined, and
    the history, which is append-only up to the model's window (so providers' prefix caches serve it) and complete in
    `history`. Each question has the RLM's budget for itself.

    A question that fails or is cancelled leaves the session usable: the variables are as its last whole cell left them.
    """

    def __init__(self, questions: Questions, context: Source, *, metadata: Mapping[str, str] | None = None) -> None:
        check_metadata(metadata)
        self._questions = questions
        self._metadata = dict(metadata or {})
        self._source = context
        self._context: Context | None = None
        self._state: SessionState | None = None
        self._closed = False
        self._busy = threading.Lock()

    def ask(
        self, query: str, *, metadata: Mapping[str, str] | None = None, on_event: EventListener | None = None
    ) -> Result[Answer_co]:
        """The answer to a question. As RLM.run; SandboxClosed where the session is closed.

        A session's questions have no journal: they can be traced, but neither repeated nor resumed.
        """

        async def answer() -> Result[Answer_co]:
            return await self.aask(query, metadata=metadata, on_event=on_event)

        return run_to_the_end(answer, instead="await session.aask(query)")

    async def aask(
        self, query: str, *, metadata: Mapping[str, str] | None = None, on_event: EventListener | None = None
    ) -> Result[Answer_co]:
        """As `ask`, for asyncio."""
        check_query(query)
        if not self._busy.acquire(blocking=False):
            raise ConfigurationError("the session is answering another question: ask one after another")
        try:
            if self._closed:
                raise SandboxClosed("the session is closed")
            if self._context is None:
                self._context = await prepared(self._source)
            if self._state is None:
                self._state = SessionState(box=None, history=History())
            result = await self._questions.answer(
                self._context,
                query,
                session=self._state,
                listener=guard_listener(on_event),
                metadata={**self._metadata, **(metadata or {})},
            )
            return cast("Result[Answer_co]", result)
        finally:
            self._busy.release()

    def stream(
        self, query: str, *, metadata: Mapping[str, str] | None = None, on_event: EventListener | None = None
    ) -> RunStream[Answer_co]:
        """A question's events as they happen; see RunStream. Takes what `ask` takes."""
        return RunStream(
            lambda events: self.aask(
                query, metadata=metadata, on_event=combine_listeners(events, guard_listener(on_event))
            )
        )

    def __repr__(self) -> str:
        messages = 0 if self._state is None else len(self._state.history.full)
        return f"<Session messages={messages:,}, {'closed' if self._closed else 'open'}>"

    @property
    def history(self) -> list[Message]:
        """All messages so far, those too that the model is not sent any more."""
        return [] if self._state is None else self._state.history.full

    def close(self) -> None:
        """Give the sandbox back."""
        self._closed = True
        if self._state is not None and self._state.box is not None:
            self._state.box.close()

    def __enter__(self) -> "Session[Answer_co]":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _frames: TracebackType | None
    ) -> None:
        self.close()


def run_to_the_end(function: Callable[..., Awaitable[_T]], *arguments: Any, instead: str) -> _T:
    """Run it in an event loop of its own. ConfigurationError where one is running, with what to write instead."""
    if _is_in_a_loop():
        raise ConfigurationError(f"an event loop is running here: use `{instead}`")
    return anyio.run(function, *arguments)


def _is_in_a_loop() -> bool:
    try:
        sniffio.current_async_library()
    except sniffio.AsyncLibraryNotFoundError:
        return False
    return True
