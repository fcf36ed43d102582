"""What a sandbox may use."""

from dataclasses import dataclass, fields

from divebell.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one sandbox. Raises ConfigurationError where a value is out of its range."""

    memory_bytes: int = 256 << 20
    """What the guest may allocate beyond the booted interpreter and the context. Over it: MemoryError."""
    cell_seconds: float = 10.0
    """Computing time of one cell, in wall seconds without its waiting at the door. Over it: TimeoutError."""
    grace_seconds: float = 1.0
    """What a cell gets after that to end by itself. Then it is killed, and the state before it restored."""
    output_characters: int = 100_000
    """What is kept of a cell's stdout, and as much of its stderr and its value's repr: the first and the last half."""
    door_calls: int = 100_000
    """How often one cell may cross the door (clock readings included). Over it: RuntimeError in the cell."""
    tool_calls: int = 10_000
    """How often one cell may call tools. Over it: ToolError in the cell."""
    tool_seconds: float = 60.0
    """How long one call of a tool may take. Over it: ToolError in the cell; a plain function goes on on its thread."""

    def __post_init__(self) -> None:
        upper: dict[str, float] = {
            "memory_bytes": 3 << 30,
            "cell_seconds": 86_400,
            "grace_seconds": 3_600,
            "output_characters": 10_000_000,
            "door_calls": 1_000_000_000,
            "tool_calls": 1_000_000_000,
            "tool_seconds": 86_400,
        }
        for field in fields(self):
            value = getattr(self, field.name)
            kind = float if field.name.endswith("seconds") else int
            ok = isinstance(value, (int, float) if kind is float else int) and not isinstance(value, bool)
            if not ok or not 0 < value <= upper[field.name]:
                raise ConfigurationError(
                    f"Limits.{field.name} must be a number over 0 and up to {upper[field.name]:,}, not {value!r}"
                )
