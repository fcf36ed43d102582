"""A guest that its sandbox keeps through crashes: when it is lost, another one starts in the last saved state.

Guaranteed: after `ask` raised Restored, or `undo` returned it, a living guest has the state that was saved last, or an
older one where that is broken too. Not guaranteed: what the lost guest did through the door is not undone.
"""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from divebell.cell import CellError
from divebell.errors import ContextError, GuestError, SandboxError
from divebell.runtime.base import RANDOM_KEY_BYTES, CellTime, Checkpoint, DoorFunction, Guest, GuestSpec, Runtime
from divebell.sandbox.guest_requests import ask_guest
from divebell.sandbox.variables import kind_of, reason_of
from divebell_bridge.door import wire

_OPERATIONS_THAT_CHANGE_STATE = frozenset({wire.RUN, wire.SET, wire.BIND, wire.APPEND, wire.TOOLS, wire.RESEED})
"""After these operations, the saved state is out of date."""


class Restored(Exception):
    """The guest was lost, and a new one has the saved state. `error` says why."""

    def __init__(self, error: CellError) -> None:
        super().__init__(error.message)
        self.error = error


class RecoverableGuest:
    """The guest of one sandbox, with everything that a replacement needs: a saved state, the bound names and the tools.

    seed: of its randomness; None for a random one. bound: the names that keep their values whatever cells do. tools:
    the descriptions of the tools. One thread at a time; `cancel` from any.
    """

    def __init__(
        self,
        runtime: Runtime,
        spec: GuestSpec,
        *,
        seed: int | None,
        bound: Mapping[str, object],
        tools: list[dict[str, object]],
    ) -> None:
        self._runtime = runtime
        self._spec = spec
        self._seed = seed
        self.bound = dict(bound)
        self.tools = tools
        self._saved: Checkpoint | None = None
        self._saved_before: Checkpoint | None = None
        self._has_changed = False  # since it was saved
        self._interruption: BaseException | None = None
        self._guest: Guest | None = self._spawn(None)
        self.image_id = self._guest.image_id

    def _spawn(self, state: Checkpoint | None, random_key: bytes | None = None) -> Guest:
        """A living guest with the context and, where there is one, an earlier state."""
        try:
            if state is not None:
                return self._runtime.spawn(self._spec, state=state, random_key=random_key)
            guest = self._runtime.spawn(self._spec, random_key=self._random_key())
            try:
                self._furnish(guest)
            except BaseException:
                guest.close()
                raise
            return guest
        except GuestError as error:
            if error.kind in ("BadModule", "SnapshotError"):
                raise
            raise ContextError(f"the context does not fit into the sandbox: {error}") from None
        except MemoryError as error:
            raise ContextError(f"the context does not fit into the sandbox's memory limit: {error}") from None

    def _furnish(self, guest: Guest) -> None:
        """Give a fresh guest the bound names and the tools."""
        for name, value in self.bound.items():
            answer = ask_guest(guest, wire.BIND, name=name, value=value)
            if "ok" not in answer:
                raise ContextError(f"{name} does not fit into the sandbox: {reason_of(answer)}")
        if self.tools:
            answer = ask_guest(guest, wire.TOOLS, tools=self.tools)
            if "ok" not in answer:
                raise ContextError(f"the tools do not fit into the sandbox: {reason_of(answer)}")

    def _random_key(self) -> bytes:
        if self._seed is None:
            return os.urandom(RANDOM_KEY_BYTES)
        return hashlib.sha256(f"divebell seed {self._seed}".encode()).digest()

    def revive(self) -> Guest:
        """The living guest: a new one with the saved state, if an earlier restore failed half-way."""
        if self._guest is None:
            self._guest = self._spawn(self._saved)
        return self._guest

    @property
    def time(self) -> CellTime:
        """The time of the running cell."""
        return self.revive().time

    def ask(self, op: str, door: DoorFunction | None = None, **arguments: Any) -> dict[str, Any]:
        """As `ask_guest`; a guest that is lost over it is replaced by one with the saved state, and Restored raised."""
        guest = self.revive()
        if op in _OPERATIONS_THAT_CHANGE_STATE:
            self._has_changed = True  # now, because Ctrl-C may come before the answer is here
        try:
            return ask_guest(guest, op, door, **arguments)
        except GuestError as lost:
            raise self._restore(lost.kind, f"{lost}; the sandbox is back in its state before this cell") from None
        finally:
            interruption = guest.take_interruption()
            if interruption is not None:
                self._interruption = interruption

    def ask_or_raise(self, op: str, door: DoorFunction | None = None, **arguments: Any) -> dict[str, Any]:
        """As `ask`, for operations other than cells: SandboxError if the guest was lost over it, or has no memory for
        it."""
        try:
            return self.ask(op, door, **arguments)
        except Restored as lost:
            raise SandboxError(lost.error.message) from None
        except MemoryError as error:
            raise SandboxError(str(error)) from None

    def take_interruption(self) -> BaseException | None:
        """The exception that came on this thread while a guest ran, once; see Guest.take_interruption."""
        interruption, self._interruption = self._interruption, None
        return interruption

    def save(self) -> Checkpoint | None:
        """Remember the state, if it has changed, so that it can be restored. None if it is that of a fresh guest."""
        self._saved_before = self._saved
        if self._has_changed:
            self._saved = self.revive().checkpoint()
            self._has_changed = False
        return self._saved

    def _restore(self, kind: str, message: str) -> Restored:
        """Start a new guest with the saved state. Returns the exception that reports it."""
        if self._guest is not None:
            self._guest.close()
            self._guest = None
        self._guest = self._spawn(self._saved)
        self._has_changed = False
        return Restored(CellError(kind=kind, message=message, traceback=f"{kind}: {message}"))

    def undo(self, answer: dict[str, Any]) -> Restored:
        """After a cell whose outcome the guest could not report: the memory was used up to the last, or this cell, or
        one before, broke the guest's own code. Goes back as far as makes the guest work."""
        kind, reason = "BrokenGuest", f"cells broke the sandbox's own code ({reason_of(answer)[:200]}); undone"
        if kind_of(answer) == "MemoryError":
            kind = "MemoryError"
            reason = "the cell used up the sandbox's memory; it is back in its state before the cell"
        for state in (self._saved, self._saved_before, None):
            self._saved = state
            restored = self._restore(kind, reason)
            if self._can_run_cells():
                break
        self._bind_again()
        return restored

    def _bind_again(self) -> None:
        """An older state has older values of the bound names. A guest that cannot take them counts as broken."""
        guest = self.revive()
        with suppress(GuestError, MemoryError):
            ask_guest(guest, wire.TOOLS, tools=self.tools)
            for name, value in self.bound.items():
                ask_guest(guest, wire.BIND, name=name, value=value)
                self._has_changed = True

    def _can_run_cells(self) -> bool:
        """Whether the guest runs an empty cell."""
        try:
            outcome = ask_guest(self.revive(), wire.RUN, code="", number=0, output_characters=1, limit="").get("ok")
        except GuestError:
            return False
        return isinstance(outcome, dict) and outcome.get("error") is None

    def go_to(self, state: Checkpoint) -> None:
        """Replace the guest by one in another guest's state. Unless they are seeded, its randomness is fresh."""
        former_guest = self._guest
        key = self._random_key() if self._seed is None else None
        self._guest = self._spawn(state, key)
        if former_guest is not None:
            former_guest.close()
        self._saved, self._has_changed = state, False
        if self._seed is None:
            self.ask_or_raise(wire.RESEED)

    def cancel(self) -> None:
        """End the running call as soon as possible. The guest is lost, and its state restored. From any thread."""
        guest = self._guest
        if guest is not None:
            guest.cancel()

    def close(self) -> None:
        """Give everything back."""
        if self._guest is not None:
            self._guest.close()
            self._guest = None
