"""What a run gives back."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from divebell.cell import Cell
from divebell.loop.stop import Stop


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One iteration of the loop: the root model's reply, and the cells that it contained."""

    reply: str
    cells: tuple[Cell, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished run.

    status: "answered" (the model gave its answer) or "exhausted" (a limit ended its turns, and the answer is what the
    model said when it was asked for its best one).
    stopped_by: that limit; None for an answer that came by itself.
    value: the answer as the type that RLM(output=...) asked for; without one, the text.
    spend: as RLM.cost_summary(), for this run and its children.
    """

    answer: str
    value: object = None
    status: str
    stopped_by: Stop | None = None
    iterations: int
    seconds: float
    spend: dict[str, Any]
    trace: tuple[Turn, ...] = field(repr=False)
    trace_file: Path | None = None
    """Where the run's trace is, if RLM(trace=...) asked for one."""
