"""The limits of a sandbox."""

from dataclasses import dataclass, field, fields
from typing import TypeVar

from divebell.errors import ConfigurationError
from divebell.thread_clock import can_read_threads
from divebell_bridge.door.bounds import CELL_TOOL_CALLS
from divebell_bridge.money.dollars import quote

Number = TypeVar("Number", int, float)


def _limit(default: Number, *, most: float) -> Number:
    """A field of Limits, with its default and the highest value that makes sense."""
    return field(default=default, metadata={"most": most})


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one sandbox. Raises ConfigurationError if a value is out of its range."""

    memory_bytes: int = _limit(256 << 20, most=3 << 30)
    """The memory that the guest may allocate beyond the booted interpreter and the context. Over it: MemoryError."""
    cell_seconds: float = _limit(10.0, most=86_400)
    """Processor time of one cell. The time that the host works for it, and that it waits, does not count; a sleep
    counts in full. Over it: TimeoutError. Where a thread's processor time cannot be read (macOS, Windows): wall
    time."""
    wall_factor: float = _limit(20.0, most=10_000)
    """A second limit of a cell's time, by the wall clock, as a multiple of `cell_seconds`: with `cell_seconds=10` and
    `wall_factor=20`, it is 200 s. Over it: TimeoutError. Waiting at the door does not count."""
    grace_seconds: float = _limit(1.0, most=3_600)
    """The time that a cell has after its TimeoutError to end by itself. Then it is killed, and the state before it is
    restored."""
    output_characters: int = _limit(100_000, most=10_000_000)
    """The characters that are kept of a cell's stdout, of its stderr, and of its value's repr: the first half and the
    last half."""
    door_calls: int = _limit(100_000, most=1_000_000_000)
    """How often one cell may cross the door (clock readings included). Over it: RuntimeError in the cell."""
    tool_calls: int = _limit(CELL_TOOL_CALLS, most=1_000_000_000)
    """How often one cell may call tools. Over it: ToolError in the cell."""
    tool_seconds: float = _limit(60.0, most=86_400)
    """How long one call of a tool may take. Over it: ToolError in the cell; a plain function continues on its
    thread."""

    @property
    def time_sentence(self) -> str:
        """The limits of a cell's time in words: "10 s of processor time, sleep included, or 200 s by the clock"."""
        seconds = f"{self.cell_seconds:g} s"
        if not can_read_threads:
            return seconds
        return (
            f"{seconds} of processor time, sleep included, or {self.cell_seconds * self.wall_factor:g} s by the clock"
        )

    def __post_init__(self) -> None:
        for each in fields(self):
            value, most = getattr(self, each.name), each.metadata["most"]
            ok = isinstance(value, (int, float) if each.type is float else int) and not isinstance(value, bool)
            if not ok or not 0 < value <= most:
                raise ConfigurationError(
                    f"Limits.{each.name} must be a number over 0 and up to {most:,}, not {quote(value)}"
                )
        if self.wall_factor < 1:
            raise ConfigurationError(f"Limits.wall_factor must be a number from 1 to 10,000, not {self.wall_factor!r}")
