"""`Result`: what a run returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from divebell.calls.spending import cost_text
from divebell.cell import Cell
from divebell.errors import DivebellError
from divebell.plain import to_plain
from divebell.stop import Stop
from divebell.text import quote

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

    def __repr__(self) -> str:
        return f"<Turn {quote(self.reply)}, cells={len(self.cells)}, seconds={self.seconds:.2f}>"


@dataclass(frozen=True, kw_only=True)
class Result(Generic[Answer_co]):
    """A finished run.

    status: "answered" (the model gave its answer), "exhausted" (a limit ended its turns, and the answer is what the
    model said when it was asked for its best one, or said again and again), or "failed" (the model or the money failed
    for good, and `answer` is only a draft: what the run had so far, which the model has not declared an answer).
    error: why it failed; None if it did not.
    stopped_by: the limit that ended the turns; None for an answer that came by itself.
    is_cut: whether the answer ends before its end, because the last reply's output limit cut it off.
    value: the answer as the type that RLM(output=...) asked for; without one, the text. None of a draft, whatever type
    checkers are told: where drafts would do harm, ask for `rlm.run(...).raise_if_failed().value`.
    spend: calls, tokens and dollars of this run and its children, as in RLM.cost_summary().
    notes: anything else to know about the run, a sentence each, such as that the ledger could not be written.
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
    turns: tuple[Turn, ...] = field(repr=False)
    trace_file: Path | None = None
    """Where the run's trace is, if RLM(trace=...) asked for one."""
    run_id: str = ""
    """Names the run in its events, its trace, its journal, the ledger (in the ids of its accounts) and the log."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The application's own labels: RLM(metadata=...), and in addition run(metadata=...)."""
    notes: tuple[str, ...] = ()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name == "trace":
                raise AttributeError("Result.trace is now called Result.turns")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        cost = self.spend.get("dollars")
        parts = [
            f"{self.status} {quote(self.answer)}",
            f"turns={self.iterations}",
            *([] if cost is None else [cost_text(f"{cost:f}", self.spend.get("unpriced_calls", 0))]),
            f"seconds={self.seconds:.2f}",
            *([] if self.stopped_by is None else [f"stopped_by={self.stopped_by.limit}"]),
            f"run_id={self.run_id}",
        ]
        return f"<Result {', '.join(parts)}>"

    def raise_if_failed(self) -> "Result[Answer_co]":
        """This result, if it has an answer. Raises its `error` if it has only a draft."""
        if self.error is not None:
            raise self.error
        return self

    def to_dict(self, *, turns: bool = False) -> dict[str, Any]:
        """All of it as plain data that json.dumps takes: each field by its name, money as exact decimal text.

        `value` is as JSON has it: objects of classes are dicts, dates ISO texts, bytes base64 (see divebell.plain).
        turns: whether to include `turns`, with the replies and cells of each; it may be megabytes.
        ValueError if the value nests too deep for JSON.
        """
        names = [field.name for field in fields(self) if turns or field.name != "turns"]
        return {name: to_plain(getattr(self, name)) for name in names}
