"""A sandbox's state, kept outside of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from divebell.context import Context
from divebell.limits import Limits
from divebell.runtime.instance import Checkpoint


@dataclass(frozen=True)
class Snapshot:
    """A sandbox's state at one moment, in memory. It fits the process's image only: use it in the process that took it.

    `state` is None for a sandbox that has run nothing.
    """

    state: Checkpoint | None
    image_id: int
    cells: int
    limits: Limits
    seed: int | None
    context: tuple[object, ...] | None
    """What tells the context apart: its type, length and form. Another one would not fit the state."""
    virtual_nanoseconds: int
    bound: Mapping[str, object]
    """The names that `bind` set, with their values."""

    @property
    def bytes(self) -> int:
        """What it holds."""
        return self.state.bytes if self.state is not None else 0


def form_of(context: Context | None) -> tuple[object, ...] | None:
    """What tells a context from another that does not fit the state."""
    if context is None:
        return None
    return context.type_name, context.length, context.shared.form if context.shared is not None else None
