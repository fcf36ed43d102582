"""What happens in a run, as it happens."""

from collections.abc import Callable
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
    data: what there is to tell, by kind; bodies are the model's or the guest's text, so never trust them.
    """

    kind: str
    path: str
    turn: int
    seconds: float
    data: dict[str, Any] = field(default_factory=dict)


EventListener = Callable[[Event], None]
"""Called on the run's event loop, so it should be quick. What it raises is dropped: it cannot break a run."""
