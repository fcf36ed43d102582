"""The port between a sandbox and the runtime that runs its guest.

A `Runtime` spawns guests; a `Guest` is one of them, between its spawn and its end. in_process.py has the implementation
that runs guests in this process. Another may run them in worker processes: all that crosses the port is bytes (the
messages of wire.py, unread), plain facts, and context pages, which are a file descriptor and numbers. No address, no
page and no object of wasmtime's does.

Guaranteed by every implementation: a guest answers one call at a time, and sees of the host nothing but its context and
what the door function returns; what `call` returns is at most wire.MAX_MESSAGE_BYTES long; a guest that runs over its
limits ends, and so does its call; after a GuestError nothing more is asked of that guest, and `close` releases all
that it held. Not guaranteed: that the answer is a message, or true. It comes from the guest, and guests are hostile.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

from divebell.limits import Limits
from divebell.runtime.context_pages import ContextPages

RANDOM_KEY_BYTES = 32

DoorFunction = Callable[[bytes], bytes]
"""Answers one request of the guest while a call of it lasts: a message in, a message out. It runs on the thread that
called the guest, or in the copy of its context on another, and never raises."""


@dataclass(frozen=True, kw_only=True)
class GuestSpec:
    """The description of a guest to be spawned.

    limits: of its memory, time and calls. context: the object that it has as `context`. is_reproducible: whether its
    hash order is the same in each process, rather than random.
    """

    limits: Limits
    context: ContextPages | None = None
    is_reproducible: bool = False


class Checkpoint(Protocol):
    """A guest's state between two calls. Only the runtime that made it can read it."""

    @property
    def bytes(self) -> int:
        """The memory that it takes."""
        ...


class CellTime(Protocol):
    """The time that the running call of a guest has left. For the host's side of the door, while the guest waits."""

    @property
    def left_seconds(self) -> float:
        """The time until the guest is interrupted; negative once it is over its limit."""
        ...

    def spend(self, seconds: float) -> None:
        """Count the seconds as if the guest had computed all that time."""
        ...

    def interrupt(self) -> None:
        """Interrupt the guest as soon as it goes on: a TimeoutError is raised in the cell."""
        ...


class Guest(Protocol):
    """One living guest. One thread at a time may use it; `cancel` may come from any."""

    @property
    def image_id(self) -> Hashable:
        """Identifies the image that the guest was spawned from: a checkpoint fits guests with the same image_id
        only."""
        ...

    @property
    def time(self) -> CellTime:
        """The clock of the running call; between calls, of the one before."""
        ...

    def call(self, request: bytes, door: DoorFunction | None = None) -> bytes:
        """Give the guest a request, and return its answer. Each call has the time and the door calls of the limits.

        Raises GuestError if the guest was lost over it, and MemoryError, which leaves the guest as it was, where the
        request does not fit into its memory.
        """
        ...

    def take_interruption(self) -> BaseException | None:
        """An exception that came on this thread during a call and could not be raised from it, such as a
        KeyboardInterrupt. It is returned once, for the caller to raise when the guest is no longer running."""
        ...

    def checkpoint(self) -> Checkpoint:
        """The state now. Only between calls."""
        ...

    def cancel(self) -> None:
        """End the running call as soon as possible; it raises GuestError. From any thread."""
        ...

    def close(self) -> None:
        """Release all that the guest holds. Not during a call."""
        ...


class Runtime(Protocol):
    """Spawns guests. Thread-safe."""

    def warm(self, *, is_reproducible: bool = False) -> None:
        """Do now what would delay the first `spawn` of such a guest by seconds."""
        ...

    def spawn(self, spec: GuestSpec, *, state: Checkpoint | None = None, random_key: bytes | None = None) -> Guest:
        """A new guest. random_key: RANDOM_KEY_BYTES, from which all its randomness follows.

        state: a checkpoint of a guest with the same spec and image_id, in which the new one starts; without it, a guest
        starts as booted, with its context. A checkpoint has a random key of its own, which stays unless one is given.
        Any number of guests may start from one checkpoint: that is how a guest is restored, and how it is forked.

        Raises GuestError, or MemoryError if the context does not fit into the memory limit.
        """
        ...
