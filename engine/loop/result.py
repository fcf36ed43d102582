"""What a run gives back."""

from dataclasses import dataclass, field
from typing import Any

from divebell.cell import Cell


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One iteration of the loop: the root model's reply, and the cells that it contained."""

    reply: str
    cells: tuple[Cell, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished run.

    status: "answered" (the model gave its answer) or "exhausted" (the iterations ran out, and the answer is what the
    model said when it was asked for its best one).
    spend: as RLM.cost_summary(), for this run alone.
    """

    answer: str
    status: str
    iterations: int
    seconds: float
    spend: dict[str, Any]
    trace: tuple[Turn, ...] = field(repr=False)
