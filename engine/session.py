"""A conversation about one context; and how it and `RLM` run to the end where no event loop is."""

import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, TypeVar

import anyio
import sniffio

from divebell.context import Context, Source
from divebell.errors import ConfigurationError, SandboxClosed
from divebell.loop.history import History
from divebell.loop.result import Result
from divebell.loop.run import SessionState
from divebell.models.protocol import Message
from divebell.questions import Questions, check_query, prepared

_T = TypeVar("_T")


class Session:
    """Made by RLM.session. Questions are asked one after another; each keeps the variables that cells have defined, and
    the history, which is append-only up to the model's window (so providers' prefix caches serve it) and complete in
    `history`. Each question has the RLM's budget for itself.

    A question that fails or is cancelled leaves the session usable: the variables are as its last whole cell left them.
    """

    def __init__(self, questions: Questions, context: Source) -> None:
        self._questions = questions
        self._source = context
        self._context: Context | None = None
        self._state: SessionState | None = None
        self._closed = False
        self._busy = threading.Lock()

    def ask(self, query: str) -> Result:
        """The answer to a question. As RLM.run; SandboxClosed where the session is closed."""
        return run_to_the_end(self.aask, query, instead="await session.aask(query)")

    async def aask(self, query: str) -> Result:
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
            return await self._questions.answer(self._context, query, session=self._state)
        finally:
            self._busy.release()

    @property
    def history(self) -> list[Message]:
        """All messages so far, those too that the model is not sent any more."""
        return [] if self._state is None else self._state.history.full

    def close(self) -> None:
        """Give the sandbox back."""
        self._closed = True
        if self._state is not None and self._state.box is not None:
            self._state.box.close()

    def __enter__(self) -> "Session":
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
