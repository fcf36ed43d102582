"""Fibers: coroutines that stand for threads, in an interpreter that has only one.

A guest has one thread. A fiber is what it has in place of others: a coroutine that goes on whenever one of the calls
that it waits for is done, during a pump (tickets.py). It may be interrupted only where it waits for a call.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any

from divebell_guest.interruption import ends_cell
from divebell_guest.tickets import Outcome, in_flight


class _Current:
    """The fiber whose code runs (None in the cell's own code and in an event loop), and all that have not ended."""

    __slots__ = ("alive", "fiber")

    def __init__(self) -> None:
        self.fiber: Fiber | None = None
        self.alive: set[Fiber] = set()


class PendingCalls:
    """Calls that are started when this is awaited; awaiting gives their outcomes in order."""

    def __init__(self, calls: list[tuple[str, dict[str, object]]]) -> None:
        self._calls = calls
        self._outcomes: list[Outcome] = [{} for _ in calls]
        self._left = len(calls)
        self._is_begun = False
        self._open: dict[int, tuple[int | None, Callable[[Outcome], None]]] = {}

    def begin(self, on_done: Callable[[], None]) -> bool:
        """Start them. True if all are done already, because the door refused them; else `on_done` is called later."""
        for index, (call, arguments) in enumerate(self._calls):
            self._start(index, call, arguments, on_done)
        self._is_begun = True
        return self._left == 0

    def _start(self, index: int, call: str, arguments: dict[str, object], on_done: Callable[[], None]) -> None:
        def finish(outcome: Outcome) -> None:
            self._open.pop(index, None)
            self._outcomes[index] = outcome
            self._left -= 1
            if self._left == 0 and self._is_begun:
                on_done()

        try:
            self._open[index] = (in_flight.start(call, arguments, finish), finish)
        except Exception as error:
            finish({"raised": error})

    def cancel(self) -> None:
        for ticket, finish in list(self._open.values()):
            in_flight.cancel(ticket, finish)
        self._open.clear()

    def __await__(self) -> Generator[Any, Any, list[Outcome]]:
        if current.fiber is not None:
            yield self
            return self._outcomes
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def done() -> None:
            if not future.done():
                future.set_result(None)

        try:
            if not self.begin(done):
                yield from future
        finally:
            if self._left:
                self.cancel()
        return self._outcomes


class Fiber:
    """Runs a coroutine whose awaits are PendingCalls. `settle` receives its value or its error. The end of a cell
    waits for those that are not daemons."""

    __slots__ = ("_context", "_coroutine", "_settle")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        settle: Callable[[Any, BaseException | None], None],
        context: Context | None,
        *,
        is_daemon: bool = False,
    ) -> None:
        self._coroutine = coroutine
        self._settle = settle
        self._context = context if context is not None else copy_context()
        in_flight.is_used = True
        if not is_daemon:
            current.alive.add(self)

    def step(self) -> None:
        """Go on up to the next wait."""
        while True:
            outer, current.fiber = current.fiber, self
            try:
                waits_for = self._context.run(self._coroutine.send, None)
            except StopIteration as ended:
                value, error = ended.value, None
                break
            except BaseException as raised:
                if ends_cell(raised):
                    raise
                value, error = None, raised
                break
            finally:
                current.fiber = outer
            if not isinstance(waits_for, PendingCalls):
                self._coroutine.close()
                value, error = None, RuntimeError("this can be awaited in an event loop only")
                break
            if not waits_for.begin(self.step):
                return
        current.alive.discard(self)
        self._settle(value, error)


current = _Current()
