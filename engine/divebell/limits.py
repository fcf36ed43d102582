"""The limits of a sandbox."""

from dataclasses import dataclass, fields

from divebell.errors import ConfigurationError
from divebell.thread_clock import can_read_threads
from divebell_bridge.money.dollars import quote


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one sandbox. Raises ConfigurationError where a value is out of its range."""

    memory_bytes: int = 256 << 20
    """What the guest may allocate beyond the booted interpreter and the context. Over it: MemoryError."""
    cell_seconds: float = 10.0
    """Processor time of one cell, without what the host does for it and without its waiting; a sleep counts in full.
    Over it: TimeoutError. Where a thread's processor time cannot be read (macOS, Windows): wall time."""
    wall_factor: float = 20.0
    """How many times as long the same computing may take by the wall clock, for a cell that gets too little processor
    time: with `cell_seconds=10` and 20, 200 s. Over it: TimeoutError. Waiting at the door does not count."""
    grace_seconds: float = 1.0
    """What a cell gets after either of these to end by itself. Then it is killed, and the state before it restored."""
    output_characters: int = 100_000
    """What is kept of a cell's stdout, and as much of its stderr and its value's repr: the first and the last half."""
    door_calls: int = 100_000
    """How often one cell may cross the door (clock readings included). Over it: RuntimeError in the cell."""
    tool_calls: int = 10_000
    """How often one cell may call tools. Over it: ToolError in the cell."""
    tool_seconds: float = 60.0
    """How long one call of a tool may take. Over it: ToolError in the cell; a plain function goes on on its thread."""

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
        upper: dict[str, float] = {
            "memory_bytes": 3 << 30,
            "cell_seconds": 86_400,
            "wall_factor": 10_000,
            "grace_seconds": 3_600,
            "output_characters": 10_000_000,
            "door_calls": 1_000_000_000,
            "tool_calls": 1_000_000_000,
            "tool_seconds": 86_400,
        }
        for field in fields(self):
            value = getattr(self, field.name)
            ok = isinstance(value, (int, float) if field.type is float else int) and not isinstance(value, bool)
            if not ok or not 0 < value <= upper[field.name]:
                raise ConfigurationError(
                    f"Limits.{field.name} must be a number over 0 and up to {upper[field.name]:,}, not {quote(value)}"
                )
        if self.wall_factor < 1:
            raise ConfigurationError(f"Limits.wall_factor must be a number from 1 to 10,000, not {self.wall_factor!r}")
