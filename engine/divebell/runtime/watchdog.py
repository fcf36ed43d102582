"""Preemption: one thread that interrupts cells at their soft limit and kills them at the hard one.

Soft: the host does what a signal handler of CPython does, from outside: it sets the guest's "a signal came" words, so
that the next bytecode, and every C loop that checks for signals (regular expressions, big integers), raises
TimeoutError. Three plain stores into guest memory; no guest code runs for it, and the guest's state survives. The
stores race with the guest's own, so they are repeated until the cell ends.

Hard, on POSIX: the guest's whole linear memory is made inaccessible, and its next load or store traps. This costs the
running guest nothing, where epoch checks cost it a quarter of its speed (measured: x1.49 of native without, x1.96
with). Elsewhere, or with DIVEBELL_EPOCHS=1, the module is compiled with epoch checks, and the watchdog ticks the epoch.

Guaranteed: memory is taken away only while the guest itself runs. A `Guard` knows at each moment whether guest or host
code is running; the host reads guest memory only in the states in which the watchdog keeps off, and a killed guard
refuses the host's next access. This needs a guest without bulk-memory instructions, which wasmtime would carry out in
host code (memory_operations.c of the guest). Not guaranteed: the exact moment. The scheduler and the GIL may delay it.

Which clock: the processor time of the thread that runs the guest, so that a busy machine does not end an innocent cell
(thread_clock.py). Beside it a wider bound in wall time, `wall_factor` times as long, for a guest that does not get to
run. Both stop while the guest waits at the door.
"""

import ctypes
import enum
import math
import threading
import time
import weakref
from collections.abc import Callable

from divebell.thread_clock import this_threads_clock

# How often an unheeded interrupt is repeated, and how often the epoch ticks where epochs are used.
REPEAT_SECONDS = 0.02
# A guest that shares its core has used less time than has passed, so a look may come too early. The next one is this
# much later at the least.
LEAST_PAUSE_SECONDS = 0.002
# The thread ends after this time with nothing to watch.
IDLE_SECONDS = 2.0


class State(enum.Enum):
    HOST = "host"  # between cells, or while the host answers: guest memory is the host's to read
    GUEST = "guest"  # guest code runs: the watchdog may interrupt or kill
    KILLED = "killed"  # the memory is gone: nobody may touch it


class _TimeLeft:
    """The seconds that a cell has left on one clock: until the interrupt, and until the kill. `entered_at` is the
    clock's time when the guest began to run."""

    __slots__ = ("entered_at", "hard", "soft")

    def __init__(self) -> None:
        self.soft = self.hard = math.inf
        self.entered_at = 0.0

    def allow(self, soft_seconds: float, grace_seconds: float) -> None:
        self.soft, self.hard = soft_seconds, soft_seconds + grace_seconds

    def spend(self, seconds: float) -> None:
        self.soft -= seconds
        self.hard -= seconds


class Guard:
    """The state and the clocks of one instance's current cell."""

    def __init__(self, watchdog: "Watchdog", interrupt: Callable[[], None], kill: Callable[[], None]) -> None:
        self.lock = threading.Lock()
        self.state = State.HOST
        self._watchdog = watchdog
        self._interrupt = interrupt
        self._kill = kill
        self._processor = _TimeLeft()
        self._wall = _TimeLeft()
        self._processor_clock: Callable[[], float] = time.monotonic

    @property
    def left_seconds(self) -> float:
        """The seconds until the interrupt, on the clock that has less left."""
        return min(self._processor.soft, self._wall.soft)

    def allow(self, soft_seconds: float, grace_seconds: float, wall_factor: float = 1.0) -> None:
        """Start new clocks: `soft_seconds` of processor time until the interrupt, `grace_seconds` more until the kill,
        and `wall_factor` times as much wall time for each."""
        self._processor.allow(soft_seconds, grace_seconds)
        self._wall.allow(soft_seconds * wall_factor, grace_seconds * wall_factor)

    def enter(self) -> bool:
        """Guest code is about to run on this thread. False if it must not: the guard was killed, or its time is up."""
        clock = this_threads_clock()
        now = time.monotonic()
        with self.lock:
            if self.state is not State.KILLED and min(self._processor.hard, self._wall.hard) <= 0:
                self._kill()
                self.state = State.KILLED
            if self.state is State.KILLED:
                return False
            self._processor_clock = clock
            self._processor.entered_at = clock()
            self._wall.entered_at = now
            self.state = State.GUEST
        self._watchdog.wake_by(now + self.left_seconds)
        return True

    def leave(self) -> bool:
        """Guest code has stopped running, on the thread that entered. False if its memory was taken away meanwhile."""
        with self.lock:
            if self.state is not State.GUEST:
                return self.state is State.HOST
            self._processor.spend(self._processor_clock() - self._processor.entered_at)
            self._wall.spend(time.monotonic() - self._wall.entered_at)
            self.state = State.HOST
            return True

    def expire(self) -> None:
        """End the cell now: its run was cancelled."""
        with self.lock:
            self._processor.spend(math.inf)
        self._watchdog.wake_by(0.0)

    def interrupt(self) -> None:
        """Interrupt as the watchdog would, from the host's side of the door: the guest raises when it goes on."""
        with self.lock:
            if self.state is State.HOST:
                self._interrupt()

    def spend(self, seconds: float) -> None:
        """Count time that the guest waited at its own request (a sleep) as if it had computed."""
        self._processor.spend(seconds)
        self._wall.spend(seconds)

    def check(self, now: float) -> float:
        """Interrupt or kill if it is time. Returns when to look again. Called only by the watchdog."""
        with self.lock:
            if self.state is not State.GUEST:
                return math.inf
            try:
                used = self._processor_clock() - self._processor.entered_at
            except OSError:  # the thread is gone: this is a forked child, and the guest runs in its parent
                return math.inf
            passed = now - self._wall.entered_at
            soft_in = min(self._processor.soft - used, self._wall.soft - passed)
            hard_in = min(self._processor.hard - used, self._wall.hard - passed)
            if hard_in <= 0:
                self._kill()
                self.state = State.KILLED
                return math.inf
            if soft_in <= 0:
                self._interrupt()
                return now + min(REPEAT_SECONDS, max(hard_in, LEAST_PAUSE_SECONDS))
            return now + max(soft_in, LEAST_PAUSE_SECONDS)


class Watchdog:
    """Watches the guards whose cells run. Its thread exists only while there are any."""

    def __init__(self, tick: Callable[[], None] | None = None) -> None:
        self._condition = threading.Condition()
        self._guards: set[Guard] = set()
        self._wake_at = math.inf
        self._thread: threading.Thread | None = None
        self._tick = tick  # advances the epoch, where epochs are used

    def add(self, guard: Guard) -> None:
        """Watch the guard from now on; `wake_by` starts the thread once its guest runs."""
        with self._condition:
            self._guards.add(guard)

    def remove(self, guard: Guard) -> None:
        with self._condition:
            self._guards.discard(guard)

    def wake_by(self, moment: float) -> None:
        """Make sure that the thread looks again at `moment` (monotonic seconds) at the latest."""
        if moment >= self._wake_at:
            return
        with self._condition:
            if moment < self._wake_at:
                self._wake_at = moment
                if self._thread is None or not self._thread.is_alive():  # a forked child has no such thread
                    self._start()
                else:
                    self._condition.notify()

    def _start(self) -> None:
        reference = weakref.ref(self)
        self._thread = threading.Thread(target=_watch, args=(reference,), name="divebell-watchdog", daemon=True)
        self._thread.start()

    def turn(self) -> bool:
        """One look at every guard, and a sleep until the next is due. False when there was nothing to do."""
        with self._condition:
            now = time.monotonic()
            if self._wake_at > now:
                due_in = min(self._wake_at - now, IDLE_SECONDS)
                self._condition.wait(min(due_in, REPEAT_SECONDS) if self._tick and self._guards else due_in)
                now = time.monotonic()
            # While the guards are looked at, the lock is held, and whoever calls wake_by waits for the result.
            self._wake_at = math.inf
            if self._tick is not None:
                self._tick()
            for guard in self._guards:
                self._wake_at = min(self._wake_at, guard.check(now))
            if self._wake_at == math.inf and not self._guards:
                self._thread = None
                return False
            return True


def _watch(reference: "weakref.ref[Watchdog]") -> None:
    while True:
        watchdog = reference()
        if watchdog is None or not watchdog.turn():
            return
        del watchdog


def write_word(address: int, value: int) -> None:
    """Store one 32-bit word at a host address."""
    ctypes.c_uint32.from_address(address).value = value


def set_bits(address: int, bits: int) -> None:
    word = ctypes.c_uint32.from_address(address)
    word.value |= bits
