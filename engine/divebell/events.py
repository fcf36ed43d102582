"""What happens in a run, as it happens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened.

    kind: "run" (a run or child starts), "reply" (the root model replied), "code" (a cell starts), "cell" (it ended),
    "call" (a sub-call finished), "tool" (a tool did), "child" (a child did), "limit" (a limit ended the turns),
    "answer" (the run ended; with status "failed" and an `error` where it has none).
    path: which run: "0" is the query's own, "0.2" its second child.
    turn: the iteration, from 1.
    seconds: since the query began.
    run_id: the run's id, as in Result.run_id, the ledger and the journal; the same for its children.
    metadata: what the application said of the run: RLM(metadata=...) and run(metadata=...).
    data: what there is to tell, by kind; bodies are the model's or the guest's text, so never trust them.
    """

    kind: str
    path: str
    turn: int
    seconds: float
    data: dict[str, Any] = field(default_factory=dict)
    run_id: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        names = ", ".join(list(self.data)[:20])
        return f"<Event {self.kind}, path={self.path}, turn={self.turn}, seconds={self.seconds:.2f}, data: {names}>"


EventListener = Callable[[Event], None]
"""Called on the run's event loop, so it should be quick. What it raises cannot break a run: the first time it is logged
as a WARNING, under "divebell.events"."""
