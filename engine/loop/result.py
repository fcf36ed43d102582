"""What a run gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from divebell.cell import Cell
from divebell.errors import DivebellError
from divebell.loop.stop import Stop

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Answer_co = TypeVar("Answer_co", covariant=True, default=object)
else:
    from typing import TypeVar

    Answer_co = TypeVar("Answer_co", covariant=True)
"""The type of an answer's value. `Result` and `RLM` without it stand for any: a value that is an object."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One iteration of the loop: the root model's reply, and the cells that it contained."""

    reply: str
    cells: tuple[Cell, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Result(Generic[Answer_co]):
    """A finished run.

    status: "answered" (the model gave its answer), "exhausted" (a limit ended its turns, and the answer is what the
    model said when it was asked for its best one, or said again and again), or "failed" (the model or the money failed
    for good, and `answer` is only a draft: what the run had by then, which nobody has called an answer).
    error: why it failed; None where it did not.
    stopped_by: the limit that ended the turns; None for an answer that came by itself.
    is_cut: whether the answer ends before its end, because the last reply's output limit cut it off.
    value: the answer as the type that RLM(output=...) asked for; without one, the text. None of a draft.
    spend: as RLM.cost_summary(), for this run and its children.
    """

    answer: str
    value: Answer_co
    status: str
    stopped_by: Stop | None = None
    is_cut: bool = False
    error: DivebellError | None = None
    iterations: int
    seconds: float
    spend: dict[str, Any]
    trace: tuple[Turn, ...] = field(repr=False)
    trace_file: Path | None = None
    """Where the run's trace is, if RLM(trace=...) asked for one."""
    run_id: str = ""
    """Names the run in its events, its trace, its journal, the ledger (whose accounts are "run RUN_ID") and the log."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What the application said of it: RLM(metadata=...), and over that run(metadata=...)."""
