"""What outlives a question: the sandbox with its variables, and the history."""

from dataclasses import dataclass

from divebell.run.history import History
from divebell.sandbox.sandbox import Sandbox


@dataclass
class SessionState:
    """The sandbox and the history of a run, or of all questions of a session."""

    box: Sandbox | None
    history: History
    told: int = 0
    """How many of the messages the sandbox's `history` has."""

    def tell_history(self, box: Sandbox) -> None:
        """Append to the sandbox's `history` what is new."""
        box.append("history", list(self.history.full[self.told :]))
        self.told = len(self.history.full)
