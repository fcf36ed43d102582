"""How many calls run at once, over all threads and event loops: in all, and for each group of callers.

First come, first served in each group: a free place goes to the caller that has waited longest, never to a newcomer.
The groups take turns, so that a group with a thousand waiting calls delays a single call of another group by one place,
not by a thousand. A caller that is cancelled while it waits leaves the line; if it had just received a place, that goes
to the next. An event loop that has ended keeps no place.

Waiting counts against a request's own timeout, and is not bounded otherwise: see OpenAIModel.complete.

Not anyio.CapacityLimiter: that belongs to one event loop, while a model or an engine is used from several at once
(RLM.run makes a loop for each query), and it knows no groups.
"""

import asyncio
import threading
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

from divebell.errors import ConfigurationError
from divebell_bridge.money.dollars import quote

MAX_PLACES = 1_000_000


def check_places(what: str, places: object) -> None:
    """ConfigurationError if that is not a number of places."""
    if type(places) is not int or not 1 <= places <= MAX_PLACES:
        raise ConfigurationError(f"{what} must be a whole number above 0, at most {MAX_PLACES:,}, not {quote(places)}")


class _Waiter:
    """One call in line. `granted` and `is_gone` are the limit's, under its lock; `woken` is the waiter's own loop's."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.woken: asyncio.Future[None] = self.loop.create_future()
        self.granted = False
        self.is_gone = False

    def wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


@dataclass(slots=True)
class _Group:
    places: int | None = None
    taken: int = 0
    waiting: deque[_Waiter] = field(default_factory=deque)

    @property
    def is_full(self) -> bool:
        return self.places is not None and self.taken >= self.places


class FairLimit:
    """At most `places` holders at once; None for no limit. Each holder belongs to a group, which may have a limit of
    its own.

    The garbage collector may end an abandoned call, and so give its place back or take it out of the line, at any
    moment: also on a thread that is at work here just then. So the lock is re-entrant, and what happens within is only
    noted, in `_returned` and as `is_gone`, for the work that is going on (`_settle`).
    """

    def __init__(self, places: int | None) -> None:
        if places is not None:
            check_places("max_concurrent_calls", places)
        self._places = places
        self._taken = 0
        self._groups: dict[str, _Group] = {}
        self._in_turn: OrderedDict[str, None] = OrderedDict()
        """The groups that wait, in the order of their turns."""
        self._returned: deque[str] = deque()
        self._is_settling = False
        self._lock = threading.RLock()

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return self._taken

    @property
    def waiting(self) -> int:
        """How many calls wait for a place."""
        with self._lock:
            return sum(not each.is_gone for group in self._groups.values() for each in group.waiting)

    def limit_group(self, name: str, places: int | None) -> None:
        """How many holders the group may have at once, from now on; None for no limit of its own. Holders over a lower
        limit keep their places. ConfigurationError for anything but a number above 0."""
        if places is not None:
            check_places("max_concurrent_calls", places)
        with self._lock:
            self._groups.setdefault(name, _Group()).places = places
        self._settle()

    async def acquire(self, name: str = "") -> None:
        """Take a place for that group, after waiting for it if necessary. `release` gives it back."""
        if self._take_free_place(name):
            return
        waiter = _Waiter()
        with self._lock:
            self._groups.setdefault(name, _Group()).waiting.append(waiter)
            self._in_turn.setdefault(name)
        self._settle()
        if waiter.granted:
            return
        try:
            await waiter.woken
        except BaseException:
            self._give_up(name, waiter)
            raise

    def _take_free_place(self, name: str) -> bool:
        """Take a place at once. False where none is free, or others wait: then the caller has to stand in line."""
        with self._lock:
            if self._is_settling or self._returned or self._in_turn or self._is_full:
                return False
            self._is_settling = True
            try:
                group = self._groups.get(name) or _Group()
                if group.is_full:
                    return False
                self._groups[name] = group
                group.taken += 1
                self._taken += 1
            finally:
                self._is_settling = False
        if self._returned:
            self._settle()
        return True

    @property
    def _is_full(self) -> bool:
        return self._places is not None and self._taken >= self._places

    def release(self, name: str = "") -> None:
        """Give a place of that group back."""
        self._returned.append(name)
        self._settle()

    def _settle(self) -> None:
        """Take back what was returned, and give the free places to those whose turn it is."""
        granted: list[tuple[str, _Waiter]] = []
        with self._lock:
            while not self._is_settling:
                self._is_settling = True
                try:
                    while self._returned:
                        name = self._returned.popleft()
                        self._taken -= 1
                        self._groups[name].taken -= 1
                        self._forget_idle(name)
                    while (following := self._next()) is not None:
                        granted.append(following)
                finally:
                    self._is_settling = False
                if not self._returned:
                    break
        for name, waiter in granted:
            try:
                waiter.loop.call_soon_threadsafe(waiter.wake)
            except RuntimeError:  # its loop is closed: it will never run, so its place goes on
                self._give_up(name, waiter)

    def _next(self) -> tuple[str, _Waiter] | None:
        """Who gets a place now, counted as its holder."""
        while self._in_turn and not self._is_full:
            name = next((each for each in self._in_turn if not self._groups[each].is_full), None)
            if name is None:
                return None
            group = self._groups[name]
            waiter = group.waiting.popleft() if group.waiting else None
            self._in_turn.move_to_end(name)
            if not group.waiting:
                del self._in_turn[name]
            if waiter is None or waiter.is_gone:
                self._forget_idle(name)
                continue
            waiter.granted = True
            group.taken += 1
            self._taken += 1
            return name, waiter
        return None

    def _give_up(self, name: str, waiter: _Waiter) -> None:
        """The waiter goes away: out of the line, or with its place passed on, once."""
        with self._lock:
            is_holder, waiter.granted, waiter.is_gone = waiter.granted, False, True
            group = self._groups.get(name)
            if not is_holder and not self._is_settling and group is not None:
                with suppress(ValueError):
                    group.waiting.remove(waiter)
                if not group.waiting:
                    self._in_turn.pop(name, None)
                self._forget_idle(name)
        if is_holder:
            self.release(name)

    def _forget_idle(self, name: str) -> None:
        """Groups come and go; what is kept of one is its limit."""
        group = self._groups.get(name)
        if group is not None and group.places is None and not group.taken and not group.waiting:
            del self._groups[name]


class ConcurrencyLimit:
    """At most `places` holders at once, each for the length of `async with limit:`. First come, first served.

    ConfigurationError if `places` is not a number above 0.
    """

    def __init__(self, places: int) -> None:
        check_places("max_concurrency", places)
        self._places = places
        self._limit = FairLimit(places)

    @property
    def free(self) -> int:
        """How many places are free."""
        return self._places - self._limit.taken

    @property
    def waiting(self) -> int:
        """How many calls wait for a place."""
        return self._limit.waiting

    async def __aenter__(self) -> None:
        await self._limit.acquire()

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _frames: TracebackType | None
    ) -> None:
        self._limit.release()
