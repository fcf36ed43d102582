"""`Journal`: what a run reads from its journal and writes into it. `NoJournal`: that of a run without one.

A journal has everything that a run cannot recompute, recorded before the guest sees it. That is enough, because a guest
is deterministic. Its clock, its randomness and its hash order follow from the run's seed, and it learns everything else
at the door. So a run that receives the same answers in the same order does the same again, byte for byte, whatever
order concurrent calls finished in the first time. Calls, children and tools are numbered in the order in which the code
asks for them, not in which they start.

Three classes are a `Journal`: NoJournal here, Player (player.py) for a replay, Recorder (recorder.py) for a run that is
written down. Methods that begin with `find_` look up what is recorded; those that begin with `keep_` write down what is
new, and compare or return what is recorded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from divebell.cell import Cell
from divebell.errors import DivebellError
from divebell.journal.entries import Entry
from divebell.models.protocol import Completion, ModelRequest
from divebell_bridge.money.errors import BudgetExceeded
from divebell_bridge.money.tally import Tally


@dataclass(frozen=True)
class RecordedCall:
    """A call that is in the journal. `output_limit_tokens` is the limit that was sent."""

    outcome: Completion | DivebellError
    cost: Tally
    output_limit_tokens: int


@dataclass(frozen=True)
class RecordedChild:
    """A child that had ended before this process began."""

    answer: str
    iterations: int


@dataclass(frozen=True)
class RecordedAnswer:
    """What the guest was answered at the door."""

    value: Any


class Journal(Protocol):
    """The journal of a query and all its children, each known by its path. Thread-safe.

    Where the journal cannot be read or written, or the run differs from what is recorded, every method may raise
    JournalError. The first such error ends the run: `check` raises it from then on.
    """

    @property
    def id(self) -> str | None:
        """The prefix of the calls' ids, by which a provider recognises a call that is made again; None for the run's
        id."""
        ...

    @property
    def is_by_older_rules(self) -> bool:
        """Whether the run is one of an older version, which never took a repeated reply as the answer, and had no
        drafts."""
        ...

    def check(self) -> None:
        """Raise the first error there was, if any."""
        ...

    def write(self, entry: Entry) -> None:
        """Append an entry."""
        ...

    def add_recorded_costs(self, path: str, summary: Mapping[str, Any]) -> dict[str, Any]:
        """A run's spending (Meter.summary) with the recorded costs of the run and its children added."""
        ...

    def find_call(self, path: str, name: str, model: str, request: ModelRequest) -> RecordedCall | None:
        """The call recorded under that name; None if it is to be made. If it is not recorded and the run's turns ended
        before it, raises what ended them."""
        ...

    def find_child(self, path: str, *facts: object) -> RecordedChild | None:
        """The child, if it has an answer already; None if it is to be run. Raises its failure, if it failed. `facts`
        are what tells this child from others: texts and numbers."""
        ...

    def find_tool_outcome(self, path: str, number: int) -> dict[str, object] | None:
        """The outcome of the run's tool call of that number; None if the tool is to be called."""
        ...

    def was_given_up(self, path: str, call: str) -> bool:
        """Whether the guest gave that call up ("call 3", "child 1", "tool 2"). It will again: the call is not made."""
        ...

    def find_door_answer(self, path: str, op: str, request: bytes) -> RecordedAnswer | None:
        """The answer to the run's next request at the door; None if the request is to be carried out."""
        ...

    def keep_door_answer(
        self, path: str, op: str, request: bytes, answer: object, recorded: RecordedAnswer | None
    ) -> None:
        """Record the answer that the guest is about to receive. If there is a `recorded` one, which the guest receives
        instead, compare the two."""
        ...

    def keep_fact(self, path: str, name: str, value: str | None) -> str | None:
        """The value recorded under that name. If there is none, record this value and return it."""
        ...

    def keep_check(self, path: str, number: int, errors: Sequence[str]) -> Sequence[str]:
        """The recorded errors of the run's answer of that number. If there are none, record these and return them. An
        answer that fits the schema has no errors."""
        ...

    def keep_stop(self, path: str, refusal: BudgetExceeded) -> None:
        """Record why the run's turns ended."""
        ...

    def keep_failure(self, path: str, error: DivebellError) -> None:
        """Record how a run, or a child, failed as a whole."""
        ...

    def begin_cell(self, path: str) -> None:
        """Raise what ended the run in its next cell, if something did: that cell has no outcome to repeat."""
        ...

    def keep_cell(self, path: str, code: str, cell: Cell) -> None:
        """Record the outcome of the run's next cell, or compare it with the recorded one."""
        ...

    def keep_answer(self, path: str, text: str) -> None:
        """Record the answer of a run or a child, or compare it with the recorded one."""
        ...


class NoJournal:
    """For a run that keeps no journal: nothing is recorded, and nothing is written."""

    id: str | None = None
    is_by_older_rules = False

    def check(self) -> None:
        """There is nothing to go wrong."""

    def write(self, entry: Entry) -> None:
        pass

    def add_recorded_costs(self, path: str, summary: Mapping[str, Any]) -> dict[str, Any]:
        return dict(summary)

    def find_call(self, path: str, name: str, model: str, request: ModelRequest) -> RecordedCall | None:
        return None

    def find_child(self, path: str, *facts: object) -> RecordedChild | None:
        return None

    def find_tool_outcome(self, path: str, number: int) -> dict[str, object] | None:
        return None

    def was_given_up(self, path: str, call: str) -> bool:
        return False

    def find_door_answer(self, path: str, op: str, request: bytes) -> RecordedAnswer | None:
        return None

    def keep_door_answer(
        self, path: str, op: str, request: bytes, answer: object, recorded: RecordedAnswer | None
    ) -> None:
        pass

    def keep_fact(self, path: str, name: str, value: str | None) -> str | None:
        return value

    def keep_check(self, path: str, number: int, errors: Sequence[str]) -> Sequence[str]:
        return errors

    def keep_stop(self, path: str, refusal: BudgetExceeded) -> None:
        pass

    def keep_failure(self, path: str, error: DivebellError) -> None:
        pass

    def begin_cell(self, path: str) -> None:
        pass

    def keep_cell(self, path: str, code: str, cell: Cell) -> None:
        pass

    def keep_answer(self, path: str, text: str) -> None:
        pass
