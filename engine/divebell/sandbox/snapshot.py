"""A sandbox's state, kept outside of it."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from divebell.context import Context
from divebell.limits import Limits
from divebell.runtime.base import Checkpoint


@dataclass(frozen=True)
class Snapshot:
    """A sandbox's state at one moment, in memory. Use it in the process that took it, with the same engine.

    `state` is None for a sandbox that has run nothing.
    """

    state: Checkpoint | None
    image_id: Hashable
    cells: int
    limits: Limits
    seed: int | None
    context: tuple[object, ...] | None
    """Distinguishes the context: its type, length and form. Another one would not fit the state."""
    virtual_nanoseconds: int
    bound: Mapping[str, object]
    """The names that `bind` set, with their values."""

    @property
    def bytes(self) -> int:
        """The memory that it takes."""
        return self.state.bytes if self.state is not None else 0


def form_of(context: Context | None) -> tuple[object, ...] | None:
    """Distinguishes a context from others that do not fit the state."""
    if context is None:
        return None
    return context.type_name, context.length, context.shared.form if context.shared is not None else None
