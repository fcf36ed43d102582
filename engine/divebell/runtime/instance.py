"""One living guest: an instance of the image, the context in it, and the conversation with it.

Everything read from guest memory here is untrusted: addresses and lengths are checked against the memory's size, sizes
against the bounds of bridge/divebell_bridge/door/wire.py, and the bytes are decoded by its bounded reader.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from divebell.limits import Limits
from divebell.runtime import image as images
from divebell.runtime import native
from divebell.runtime.ctrl_c import CtrlC
from divebell.runtime.pages import copy_runs, give_back, lay_runs, protect_nothing
from divebell.runtime.shared import SharedContext
from divebell.runtime.stack import with_guest_stack
from divebell.runtime.watchdog import Guard, State, Watchdog, set_bits, write_word
from divebell.thread_clock import can_read_threads
from divebell_bridge.door import wire

_OUT_OF_MEMORY = -2 & 0xFFFFFFFF  # wasm/ABI.md, divebell_attach_value
Handler = Callable[[bytes], bytes]  # answers one request of the guest; never raises


class InstanceLost(Exception):
    """The instance died: it trapped, was killed, or broke the format. The caller restores the state before."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Checkpoint:
    """An instance's state between two cells: the pages that differ from the image.

    `runs` says where they go, as (offset, length) in order; `data` holds them one after another.
    """

    memory_bytes: int
    runs: tuple[tuple[int, int], ...]
    data: bytes

    @property
    def bytes(self) -> int:
        return len(self.data)


class Instance:
    """A guest with its context. One thread at a time; the sandbox that owns it sees to that."""

    def __init__(
        self, image: images.Image, watchdog: Watchdog, limits: Limits, context: SharedContext | None, *, epochs: bool
    ) -> None:
        self._image = image
        self._limits = limits
        self._watchdog = watchdog
        self._epochs = epochs
        self._context = context
        self._shared_from = self._shared_to = span = 0
        self._headers: list[tuple[int, int]] = []
        if context is not None:
            span = context.span_bytes
            self._shared_from, self._shared_to = image.memory_bytes + context.room_bytes, image.memory_bytes + span
            self._headers = context.headers(self._shared_from)
        self._limit_bytes = min(image.memory_bytes + span + limits.memory_bytes, (1 << 32) - native.WASM_PAGE_BYTES)
        self._native = image.spawn(self._limit_bytes)
        self.guard = guard = Guard(watchdog, self._interrupt, self._kill)
        if epochs:
            self._native.watch_epochs(lambda: guard.state is State.KILLED)
        self.interrupted: BaseException | None = None
        self._handler: Handler = _no_handler
        self._ctrl_c = CtrlC(self.guard.expire)
        self._pending = b""
        self._calls_left = 0
        if context is not None:
            self._native.grow(self._shared_to)
            context.lay(self._native.address + self._shared_from)

    def _interrupt(self) -> None:
        """What a signal handler of CPython does, from outside. Called by the watchdog while the guest runs."""
        base, layout = self._native.address, self._image.layout
        write_word(base + layout.signal_tripped, 1)
        write_word(base + layout.any_signal_tripped, 1)
        set_bits(base + layout.eval_breaker, layout.eval_breaker_bit)

    def _kill(self) -> None:
        """Called by the guard, which then counts as killed; where epochs are used, the next tick sees that."""
        if not self._epochs:
            protect_nothing(self._native.address, native.MEMORY_RESERVATION_BYTES)

    def seed(self, key: bytes) -> None:
        ctypes.memmove(self._native.address + self._image.layout.random_key, key, images.RANDOM_KEY_BYTES)

    def attach(self) -> None:
        """Make the shared context an object in the guest. Once, before the first request of a fresh instance."""
        context = self._context
        if context is None:
            return
        self._allow()
        if context.packed is None:
            failed = self._call("divebell_attach", context.kind, self._shared_from, context.length)
        else:
            failed = self._attach_value(context.packed)
        if failed & 0xFFFFFFFF == _OUT_OF_MEMORY:
            raise MemoryError("its lists, dicts and short texts are too many")
        if failed & 0xFFFFFFFF:
            raise InstanceLost("ContextError", "the guest could not attach the context")

    def _attach_value(self, packed: bytes) -> int:
        at = self._image.memory_bytes
        ctypes.memmove(self._native.address + at, packed, len(packed))
        failed = self._call("divebell_attach_value", self._shared_from, at, len(packed))
        give_back(self._native.address + at, self._shared_from - at)
        return failed

    def request(self, op: str, handler: "Handler | None" = None, **arguments: Any) -> dict[str, Any]:
        """Ask the guest, and return its answer. InstanceLost if it died over it, WireError if `arguments` are not data.

        `handler` answers what the guest asks meanwhile.
        """
        packed = wire.encode({"v": wire.VERSION, "op": op, **arguments}, wire.MAX_VALUE_BYTES)
        self._handler = handler or _no_handler
        self._calls_left = self._limits.door_calls
        self._allow()
        layout = self._image.layout
        if len(packed) <= layout.mailbox_bytes:
            at = layout.mailbox
        else:
            at = self._call("divebell_reserve", len(packed)) & 0xFFFFFFFF
            if at == 0:
                raise MemoryError(f"{len(packed):,} bytes do not fit into the sandbox's memory limit")
        self._check_range(at, len(packed))
        ctypes.memmove(self._native.address + at, packed, len(packed))
        answered = self._call("divebell_dispatch", at, len(packed))
        return self._read_answer(answered >> 32 & 0xFFFFFFFF, answered & 0xFFFFFFFF)

    def _allow(self) -> None:
        limits = self._limits
        wall_factor = limits.wall_factor if can_read_threads else 1.0
        self.guard.allow(limits.cell_seconds, limits.grace_seconds, wall_factor)

    def _is_private(self, at: int, length: int) -> bool:
        """Whether [at, at + length) is the guest's own memory, which the host may touch at the guest's word.

        The shared context is not: to write there would fault in host code, which ends the process, and so would reading
        a mapped file that was cut short.
        """
        end = at + length
        return end <= self._native.memory_bytes and (end <= self._shared_from or at >= self._shared_to)

    def _check_range(self, at: int, length: int) -> None:
        if not self._is_private(at, length):
            raise InstanceLost("BrokenGuest", "the guest named memory that is not its own")

    def _read_answer(self, at: int, length: int) -> dict[str, Any]:
        if at == 0 or length > wire.MAX_MESSAGE_BYTES:
            raise InstanceLost("BrokenGuest", "the guest gave no answer that could be read")
        self._check_range(at, length)
        try:
            answer = wire.decode_bounded(ctypes.string_at(self._native.address + at, length))
        except wire.WireError as error:
            raise InstanceLost("BrokenGuest", f"the guest's answer broke the format: {error}") from None
        if not isinstance(answer, dict) or answer.get("v") != wire.VERSION or not {"ok", "error"} & answer.keys():
            raise InstanceLost("BrokenGuest", "the guest's answer broke the format")
        return answer

    def _call(self, name: str, *arguments: int) -> int:
        """Run guest code under the watchdog."""
        self._watchdog.add(self.guard)
        self._ctrl_c = ctrl_c = CtrlC(self.guard.expire)
        try:
            ctrl_c.defer()
            returned = with_guest_stack(lambda: self._run(name, *arguments), self.guard.expire)
            if not self.guard.leave():
                raise self._killed()
            return returned
        except native.GuestTrap as trap:
            raise self._lost(trap) from None
        finally:
            ctrl_c.restore()
            self.guard.leave()
            self._watchdog.remove(self.guard)
            if ctrl_c.came:
                self.interrupted = KeyboardInterrupt()

    def _run(self, name: str, *arguments: int) -> int:
        """Enter the guest, on the thread whose processor time it uses."""
        if not self.guard.enter():
            raise InstanceLost("Killed", "the sandbox was killed")
        try:
            return self._native.call(name, self._door, *arguments)
        finally:
            self.guard.leave()

    def _killed(self) -> InstanceLost:
        limits = self._limits
        return InstanceLost(
            "Killed",
            f"the cell ran longer than its limit of {limits.time_sentence}, did not heed the interrupt, "
            f"and was killed {limits.grace_seconds:g} s later",
        )

    def _lost(self, trap: native.GuestTrap) -> InstanceLost:
        if not self.guard.leave():
            return self._killed()
        if trap.code == "STACK_OVERFLOW":
            return InstanceLost("StackOverflow", "the cell used up the interpreter's stack")
        said = images.last_words(self._native, self._image.layout)
        if trap.code == "MEMORY_OUT_OF_BOUNDS":
            reason = "it touched memory that it may not touch (the shared context cannot be written)"
        elif trap.code == "UNREACHABLE":
            reason = "the interpreter aborted" + (f": {said}" if said else "")
        else:
            reason = trap.code.lower().replace("_", " ")
        return InstanceLost("Crash", f"the cell crashed the interpreter: {reason}")

    def _door(self, request: int, length: int, response: int, capacity: int) -> int:
        """The guest calls: see wasm/ABI.md, `divebell.call`. Nothing that it passes can make this raise; if Ctrl-C
        does, the guest is killed, because its guard may be in the wrong state."""
        try:
            return self._answered(request, length, response, capacity)
        except BaseException as raised:
            self.interrupted = raised
            self.guard.expire()
            self.guard.enter()
            return -1

    def _answered(self, request: int, length: int, response: int, capacity: int) -> int:
        if not self.guard.leave():
            return -1
        if not self._is_private(request, length) or not self._is_private(response, capacity):
            answered = -1
        else:
            answered = self._answer(request, length, response, capacity)
        return answered if self.guard.enter() else -1

    def _answer(self, request: int, length: int, response: int, capacity: int) -> int:
        base = self._native.address
        self._calls_left -= 1
        if self._calls_left < 0:
            return -1
        if length == 0:
            answer, self._pending = self._pending, b""
        elif length > wire.MAX_MESSAGE_BYTES:
            answer = wire.failure(wire.BAD_REQUEST, f"a request of {length:,} bytes is over {wire.MAX_MESSAGE_BYTES:,}")
        else:
            packed = ctypes.string_at(base + request, length)
            self._ctrl_c.restore()
            try:
                answer = self._handler(packed)
            finally:
                self._ctrl_c.defer()
        if len(answer) <= capacity:
            ctypes.memmove(base + response, answer, len(answer))
        elif length:
            self._pending = answer
        return len(answer)

    def checkpoint(self) -> Checkpoint:
        """The state now. Only between cells."""
        base, size = self._native.address, self._native.memory_bytes
        runs: list[tuple[int, int]] = []
        for start, end in ((0, min(self._shared_from, size)), (self._shared_to, size)):
            if start < end:
                runs += self._image.region.changed_runs(base, start, end)
        runs += self._headers
        return Checkpoint(size, tuple(runs), copy_runs(base, runs))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Lay a checkpoint over a fresh instance of the same image, limits and context."""
        self._native.grow(checkpoint.memory_bytes)
        own = set(self._headers)
        if not all(run in own or self._is_private(*run) for run in checkpoint.runs):
            raise InstanceLost("SnapshotError", "the state does not fit this sandbox: its context was another one")
        lay_runs(self._native.address, checkpoint.runs, checkpoint.data)

    def cancel(self) -> None:
        """End the running cell as soon as can be. From any thread."""
        self.guard.expire()

    def close(self) -> None:
        self._native.close()


def _no_handler(_request: bytes) -> bytes:
    return wire.failure(wire.UNAVAILABLE, "this sandbox has no door to the host at this moment")
