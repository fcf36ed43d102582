"""`Session`: a conversation about one context."""

import threading
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Generic, cast

from divebell.context import Context, Source
from divebell.errors import ConfigurationError, SandboxClosedError
from divebell.events import EventListener
from divebell.metadata import check_metadata
from divebell.models.protocol import Message
from divebell.run.blocking import run_blocking
from divebell.run.history import History
from divebell.run.listeners import combine_listeners, guard_listener
from divebell.run.question import RLMParts, answer_question, check_query, prepare_context
from divebell.run.result import Answer_co, Result
from divebell.run.session_state import SessionState
from divebell.run.streaming import RunStream


class Session(Generic[Answer_co]):
    """A conversation about one context; RLM.session makes one. Ask one question after another.

    Each question finds the variables that earlier cells have defined, and the messages so far. These are append-only up
    to the model's window, so that providers' prefix caches serve them; `history` always has all of them. Each question
    has the RLM's whole budget.

    A question that fails or is cancelled leaves the session usable: the variables are as its last complete cell left
    them.
    """

    def __init__(self, parts: RLMParts, context: Source, *, metadata: Mapping[str, str] | None = None) -> None:
        check_metadata(metadata)
        self._parts = parts
        self._metadata = dict(metadata or {})
        self._source = context
        self._context: Context | None = None
        self._state: SessionState | None = None
        self._closed = False
        self._busy = threading.Lock()

    def ask(
        self, query: str, *, metadata: Mapping[str, str] | None = None, on_event: EventListener | None = None
    ) -> Result[Answer_co]:
        """Answer a question, as RLM.run does. Raises SandboxClosedError if the session is closed.

        A session's questions have no journal: they can be traced, but not replayed or resumed.
        """
        ask = partial(self.aask, query, metadata=metadata, on_event=on_event)
        return run_blocking(ask, instead="await session.aask(query)")

    async def aask(
        self, query: str, *, metadata: Mapping[str, str] | None = None, on_event: EventListener | None = None
    ) -> Result[Answer_co]:
        """As `ask`, for asyncio."""
        check_query(query)
        if not self._busy.acquire(blocking=False):
            raise ConfigurationError("the session is answering another question: ask one after another")
        try:
            if self._closed:
                raise SandboxClosedError("the session is closed")
            if self._context is None:
                self._context = await prepare_context(self._source)
            if self._state is None:
                self._state = SessionState(box=None, history=History())
            result = await answer_question(
                self._parts,
                self._context,
                query,
                session=self._state,
                metadata={**self._metadata, **(metadata or {})},
                on_event=guard_listener(on_event),
            )
            return cast("Result[Answer_co]", result)
        finally:
            self._busy.release()

    def stream(
        self, query: str, *, metadata: Mapping[str, str] | None = None, on_event: EventListener | None = None
    ) -> RunStream[Answer_co]:
        """Iterate over a question's events as they happen; see RunStream. Takes the same arguments as `ask`."""
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
        """All messages so far, including those no longer sent to the model."""
        return [] if self._state is None else self._state.history.full

    def close(self) -> None:
        """Close the sandbox. The session answers no more questions."""
        self._closed = True
        if self._state is not None and self._state.box is not None:
            self._state.box.close()

    def __enter__(self) -> "Session[Answer_co]":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _frames: TracebackType | None
    ) -> None:
        self.close()
