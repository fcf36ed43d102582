"""What outlives a question: the sandbox with its variables, and the history."""

from dataclasses import dataclass, field

from divebell.run.history import History
from divebell.sandbox.sandbox import Sandbox


@dataclass
class SessionState:
    """The sandbox and the history of a run, or of all questions of a session. The first question opens the sandbox."""

    box: Sandbox | None = None
    history: History = field(default_factory=History)
    sent: int = 0
    """How many of the messages the sandbox's `history` has."""

    @property
    def open_box(self) -> Sandbox:
        """The sandbox, once it has been opened."""
        assert self.box is not None, "a run opens the sandbox before its first turn"
        return self.box

    def send_history(self) -> None:
        """Append what is new to the sandbox's `history`."""
        messages = self.history.full
        self.open_box.append("history", list(messages[self.sent :]))
        self.sent = len(messages)
