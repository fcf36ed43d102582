"""What stands behind the door of a run's sandbox: metered sub-calls, children, the purse.

The guest's thread calls in here and waits; the work happens on the run's event loop. When the run ends, `close` ends
what is in flight, and the waiting thread is told so.
"""

from collections.abc import Awaitable, Callable

import anyio
import anyio.from_thread
import anyio.lowlevel

from divebell.bridge import wire
from divebell.bridge.door import Outcome, Refused
from divebell.bridge.errors import BudgetExceeded
from divebell.errors import DivebellError
from divebell.services import Clock

Query = Callable[[str, str | None], Awaitable[str]]
Child = Callable[[str, object, str | None], Awaitable[str]]
Left = Callable[[], dict[str, object]]


class RunServices(Clock):
    """The services of one run. Made on its event loop."""

    def __init__(self, query: Query, child: Child, left: Left, *, seeded: bool, child_concurrency: int) -> None:
        super().__init__(seeded=seeded)
        self._query = query
        self._child = child
        self._left = left
        self._child_limiter = anyio.CapacityLimiter(child_concurrency)
        self._token = anyio.lowlevel.current_token()
        self._scopes: set[anyio.CancelScope] = set()
        self._closed = False

    def query(self, prompts: list[str], model: str | None) -> list[Outcome]:
        async def one(index: int) -> str:
            return await self._query(prompts[index], model)

        return self._all(one, len(prompts))

    def child(self, prompts: list[str], contexts: list[object], model: str | None) -> list[Outcome]:
        async def one(index: int) -> str:
            async with self._child_limiter:
                return await self._child(prompts[index], contexts[index], model)

        return self._all(one, len(prompts))

    def budget(self) -> dict[str, object]:
        return self._left()

    def close(self) -> None:
        """Cancel what is in flight and refuse what comes: the run has ended. On the run's event loop.

        Calls from the guest's thread are tasks of their own on the loop, so the run's cancellation does not reach them.
        """
        self._closed = True
        for scope in self._scopes:
            scope.cancel()

    def _all(self, one: Callable[[int], Awaitable[str]], count: int) -> list[Outcome]:
        return anyio.from_thread.run(self._within_run, one, count, token=self._token)

    async def _within_run(self, one: Callable[[int], Awaitable[str]], count: int) -> list[Outcome]:
        with anyio.CancelScope() as scope:
            if self._closed:
                raise Refused(wire.UNAVAILABLE, "the run has ended")
            self._scopes.add(scope)
            try:
                return await _gather(one, count)
            finally:
                self._scopes.discard(scope)
        raise Refused(wire.UNAVAILABLE, "the run has ended")


async def _gather(one: Callable[[int], Awaitable[str]], count: int) -> list[Outcome]:
    """All at once, in order; one that fails does not stop the others."""
    outcomes: list[Outcome] = [{} for _ in range(count)]

    async def settle(index: int) -> None:
        try:
            outcomes[index] = {"text": await one(index)}
        except BudgetExceeded as error:
            outcomes[index] = {"kind": wire.BUDGET_EXCEEDED, "message": str(error)}
        except DivebellError as error:
            outcomes[index] = {"kind": wire.MODEL_ERROR, "message": str(error)}

    async with anyio.create_task_group() as group:
        for index in range(count):
            group.start_soon(settle, index)
    return outcomes
