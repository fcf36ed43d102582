"""One living guest in this process: an instance of the image, the context in it, and the conversation with it.

Everything read from guest memory here is untrusted: addresses and lengths are checked against the memory's size, sizes
against the bounds of bridge/divebell_bridge/door/wire.py, whose bounded reader is to decode the bytes.
"""

import ctypes
from dataclasses import dataclass

from divebell.errors import GuestError
from divebell.limits import Limits
from divebell.runtime import image as images
from divebell.runtime import native
from divebell.runtime.base import RANDOM_KEY_BYTES, Checkpoint, DoorFunction
from divebell.runtime.context_pages import ContextPages
from divebell.runtime.ctrl_c import CtrlC
from divebell.runtime.pages import WASM_PAGE_BYTES, copy_runs, lay_runs, protect_nothing, zero_memory
from divebell.runtime.stack import with_guest_stack
from divebell.runtime.watchdog import Guard, State, Watchdog, set_bits, write_word
from divebell.thread_clock import can_read_threads
from divebell_bridge.door import wire

_OUT_OF_MEMORY = -2 & 0xFFFFFFFF  # wasm/ABI.md, divebell_attach_value


@dataclass(frozen=True)
class PageCheckpoint:
    """An instance's state between two calls: the pages that differ from the image.

    `runs` says where they go, as (offset, length) in order; `data` holds them one after another.
    """

    memory_bytes: int
    runs: tuple[tuple[int, int], ...]
    data: bytes

    @property
    def bytes(self) -> int:
        return len(self.data)


class Instance:
    """A Guest, as base.py defines it."""

    def __init__(
        self, image: images.BootImage, watchdog: Watchdog, limits: Limits, context: ContextPages | None, *, epochs: bool
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
        self._limit_bytes = min(image.memory_bytes + span + limits.memory_bytes, (1 << 32) - WASM_PAGE_BYTES)
        self._native = image.spawn(self._limit_bytes)
        self.time = guard = Guard(watchdog, self._interrupt, self._kill)
        if epochs:
            self._native.watch_epochs(lambda: guard.state is State.KILLED)
        self._interruption: BaseException | None = None
        self._door_function: DoorFunction = _no_door
        self._ctrl_c = CtrlC(self.time.expire)
        self._pending = b""
        self._calls_left = 0
        if context is not None:
            self._native.grow(self._shared_to)
            context.lay(self._native.address + self._shared_from)

    def _interrupt(self) -> None:
        """Do from outside what a signal handler of CPython does. Called by the watchdog while the guest runs."""
        base, layout = self._native.address, self._image.layout
        write_word(base + layout.signal_tripped, 1)
        write_word(base + layout.any_signal_tripped, 1)
        set_bits(base + layout.eval_breaker, layout.eval_breaker_bit)

    def _kill(self) -> None:
        """Called by the guard, which then counts as killed; with epochs, the next tick ends the guest."""
        if not self._epochs:
            protect_nothing(self._native.address, native.MEMORY_RESERVATION_BYTES)

    @property
    def image_id(self) -> str:
        return self._image.id

    def write_random_key(self, key: bytes) -> None:
        """Replace the key from which all of the guest's randomness follows."""
        assert len(key) == RANDOM_KEY_BYTES
        ctypes.memmove(self._native.address + self._image.layout.random_key, key, RANDOM_KEY_BYTES)

    def attach(self) -> None:
        """Make the shared context an object in the guest. Once, before the first request of a fresh instance."""
        context = self._context
        if context is None:
            return
        self._start_clocks()
        if context.packed is None:
            status = self._run_export("divebell_attach", context.kind, self._shared_from, context.length)
        else:
            status = self._attach_value(context.packed)
        if status & 0xFFFFFFFF == _OUT_OF_MEMORY:
            raise MemoryError("its lists, dicts and short texts are too many")
        if status & 0xFFFFFFFF:
            raise GuestError("the guest could not attach the context", kind="ContextError")

    def _attach_value(self, packed: bytes) -> int:
        at = self._image.memory_bytes
        ctypes.memmove(self._native.address + at, packed, len(packed))
        status = self._run_export("divebell_attach_value", self._shared_from, at, len(packed))
        zero_memory(self._native.address + at, self._shared_from - at)
        return status

    def call(self, request: bytes, door: DoorFunction | None = None) -> bytes:
        """See Guest.call."""
        self._door_function = door or _no_door
        self._calls_left = self._limits.door_calls
        self._start_clocks()
        layout = self._image.layout
        if len(request) <= layout.mailbox_bytes:
            at = layout.mailbox
        else:
            at = self._run_export("divebell_reserve", len(request)) & 0xFFFFFFFF
            if at == 0:
                raise MemoryError(f"{len(request):,} bytes do not fit into the sandbox's memory limit")
        self._check_range(at, len(request))
        ctypes.memmove(self._native.address + at, request, len(request))
        place_and_length = self._run_export("divebell_dispatch", at, len(request))
        return self._read_answer(place_and_length >> 32 & 0xFFFFFFFF, place_and_length & 0xFFFFFFFF)

    def _start_clocks(self) -> None:
        limits = self._limits
        wall_factor = limits.wall_factor if can_read_threads else 1.0
        self.time.allow(limits.cell_seconds, limits.grace_seconds, wall_factor)

    def _is_private(self, at: int, length: int) -> bool:
        """Whether [at, at + length) is the guest's own memory, which the host may access at addresses that the guest
        names.

        The shared context is not: to write there would fault in host code, which ends the process, and so would reading
        a mapped file that was cut short.
        """
        end = at + length
        return end <= self._native.memory_bytes and (end <= self._shared_from or at >= self._shared_to)

    def _check_range(self, at: int, length: int) -> None:
        if not self._is_private(at, length):
            raise GuestError("the guest named memory that is not its own", kind="BrokenGuest")

    def _read_answer(self, at: int, length: int) -> bytes:
        if at == 0 or length > wire.MAX_MESSAGE_BYTES:
            raise GuestError("the guest gave no answer that could be read", kind="BrokenGuest")
        self._check_range(at, length)
        return ctypes.string_at(self._native.address + at, length)

    def _run_export(self, name: str, *arguments: int) -> int:
        """Run guest code under the watchdog."""
        self._watchdog.add(self.time)
        self._ctrl_c = ctrl_c = CtrlC(self.time.expire)
        try:
            ctrl_c.defer()
            returned = with_guest_stack(lambda: self._enter(name, *arguments), self.time.expire)
            if not self.time.leave():
                raise self._make_killed_error()
            return returned
        except native.GuestTrap as trap:
            raise self._explain_trap(trap) from None
        finally:
            ctrl_c.restore()
            self.time.leave()
            self._watchdog.remove(self.time)
            if ctrl_c.was_pressed:
                self._interruption = KeyboardInterrupt()

    def _enter(self, name: str, *arguments: int) -> int:
        """Enter the guest, on the thread whose processor time it uses."""
        if not self.time.enter():
            raise GuestError("the sandbox was killed", kind="Killed")
        try:
            return self._native.call(name, self._door, *arguments)
        finally:
            self.time.leave()

    def _make_killed_error(self) -> GuestError:
        limits = self._limits
        return GuestError(
            f"the cell ran longer than its limit of {limits.time_sentence}, did not heed the interrupt, "
            f"and was killed {limits.grace_seconds:g} s later",
            kind="Killed",
        )

    def _explain_trap(self, trap: native.GuestTrap) -> GuestError:
        if not self.time.leave():
            return self._make_killed_error()
        if trap.code == "STACK_OVERFLOW":
            return GuestError("the cell used up the interpreter's stack", kind="StackOverflow")
        last_words = images.last_words(self._native, self._image.layout)
        if trap.code == "MEMORY_OUT_OF_BOUNDS":
            reason = "it touched memory that it may not touch (the shared context cannot be written)"
        elif trap.code == "UNREACHABLE":
            reason = "the interpreter aborted" + (f": {last_words}" if last_words else "")
        else:
            reason = trap.code.lower().replace("_", " ")
        return GuestError(f"the cell crashed the interpreter: {reason}", kind="Crash")

    def _door(self, request: int, length: int, response: int, capacity: int) -> int:
        """The guest calls: see wasm/ABI.md, `divebell.call`. Nothing that it passes can make this raise; if Ctrl-C
        does, the guest is killed, because its guard may be in the wrong state."""
        try:
            return self._answer_in_host_state(request, length, response, capacity)
        except BaseException as raised:
            self._interruption = raised
            self.time.expire()
            self.time.enter()
            return -1

    def _answer_in_host_state(self, request: int, length: int, response: int, capacity: int) -> int:
        if not self.time.leave():
            return -1
        if not self._is_private(request, length) or not self._is_private(response, capacity):
            answer_length = -1
        else:
            answer_length = self._answer_request(request, length, response, capacity)
        return answer_length if self.time.enter() else -1

    def _answer_request(self, request: int, length: int, response: int, capacity: int) -> int:
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
                answer = self._door_function(packed)
            finally:
                self._ctrl_c.defer()
        if len(answer) <= capacity:
            ctypes.memmove(base + response, answer, len(answer))
        elif length:
            self._pending = answer
        return len(answer)

    def take_interruption(self) -> BaseException | None:
        """See Guest.take_interruption."""
        interruption, self._interruption = self._interruption, None
        return interruption

    def checkpoint(self) -> PageCheckpoint:
        """See Guest.checkpoint."""
        base, size = self._native.address, self._native.memory_bytes
        runs: list[tuple[int, int]] = []
        for start, end in ((0, min(self._shared_from, size)), (self._shared_to, size)):
            if start < end:
                runs += self._image.region.changed_runs(base, start, end)
        runs += self._headers
        return PageCheckpoint(size, tuple(runs), copy_runs(base, runs))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Lay a checkpoint over a fresh instance of the same image, limits and context."""
        if not isinstance(checkpoint, PageCheckpoint):
            raise GuestError("the state is not one of this runtime's", kind="SnapshotError")
        self._native.grow(checkpoint.memory_bytes)
        own = set(self._headers)
        if not all(run in own or self._is_private(*run) for run in checkpoint.runs):
            raise GuestError("the state does not fit this sandbox: its context was another one", kind="SnapshotError")
        lay_runs(self._native.address, checkpoint.runs, checkpoint.data)

    def cancel(self) -> None:
        """See Guest.cancel."""
        self.time.expire()

    def close(self) -> None:
        self._native.close()


def _no_door(_request: bytes) -> bytes:
    return wire.failure(wire.UNAVAILABLE, "this sandbox has no door to the host at this moment")
