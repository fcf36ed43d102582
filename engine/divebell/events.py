"""What happens in a run, as it happens: a class for each kind of event.

| class | kind | when |
|---|---|---|
| RunStarted | "run" | a run begins: the query's own, or a child |
| RootReplied | "reply" | the root model has replied |
| CellStarted | "code" | a cell begins |
| CellEnded | "cell" | it has ended |
| CallEnded | "call" | a sub-call has ended, with a reply or an error |
| ToolEnded | "tool" | a tool has ended, with a result or an error |
| ChildEnded | "child" | a child has ended, with an answer or an error |
| LimitReached | "limit" | a limit ends the turns: the best answer so far is asked for |
| RunEnded | "answer" | a run has ended: always its last event |

A listener selects events by class, which type checkers understand:

    def on_event(event: divebell.Event) -> None:
        match event:
            case CallEnded(error=str(error)):
                print("a sub-call failed:", error)
            case RunEnded():
                print(event.status, event.spend["dollars"])

Texts in events come from the model, the guest or the context: never trust them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar

from divebell.cell import Cell
from divebell.stop import Stop

__all__ = [
    "CallEnded",
    "CallUsage",
    "CellEnded",
    "CellStarted",
    "ChildEnded",
    "Event",
    "EventListener",
    "LimitReached",
    "RootReplied",
    "RunEnded",
    "RunStarted",
    "ToolEnded",
]


@dataclass(frozen=True, kw_only=True, repr=False)
class Event:
    """One thing that happened. All events have these fields; the run fills them in when it reports the event.

    kind: the event's name in a trace file; one for each class.
    path: which run: "0" is the query's own, "0.2" its second child.
    turn: the iteration, from 1; 0 before the first.
    seconds: since the query began.
    run_id: the run's id, as in Result.run_id, the ledger and the journal; the same for its children.
    metadata: the application's own labels: RLM(metadata=...) and run(metadata=...).
    """

    kind: ClassVar[str]
    path: str = "0"
    turn: int = 0
    seconds: float = 0.0
    run_id: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """The fields of the event's own class by name, except those that do not apply (None by default). The fields of
        `usage` are among them. A trace line has this record as its `data`."""
        record: dict[str, Any] = {}
        for own in fields(self)[len(fields(Event)) :]:
            value = getattr(self, own.name)
            if isinstance(value, CallUsage):
                record.update(vars(value))
            elif value is not None or own.default is not None:
                record[own.name] = value
        return record

    @property
    def data(self) -> Mapping[str, Any]:
        """`to_record()`, read-only: for code that handles events of every kind alike, for example to forward them."""
        return MappingProxyType(self.to_record())

    def __repr__(self) -> str:
        names = ", ".join(list(self.to_record())[:20])
        return f"<{type(self).__name__} path={self.path}, turn={self.turn}, seconds={self.seconds:.2f}, with {names}>"


@dataclass(frozen=True, kw_only=True)
class CallUsage:
    """What a model call with a reply used and cost, all its attempts together.

    attempts: how often it was tried.
    input_tokens, output_tokens, cached_input_tokens: as billed; the cached ones are part of the input.
    picodollars: the cost, in units of 10**-12 dollars.
    memo: whether it was answered from earlier replies, at no cost (RLM(memo=...)).
    uncertain: whether part of the cost is uncertain: the most that an endpoint may have billed.
    unpriced: whether the model's price is unknown; then no sum includes the cost.
    finish_reason: why the reply ended, as Completion.finish_reason.
    output_limit_tokens: the limit that was sent; it may be lower than the one that the run was given.
    """

    attempts: int
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    picodollars: int
    memo: bool
    uncertain: bool
    unpriced: bool
    finish_reason: str
    output_limit_tokens: int


@dataclass(frozen=True, kw_only=True, repr=False)
class RunStarted(Event):
    """A run begins.

    query: the question. context: a description of the context, with its size. depth: 0 for the query's own run.
    model: the name of the root model.
    """

    kind = "run"
    query: str
    context: str
    depth: int
    model: str


@dataclass(frozen=True, kw_only=True, repr=False)
class RootReplied(Event):
    """The root model has replied.

    messages: the messages of the request that no earlier event of this run has shown. reply: the text, without the
    model's thinking. is_cut: whether the reply was cut off. call_seconds: how long the last attempt took.
    """

    kind = "reply"
    messages: Sequence[Mapping[str, Any]]
    reply: str
    is_cut: bool
    model: str
    call_seconds: float
    usage: CallUsage


@dataclass(frozen=True, kw_only=True, repr=False)
class CellStarted(Event):
    """A cell begins to run this code."""

    kind = "code"
    code: str


@dataclass(frozen=True, kw_only=True, repr=False)
class CellEnded(Event):
    """A cell has ended: the code that it ran, and its result."""

    kind = "cell"
    code: str
    cell: Cell


@dataclass(frozen=True, kw_only=True, repr=False)
class CallEnded(Event):
    """A sub-call has ended. Either it has a reply and its usage, or an error.

    number: the sub-call's, from 1, in the order in which the code asked. call_seconds: how long the last attempt took;
    if it failed, how long all attempts took. schema: whether the code asked for data. repair: 0 for the first call, n
    for the n-th repair of a reply that did not fit the schema. images: how many were sent.
    error, error_type: why it failed, in a sentence, and the exception's class.
    """

    kind = "call"
    number: int
    model: str
    prompt: str
    reply: str | None = None
    call_seconds: float
    usage: CallUsage | None = None
    schema: bool = False
    repair: int = 0
    images: int = 0
    error: str | None = None
    error_type: str | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class ToolEnded(Event):
    """A tool that the code called has ended. Either it has a result, or an error.

    name: the tool's; "unknown" if the application has no tool of the name that the code used. arguments,
    keyword_arguments, result: plain data.
    """

    kind = "tool"
    number: int
    name: str
    arguments: Sequence[Any]
    keyword_arguments: Mapping[str, Any]
    tool_seconds: float
    result: Any = None
    error: str | None = None
    error_type: str | None = None

    def to_record(self) -> dict[str, Any]:
        record = super().to_record()
        return record if self.error is not None else {**record, "result": self.result}


@dataclass(frozen=True, kw_only=True, repr=False)
class ChildEnded(Event):
    """A child has ended. The event belongs to the run that asked for it.

    number: the child's, from 1: the child of run "0.2" with number 3 is run "0.2.3". prompt: what it was asked. answer:
    its answer, or what it had by then if it failed. iterations, status, spend: as in its Result.
    error, error_type: why it has no answer, in a sentence, and the exception's class.
    """

    kind = "child"
    number: int
    prompt: str
    answer: str
    iterations: int | None = None
    status: str
    spend: Mapping[str, Any] | None = None
    error: str | None = None
    error_type: str | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class LimitReached(Event):
    """A limit ends the run's turns, and the model is asked for its best answer so far.

    limit, cap, spent, held: as in Result.stopped_by, in the limit's unit (Decimal for dollars), or None. account: whose
    limit it is (Stop.path).
    """

    kind = "limit"
    limit: str
    cap: object
    spent: object
    held: object
    account: str


@dataclass(frozen=True, kw_only=True, repr=False)
class RunEnded(Event):
    """A run has ended.

    answer, status, stopped_by, spend, is_cut: as in its Result. With status "failed", `answer` is what the run had by
    then, error the reason in a sentence, and error_type the exception's class.
    """

    kind = "answer"
    answer: str
    status: str
    stopped_by: Stop | None
    spend: Mapping[str, Any]
    is_cut: bool = False
    error: str | None = None
    error_type: str | None = None


EventListener = Callable[[Event], None]
"""Called on the run's event loop, so it should be quick. What it raises cannot break a run: the first time it is logged
as a WARNING, under "divebell.events"."""
